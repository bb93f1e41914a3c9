"""Runs blocking work in a thread, with progress reports and cancellation for the caller."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Generic, TypeVar

Report = TypeVar("Report")
Value = TypeVar("Value")


@dataclass(frozen=True, kw_only=True)
class TaskHandle(Generic[Report]):
    """The task's handle for progress reports and cancellation.

    Attributes:
        report: sends a progress report to the caller.
        cancelled: whether the caller asked the task to stop.
    """

    report: Callable[[Report], None]
    cancelled: Callable[[], bool]


@dataclass(frozen=True)
class _Done(Generic[Value]):
    value: Value | None
    error: BaseException | None


def in_background(
    work: Callable[[TaskHandle[Report]], Value],
) -> Generator[Report, None, Value]:
    """Run `work` in a thread, yield its reports, return its value.

    Closing the generator sets `cancelled` and waits until the work has ended.

    Raises:
        Whatever `work` raises.
    """
    mailbox: queue.SimpleQueue[Report | _Done[Value]] = queue.SimpleQueue()
    stop = threading.Event()

    def run() -> None:
        try:
            done = _Done[Value](work(TaskHandle(report=mailbox.put, cancelled=stop.is_set)), None)
        except BaseException as error:  # noqa: BLE001 - it is raised again in the other thread
            done = _Done[Value](None, error)
        mailbox.put(done)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        while not isinstance(message := mailbox.get(), _Done):
            yield message
    finally:
        stop.set()
        thread.join()
    if message.error is not None:
        raise message.error
    return message.value  # type: ignore[return-value]  # no error: the work's own value
