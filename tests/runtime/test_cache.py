"""Tests of the LRU cache: kept values, eviction, and number of computations."""

from __future__ import annotations

import threading
from collections.abc import Callable

import numpy as np
import pytest

from inference.runtime.cache import Cache, digest


def never() -> int:
    raise AssertionError("this value is in the cache")


def value(number: int) -> Callable[[], int]:
    return lambda: number


@pytest.mark.parametrize(
    ("size", "asked", "kept"),
    [
        (2, "ab", "ab"),
        (2, "abc", "bc"),
        (2, "abac", "ac"),
        (1, "abab", "b"),
        (3, "abcabd", "abd"),
        (3, "aaab", "ab"),
    ],
)
def test_the_values_used_last_are_kept(size: int, asked: str, kept: str) -> None:
    cache: Cache[int] = Cache(size)
    for key in asked:
        cache.get(key, value(ord(key)))
    assert {key for key in "abcd" if key in cache} == set(kept)
    for key in kept:
        assert cache.get(key, never) == ord(key)


def test_finding_gives_what_is_there_and_makes_nothing() -> None:
    cache: Cache[int] = Cache(2)
    assert cache.find("a") is None
    cache.get("a", value(1))
    cache.get("b", value(2))
    assert cache.find("a") == 1
    cache.get("c", value(3))
    assert cache.find("b") is None
    assert cache.find("a") == 1


def test_keeping_replaces_a_value_and_counts_as_use() -> None:
    cache: Cache[int] = Cache(2)
    assert [cache.keep(key, i) for i, key in enumerate("aba")] == [0, 1, 2]
    cache.keep("c", 3)
    assert [cache.find(key) for key in "abc"] == [2, None, 3]


def test_a_value_is_made_once_and_handed_out_as_it_is() -> None:
    cache: Cache[list[int]] = Cache(2)
    first = cache.get("a", lambda: [1])
    assert cache.get("a", lambda: [2]) is first


@pytest.mark.parametrize("nothing", [None, 0, "", ()])
def test_an_empty_value_is_a_value(nothing: object) -> None:
    cache: Cache[object] = Cache(2)
    cache.get("a", lambda: nothing)
    assert cache.get("a", never) == nothing


def test_what_fails_is_not_kept_and_may_be_tried_again() -> None:
    cache: Cache[int] = Cache(2)

    def fail() -> int:
        raise OSError("no")

    with pytest.raises(OSError, match="no"):
        cache.get("a", fail)
    assert "a" not in cache
    assert cache.get("a", value(5)) == 5


def test_making_one_value_does_not_hold_up_the_others() -> None:
    cache: Cache[int] = Cache(4)
    begun, go_on = threading.Event(), threading.Event()

    def slow() -> int:
        begun.set()
        assert go_on.wait(5)
        return 1

    thread = threading.Thread(target=cache.get, args=("slow", slow))
    thread.start()
    assert begun.wait(5)
    assert cache.get("quick", value(2)) == 2
    go_on.set()
    thread.join(5)
    assert cache.get("slow", never) == 1


def test_many_threads_may_use_it_at_once() -> None:
    cache: Cache[int] = Cache(8)
    wrong: list[int] = []

    def work(seed: int) -> None:
        for number in np.random.default_rng(seed).integers(0, 30, 500):
            if cache.get(str(number), value(int(number))) != number:
                wrong.append(int(number))

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert sum(str(number) in cache for number in range(30)) == 8


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        (np.zeros((2, 3)), np.zeros((2, 3)), True),
        (np.arange(6).reshape(2, 3), np.asfortranarray(np.arange(6).reshape(2, 3)), True),
        (np.arange(12)[::2], np.arange(0, 12, 2), True),
        (np.zeros((2, 3)), np.zeros((3, 2)), False),
        (np.zeros(4, dtype=np.int32), np.zeros(4, dtype=np.float32), False),
        (np.zeros(4), np.array([0, 0, 0, 1.0]), False),
        (np.zeros(0), np.zeros((0, 1)), False),
    ],
)
def test_a_digest_tells_content_shape_and_type(
    one: np.ndarray, other: np.ndarray, equal: bool
) -> None:
    assert (digest(one) == digest(other)) is equal
