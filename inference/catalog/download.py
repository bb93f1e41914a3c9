"""What downloads of every kind have in common: progress reports, and the offline mode."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias


class Activity(StrEnum):
    """What a download is doing; the value is shown to the user."""

    ASKING = "asking for the list of files"
    WAITING = "the model hub is slow to answer, asking again"
    DOWNLOADING = "downloading"
    CHECKING = "checking what arrived"


@dataclass(frozen=True, kw_only=True)
class DownloadProgress:
    """Progress of a download.

    Attributes:
        file: path, within the repository, of the file in progress; or the package.
        bytes_done, bytes_total: over all files of the source, those already in the cache included;
            from a `DownloadPlan`, over all that its sources lacked.
        activity: what is being done.
        bytes_per_second: the present rate; None while it is unknown.
    """

    file: str
    bytes_done: int = 0
    bytes_total: int = 0
    activity: Activity = Activity.DOWNLOADING
    bytes_per_second: float | None = None

    @property
    def seconds_left(self) -> float | None:
        """Seconds until everything is there at the present rate; None if that is unknown."""
        if not self.bytes_per_second:
            return None
        return max(0, self.bytes_total - self.bytes_done) / self.bytes_per_second


#: Is told of the progress of a download.
Report: TypeAlias = Callable[[DownloadProgress], None]


def is_offline() -> bool:
    """Whether HF_HUB_OFFLINE forbids the network, for every kind of source."""
    return os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}
