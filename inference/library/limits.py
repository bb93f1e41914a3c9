"""Limits of a library: by size and by age; the oldest jobs without a star go first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

GIGABYTE = 10**9
DAY = 86_400.0
FULL = "The disk of the library is full: free some space, or lower --library-size."


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What is kept.

    Attributes:
        size: most bytes of all files; None for no limit.
        age: seconds after its end for which a job is kept; None for ever.
        young: seconds after its end for which a job is kept in any case, because its owner may be
            fetching its pictures.
    """

    size: int | None = 10 * GIGABYTE
    age: float | None = None
    young: float = 600.0


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A job that may be deleted: its number, when it ended, and the bytes that this would free."""

    id: int
    finished: float
    size: int


def surplus(candidates: Sequence[Candidate], total: int, limits: Limits, now: float) -> list[int]:
    """The numbers of the jobs that are to be deleted.

    Args:
        candidates: ended jobs without a star, the oldest first.
        total: bytes of all files of the library.
        limits: what is kept.
        now: the time, in seconds as `finished`.
    """
    chosen = []
    for one in candidates:
        age = now - one.finished
        is_old = limits.age is not None and age > limits.age
        is_full = limits.size is not None and total > limits.size
        if age > limits.young and (is_old or is_full):
            chosen.append(one.id)
            total -= one.size
    return chosen
