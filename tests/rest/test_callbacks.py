"""Tests of callbacks: signed, repeated, refused, hanging, and after a restart of the server."""

from __future__ import annotations

import hashlib
import hmac
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from inference.errors import InvalidPhoto
from inference.library.library import Library
from inference.library.tokens import digest_of
from inference.picture.checked_network import Policy
from inference.rest.callbacks import DELAYS, GIVEN_UP, CallbackRules, Callbacks
from tests.support.library_jobs import new_job, outcome
from tests.support.page_server import coloured, png, tiny_server, wait_until
from tests.support.rest_client import Receiver, create, ended, receiver, rest_client

PHOTO = png(coloured((200, 30, 40)))
ALLOWED = CallbackRules(hosts=("127.0.0.1",))


@pytest.fixture
def hook() -> Iterator[Receiver]:
    with receiver() as found:
        yield found


@pytest.fixture
def library(tmp_path: Path) -> Iterator[Library]:
    library = Library(tmp_path / "library")
    yield library
    library.close()


@contextmanager
def delivering(library: Library, rules: CallbackRules = ALLOWED) -> Iterator[Callbacks]:
    callbacks = Callbacks(library, rules, lambda job: {"id": job.id})
    callbacks.start()
    try:
        yield callbacks
    finally:
        callbacks.stop()


def done_job(library: Library, url: str) -> int:
    job = library.accept(new_job(callback=url, request={"signer": "key"}), running=True).id
    library.finish(job, outcome(job))
    return job


def due(library: Library) -> list[int]:
    """The callbacks that are still to be delivered, also later."""
    with library._storage.used() as rows:
        return [one.job for one in rows.due_callbacks(time.time() + 10**6)]


def test_the_prompt_is_sent_once_it_is_done_signed_by_the_tokens_digest(
    tiny_catalog: Path, tmp_path: Path, hook: Receiver
) -> None:
    options = ("--callback-host", "127.0.0.1")
    with (
        tiny_server(tiny_catalog, tmp_path, *options) as server,
        rest_client(server) as client,
    ):
        answer = create(client, PHOTO, callback=hook.url)
        assert answer.json()["callback"] == hook.url
        done = ended(client, answer.json())
        wait_until(lambda: bool(hook.taken))
        ((headers, body),) = hook.taken
        assert hook.objects() == [done]
        assert headers["content-type"] == "application/json"
        found = re.fullmatch(r"t=(\d+),v1=([0-9a-f]{64})", headers["masquerade-signature"])
        assert found is not None
        assert abs(int(found[1]) - time.time()) < 60
        token = client.headers["authorization"].removeprefix("Bearer ")
        key = hashlib.sha256(token.encode()).hexdigest().encode()
        code = hmac.new(key, f"{found[1]}.".encode() + body, hashlib.sha256).hexdigest()
        assert code == found[2]
        failed = create(client, PHOTO, callback=hook.url, text="x --mask_prompt", mask_strokes="")
        wait_until(lambda: len(hook.taken) == 2)
        assert hook.objects()[1] == ended(client, failed.json())
        assert hook.objects()[1]["error"]


@pytest.mark.parametrize(
    ("answers", "attempts", "note"),
    [
        (lambda _: 200, 1, None),
        (lambda _: 204, 1, None),
        (lambda count: 500 if count < 3 else 200, 3, None),
        (lambda count: 302 if count < 2 else 200, 2, None),
        (lambda _: 404, 4, GIVEN_UP.format(4)),
    ],
)
def test_it_is_sent_until_it_is_taken_or_given_up(
    library: Library, hook: Receiver, answers: Callable[[int], int], attempts: int, note: str | None
) -> None:
    hook.answers = answers
    job = done_job(library, hook.url)
    with delivering(library, replace(ALLOWED, delays=(0, 0, 0))) as callbacks:

        def is_over() -> bool:
            callbacks.wake()
            return not due(library)

        wait_until(is_over)
    assert len(hook.taken) == attempts
    stored = library.find(job)
    assert stored is not None
    assert (note in stored.notes) == (note is not None)


