"""Hugging Face ZeroGPU Spaces: runs a task in a worker process that has the GPU.

The Space forks a process for each call of such a task and ends it some time later; arguments and
yielded values are pickled.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Generator
from functools import wraps
from typing import ParamSpec, TypeVar

from inference.errors import NoDevice
from inference.runtime.host import is_zero_gpu
from inference.studio.gpu_lease import GpuLender

Parameters = ParamSpec("Parameters")
Event = TypeVar("Event")


def gpu_lender() -> GpuLender | None:
    """`lease_gpu` in a ZeroGPU Space, None elsewhere."""
    return lease_gpu if is_zero_gpu() else None


def lease_gpu(
    task: Callable[Parameters, Generator[Event]], seconds: Callable[Parameters, int]
) -> Callable[Parameters, Generator[Event]]:
    """Wrap a task so that each call runs it in a worker process with a GPU.

    The first task has to be wrapped before a page starts and before CUDA is initialized.

    Args:
        task: a generator function with picklable arguments and events.
        seconds: computes the requested GPU time from the task's arguments.

    Returns:
        A generator function that raises NoDevice where the Space refuses a GPU.
    """
    import spaces
    from gradio import Error

    on_gpu = spaces.GPU(task, duration=seconds)

    @wraps(task)
    def run(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Generator[Event]:
        try:
            yield from on_gpu(*args, **kwargs)
        except Error as error:
            reason = re.sub(r"<[^>]*>", "", str(error.message)).strip(" .")
            advice = "" if "try" in reason.lower() else " Press Generate again."
            raise NoDevice(f"No GPU was lent: {reason}.{advice}") from error

    return run
