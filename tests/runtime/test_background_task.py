"""Tests of background work: reports, return value, errors, cancellation."""

from __future__ import annotations

import threading
import time
from contextlib import closing

import pytest

from inference.runtime.background_task import TaskHandle, in_background


def drain(work: object) -> tuple[list[object], object]:
    """All reports and the return value of some work."""
    reports: list[object] = []
    running = in_background(work)  # type: ignore[arg-type]
    while True:
        try:
            reports.append(next(running))
        except StopIteration as finished:
            return reports, finished.value


@pytest.mark.parametrize("count", [0, 1, 100])
@pytest.mark.parametrize("value", [None, 5, "text"])
def test_reports_come_in_order_and_the_value_last(count: int, value: object) -> None:
    def work(watch: TaskHandle[int]) -> object:
        for number in range(count):
            watch.report(number)
        return value

    assert drain(work) == (list(range(count)), value)


def test_a_report_arrives_while_the_work_goes_on() -> None:
    heard = threading.Event()

    def work(watch: TaskHandle[str]) -> bool:
        watch.report("half")
        return heard.wait(5)

    running = in_background(work)
    assert next(running) == "half"
    heard.set()
    with pytest.raises(StopIteration) as finished:
        next(running)
    assert finished.value.value is True


@pytest.mark.parametrize("error", [ValueError("bad"), KeyboardInterrupt(), SystemExit(3)])
def test_an_error_comes_out_as_it_was_raised_and_after_the_reports(error: BaseException) -> None:
    def work(watch: TaskHandle[str]) -> None:
        watch.report("before")
        raise error

    running = in_background(work)
    assert next(running) == "before"
    with pytest.raises(type(error)) as caught:
        next(running)
    assert caught.value is error


def test_the_work_runs_in_another_thread_and_only_once_it_is_asked_for() -> None:
    threads: list[int] = []

    def work(watch: TaskHandle[str]) -> None:
        threads.append(threading.get_ident())

    running = in_background(work)
    time.sleep(0.02)
    assert threads == []
    assert list(running) == []
    assert threads != [threading.get_ident()]
    assert len(threads) == 1


def test_closing_tells_the_work_to_stop_and_waits_until_it_has() -> None:
    stopped: list[bool] = []

    def work(watch: TaskHandle[int]) -> None:
        number = 0
        while not watch.cancelled():
            watch.report(number := number + 1)
            time.sleep(0.001)
        time.sleep(0.05)
        stopped.append(True)

    before = threading.active_count()
    with closing(in_background(work)) as running:
        assert next(running) == 1
        assert not stopped
    assert stopped == [True]
    assert threading.active_count() == before


def test_an_error_inside_the_reader_stops_the_work_too() -> None:
    stopped = threading.Event()

    def work(watch: TaskHandle[int]) -> None:
        watch.report(1)
        while not watch.cancelled():
            time.sleep(0.001)
        stopped.set()

    running = in_background(work)
    next(running)
    with pytest.raises(RuntimeError, match="reader"):
        running.throw(RuntimeError("reader"))
    assert stopped.is_set()


def test_an_error_while_stopping_does_not_hide_that_it_was_stopped() -> None:
    def work(watch: TaskHandle[int]) -> None:
        watch.report(1)
        while not watch.cancelled():
            time.sleep(0.001)
        raise OSError("half a file")

    running = in_background(work)
    assert next(running) == 1
    running.close()
    assert list(running) == []


def test_work_that_was_never_started_can_be_closed() -> None:
    begun = threading.Event()

    def work(watch: TaskHandle[int]) -> None:
        begun.set()

    in_background(work).close()
    assert not begun.wait(0.02)


def test_work_that_ends_by_itself_was_not_cancelled() -> None:
    def work(watch: TaskHandle[int]) -> bool:
        return watch.cancelled()

    assert drain(work) == ([], False)
