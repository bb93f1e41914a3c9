"""A ZeroGPU Space, which lends its GPU to one call at a time.

A function that needs the GPU runs in a process that is forked for it and ends some time later;
what it is given and what it yields is pickled.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Generator
from functools import wraps
from typing import ParamSpec, Protocol, TypeVar

from inference.errors import NoDevice

Asked = ParamSpec("Asked")
Event = TypeVar("Event")


class Lender(Protocol):
    """Makes of a task one that runs where the GPU is; see `lent`."""

    def __call__(
        self, task: Callable[Asked, Generator[Event]], seconds: Callable[Asked, int]
    ) -> Callable[Asked, Generator[Event]]: ...


def is_here() -> bool:
    """Whether this is such a Space."""
    return os.environ.get("SPACES_ZERO_GPU", "").lower() in ("1", "t", "true")


def lender() -> Lender | None:
    """`lent` in such a Space, and None elsewhere."""
    return lent if is_here() else None


def lent(
    task: Callable[Asked, Generator[Event]], seconds: Callable[Asked, int]
) -> Callable[Asked, Generator[Event]]:
    """The task, run where the GPU is; it raises NoDevice where the Space refuses.

    The first one is to be made before a page starts, and before anything else knows of a GPU.

    Args:
        seconds: for how long the GPU is asked for, by what the task is given.
    """
    import spaces
    from gradio import Error

    there = spaces.GPU(task, duration=seconds)

    @wraps(task)
    def here(*args: Asked.args, **kwargs: Asked.kwargs) -> Generator[Event]:
        try:
            yield from there(*args, **kwargs)
        except Error as error:
            reason = re.sub(r"<[^>]*>", "", str(error.message)).strip(" .")
            advice = "" if "try" in reason.lower() else " Press Generate again."
            raise NoDevice(f"No GPU was lent: {reason}.{advice}") from error

    return here
