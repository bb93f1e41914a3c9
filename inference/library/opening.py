"""Opens the storage of a library: a folder, which one process owns, or a shared database."""

from __future__ import annotations

import os
import sqlite3
from contextlib import ExitStack, closing
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import IO, Protocol

from inference.errors import LibraryUnavailable
from inference.library.address import Place, Shared, SharedFolder
from inference.library.schema import Sqlite, check, connect, is_unreadable
from inference.library.storage import Storage
from inference.library.stored_files import StoredFiles, files_at

DATABASE, FILES = "library.sqlite", "files"
LOCK_FILE = "in-use.lock"
# SQLite's own files beside the database.
PARTS = (DATABASE, f"{DATABASE}-wal", f"{DATABASE}-shm", FILES)


class Closing(Protocol):
    """What is closed at the end."""

    def close(self) -> None:
        """End its use."""


class Ownership:
    """The lock on a library's folder, which the system releases when the process ends.

    Args:
        folder: the library.
        shared: whether other processes may hold it too, if theirs are shared.

    Raises:
        LibraryUnavailable: another process holds it.
    """

    def __init__(self, folder: Path, *, shared: bool) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._file: IO[bytes] = (folder / LOCK_FILE).open("ab")
        try:
            _lock(self._file.fileno(), shared=shared)
        except OSError as error:
            self._file.close()
            raise LibraryUnavailable(
                f"Another server uses the library in {folder}: stop that one, or give another "
                "--library."
            ) from error

    def close(self) -> None:
        """Release the lock."""
        self._file.close()


def owned(place: Place) -> Closing:
    """The lock of a library; of a database there is none.

    Raises:
        LibraryUnavailable: another process has the library for itself.
    """
    if isinstance(place, Shared):
        return ExitStack()
    folder = place if isinstance(place, Path) else place.path
    return Ownership(folder, shared=isinstance(place, SharedFolder))


def open_storage(place: Place) -> tuple[Storage, str]:
    """Open the storage of a library, and say what was set aside, "" for nothing.

    Raises:
        LibraryUnavailable: a newer version or another program wrote it, or it cannot be used.
    """
    if isinstance(place, Shared):
        return _open_shared(place), ""
    if isinstance(place, Path):
        return _open_folder(place)
    try:
        return _in_folder(place.path, connect(place.path / DATABASE)), ""
    except (OSError, sqlite3.Error) as error:
        raise unusable(place) from error


def _open_shared(place: Shared) -> Storage:
    try:
        from inference.library.postgresql import Postgresql
    except ImportError as error:
        raise LibraryUnavailable(
            "A library in a database needs a package: python -m pip install -r "
            "requirements-ray.txt."
        ) from error
    return Storage(Postgresql(place), partial(files_at, place.files))


def _open_folder(folder: Path) -> tuple[Storage, str]:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            told = ""
            if not _has_tables(folder / DATABASE) and any((folder / FILES).glob("??/*")):
                told = _set_aside(folder, "has pictures without a database")
            connection = connect(folder / DATABASE)
        except sqlite3.DatabaseError as error:
            if not is_unreadable(error):
                raise
            told = _set_aside(folder, "cannot be read")
            connection = connect(folder / DATABASE)
        return _in_folder(folder, connection), told
    except (OSError, sqlite3.Error) as error:
        raise unusable(folder) from error


def _in_folder(folder: Path, connection: sqlite3.Connection) -> Storage:
    return Storage(Sqlite(folder, connection), partial(StoredFiles, folder / FILES))


def unusable(place: Place) -> LibraryUnavailable:
    """The error for a library that cannot be read or written."""
    if isinstance(place, Shared):
        return LibraryUnavailable(
            f"The library in {place.shown} with its files in {place.files} cannot be used: check "
            "both, or give others by --library and --library-files."
        )
    folder = place if isinstance(place, Path) else place.path
    return LibraryUnavailable(
        f"The library cannot be kept in {folder}: make the folder writable, free some space, or "
        "give another --library."
    )


def _has_tables(file: Path) -> bool:
    """Whether the database is there; an intact one is checked.

    Raises:
        sqlite3.DatabaseError: it is damaged.
    """
    if not file.exists():
        return False
    with closing(sqlite3.connect(file)) as connection:
        count = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
        check(connection)
    return bool(count)


def _set_aside(folder: Path, why: str) -> str:
    """Move all files of the library into a new folder in it, and say so."""
    place = folder / f"set-aside-{datetime.now(UTC):%Y-%m-%dT%H%M%S.%f}"
    place.mkdir()
    for name in PARTS:
        if (folder / name).exists():
            (folder / name).rename(place / name)
    return f"The library in {folder} {why}: it was moved to {place.name}, and a new one begun."


if os.name == "nt":
    import msvcrt

    def _lock(handle: int, *, shared: bool) -> None:
        os.lseek(handle, 0, os.SEEK_SET)
        if not shared:  # Windows has no lock of this kind for several
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]

else:
    import fcntl

    def _lock(handle: int, *, shared: bool) -> None:
        kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
        fcntl.flock(handle, kind | fcntl.LOCK_NB)
