"""Downloads several sources with one total over all that is missing."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path

from inference.catalog.download import Activity, DownloadProgress, Report
from inference.catalog.hub import PendingDownload, fetch, pending
from inference.catalog.sources import Source

# Seconds over which the rate is measured, and those before it is told.
RATE_SECONDS, FIRST_SECONDS = 20.0, 3.0


class DownloadPlan:
    """What is missing of some sources; fetches one after the other.

    Attributes:
        bytes_total: of all that was missing when the plan was made.
    """

    def __init__(self, downloads: Iterable[PendingDownload]) -> None:
        self._pending = {repr(one.source): one for one in downloads}
        self.bytes_total = sum(one.missing for one in self._pending.values())
        self._done = 0
        self._rate = TransferRate()

    @classmethod
    def of(
        cls, sources: Iterable[Source], report: Report, cancelled: Callable[[], bool]
    ) -> DownloadPlan:
        """The plan for some sources; asks the hub about those that are not complete.

        Raises:
            ModelUnavailable: as `hub.fetch`.
            Cancelled: `cancelled` returned True.
        """
        different = {repr(source): source for source in sources}.values()
        found = (pending(source, report, cancelled) for source in different)
        return cls(one for one in found if one is not None)

    def fetch(self, source: Source, report: Report, cancelled: Callable[[], bool]) -> Path:
        """The folder with the files of a source; `report` gets the progress of the whole plan.

        Raises:
            As `hub.fetch`.
        """
        waiting = self._pending.get(repr(source))
        if waiting is None:
            return fetch(source, progress=report, cancelled=cancelled)
        present = waiting.total - waiting.missing
        self._rate.pause()

        def report_total(one: DownloadProgress) -> None:
            done = self._done + max(0, one.bytes_done - present)
            if one.activity is Activity.DOWNLOADING:
                self._rate.add(done)
            else:
                self._rate.pause()
            report(
                DownloadProgress(
                    file=one.file,
                    bytes_done=min(done, self.bytes_total),
                    bytes_total=self.bytes_total,
                    activity=one.activity,
                    bytes_per_second=self._rate.value,
                )
            )

        folder = waiting.run(report_total, cancelled)
        del self._pending[repr(source)]
        self._done += waiting.missing
        return folder


class TransferRate:
    """The rate of a transfer: a moving average over `RATE_SECONDS`, pauses left out.

    Attributes:
        value: bytes per second; None until `FIRST_SECONDS` were measured.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.value: float | None = None
        self._clock = clock
        self._mean = 0.0
        self._measured = 0.0  # seconds
        self._last: tuple[float, int] | None = None

    def add(self, bytes_done: int) -> None:
        """Note how many bytes have been transferred until now."""
        now = self._clock()
        since, before = self._last or (now, bytes_done)
        seconds = now - since
        if self._last is None or seconds >= 1:
            self._last = now, bytes_done
        if seconds >= 1:
            self._measured += seconds
            share = min(1.0, seconds / min(self._measured, RATE_SECONDS))
            self._mean += share * ((bytes_done - before) / seconds - self._mean)
            self.value = self._mean if self._measured >= FIRST_SECONDS else None

    def pause(self) -> None:
        """Leave out the time until the next bytes."""
        self._last = None