def test_a_failed_one_waits_longer_each_time(library: Library) -> None:
    assert list(DELAYS) == sorted(DELAYS)
    job = done_job(library, "http://127.0.0.1:9/nobody")
    with delivering(library):
        wait_until(lambda: not library.due_callbacks())
    assert due(library) == [job]
    with library._storage.used() as rows:
        (one,) = rows.due_callbacks(time.time() + DELAYS[0] + 1)
        assert one.attempts == 1
        assert rows.due_callbacks(time.time() + DELAYS[0] - 5) == []


def test_hanging_ones_keep_neither_the_others_nor_the_server_waiting(
    library: Library, hook: Receiver
) -> None:
    short = replace(ALLOWED, policy=Policy(seconds=0.5))
    with receiver() as stuck:
        stuck.hanging = True
        hanging = [done_job(library, stuck.url) for _ in range(12)]
        good = [done_job(library, hook.url) for _ in range(3)]
        with delivering(library, short):
            wait_until(lambda: len(hook.taken) == 3)
            wait_until(lambda: not library.due_callbacks())
        assert sorted(due(library)) == hanging
        assert sorted(one["id"] for one in hook.objects()) == good


def test_what_was_not_delivered_is_after_the_next_start(tmp_path: Path, hook: Receiver) -> None:
    library = Library(tmp_path)
    job = done_job(library, hook.url)
    library.close()
    library = Library(tmp_path)
    with delivering(library):
        wait_until(lambda: not due(library))
    library.close()
    assert hook.objects() == [{"id": job}]


@pytest.mark.parametrize(
    ("hosts", "url", "allowed"),
    [
        ((), "https://hook.example/x", True),
        ((), "http://127.0.0.1/x", True),  # refused when it is connected to
        (("hook.example",), "https://hook.example/x", True),
        (("hook.example",), "https://HOOK.example:8443/x", True),
        (("hook.example",), "https://other.example/x", False),
        (("hook.example",), "https://hook.example.evil.example/x", False),
        (("hook.example:8443",), "https://hook.example:8443/x", True),
        (("hook.example:8443",), "https://hook.example/x", False),
        (("hook.example",), "ftp://hook.example/x", False),
        (("hook.example",), "https://user@hook.example/x", False),
    ],
)
def test_where_callbacks_may_go(hosts: tuple[str, ...], url: str, allowed: bool) -> None:
    rules = CallbackRules(hosts=hosts)
    if allowed:
        rules.policy_for(url)
    else:
        with pytest.raises(InvalidPhoto):
            rules.policy_for(url)


@pytest.mark.parametrize("rules", [CallbackRules(), CallbackRules(hosts=("other.example",))])
def test_without_the_option_no_address_of_this_machine_is_called(
    library: Library, hook: Receiver, rules: CallbackRules
) -> None:
    ports = frozenset({hook.port})
    rules = replace(rules, policy=replace(Policy(), ports=ports))
    job = done_job(library, hook.url)
    with delivering(library, rules):
        wait_until(lambda: not library.due_callbacks())
    assert hook.taken == []
    assert due(library) == [job]


def test_a_host_that_is_not_allowed_is_told_when_the_prompt_is_made(
    tiny_catalog: Path, tmp_path: Path
) -> None:
    with (
        tiny_server(tiny_catalog, tmp_path, "--callback-host", "hook.example") as server,
        rest_client(server) as client,
    ):
        answer = create(client, PHOTO, callback="https://other.example/")
        assert answer.status_code == 422
        assert "--callback-host" in answer.json()["callback"][0]
        assert create(client, PHOTO, callback="https://hook.example/").status_code == 201


def test_the_key_of_the_signature_is_no_secret_that_opens_the_server() -> None:
    """Who learns the digest of a token cannot use it in the token's place."""
    digest = digest_of("mq_token")
    assert digest_of(digest) != digest


def test_the_object_after_the_restart_has_the_address_by_which_the_server_was_called(
    tiny_catalog: Path, tmp_path: Path, hook: Receiver
) -> None:
    options = ("--callback-host", "127.0.0.1")
    with tiny_server(tiny_catalog, tmp_path, *options) as server, rest_client(server) as client:
        made: dict[str, Any] = create(client, PHOTO, callback=hook.url).json()
        ended(client, made)
        wait_until(lambda: bool(hook.taken))
    assert hook.objects()[0]["url"] == made["url"]
    assert hook.objects()[0]["images"][0].startswith(server.url)
