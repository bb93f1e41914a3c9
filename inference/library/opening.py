"""Opens a library's folder: creates it, or sets aside what cannot be read."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from inference.errors import LibraryUnavailable
from inference.library.schema import check, connect, is_unreadable
from inference.library.storage import DATABASE, FILES, Storage

# SQLite's own files beside the database.
PARTS = (DATABASE, f"{DATABASE}-wal", f"{DATABASE}-shm", FILES)


def open_storage(folder: Path) -> tuple[Storage, str]:
    """Open the storage of a library, and say what was set aside, "" for nothing.

    Raises:
        LibraryUnavailable: a newer version or another program wrote it, or the folder cannot be
            used.
    """
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
        return Storage(folder, connection), told
    except (OSError, sqlite3.Error) as error:
        raise unusable(folder) from error


def unusable(folder: Path) -> LibraryUnavailable:
    """The error for a folder that cannot be read or written."""
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
