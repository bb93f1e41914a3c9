"""Runs blocking work in a thread, with progress reports and cancellation for the caller."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Generic, TypeVar

Report = TypeVar("Report")
Value = TypeVar("Value")

# Seconds between two events of work that reports nothing, and those that closing waits for it.
BEAT_SECONDS = 0.5
CLOSING_SECONDS = 0.4


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
) -> Generator[Report | None, None, Value]:
    """Run `work` in a thread, yield its reports, return its value.

    Yields None about every `BEAT_SECONDS` without a report, so that the caller can close the
    generator. Closing sets `cancelled` and waits for at most `CLOSING_SECONDS`; work that does not
    look at `cancelled` for longer than that ends later by itself, and its value is lost.

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

    thread = threading.Thread(target=run, name="background task", daemon=True)
    thread.start()
    ended = False
    try:
        while True:
            try:
                message = mailbox.get(timeout=BEAT_SECONDS)
            except queue.Empty:
                yield None
                continue
            if isinstance(message, _Done):
                ended = True
                break
            yield message
    finally:
        stop.set()
        thread.join(None if ended else CLOSING_SECONDS)
    if message.error is not None:
        raise message.error
    return message.value  # type: ignore[return-value]  # no error: the work's own value
