"""Which process uses a library: a lock file, which the system releases when the process ends."""

from __future__ import annotations

import os
from pathlib import Path
from typing import IO

from inference.errors import LibraryUnavailable

LOCK_FILE = "in-use.lock"


class Ownership:
    """The lock on a library, held until `close`.

    Args:
        folder: the library.

    Raises:
        LibraryUnavailable: another process holds it.
    """

    def __init__(self, folder: Path) -> None:
        self._file: IO[bytes] = (folder / LOCK_FILE).open("ab")
        try:
            _lock(self._file.fileno())
        except OSError as error:
            self._file.close()
            raise LibraryUnavailable(
                f"Another server uses the library in {folder}: stop that one, or give another "
                "--library."
            ) from error

    def close(self) -> None:
        """Release the lock."""
        self._file.close()


if os.name == "nt":
    import msvcrt

    def _lock(handle: int) -> None:
        os.lseek(handle, 0, os.SEEK_SET)
        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]

else:
    import fcntl

    def _lock(handle: int) -> None:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
