"""What downloads of every kind have in common: progress reports, and the offline mode."""

from __future__ import annotations

import os
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class DownloadProgress:
    """Progress of a download.

    Attributes:
        file: path, within the repository, of the file in progress; or the package.
        bytes_done, bytes_total: over all files of the source, those already in the cache included.
    """

    file: str
    bytes_done: int
    bytes_total: int


def is_offline() -> bool:
    """Whether HF_HUB_OFFLINE forbids the network, for every kind of source."""
    return os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}
