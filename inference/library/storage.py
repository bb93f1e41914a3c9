"""What the library is stored in: the database and the folder of files, changed together."""

from __future__ import annotations

import errno
import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from inference.errors import NotStored
from inference.library.database import Database, FileRows
from inference.library.records import Role
from inference.library.schema import transaction
from inference.library.stored_files import StoredFiles

DATABASE, FILES = "library.sqlite", "files"
FULL = "The disk of the library is full: free some space, or lower --library-size."


class Storage:
    """A database and its files. Thread-safe.

    Args:
        folder: where both are.
        connection: to the database.

    Attributes:
        rows: the queries.
        files: the files.
    """

    def __init__(self, folder: Path, connection: sqlite3.Connection) -> None:
        self._folder, self._connection = folder, connection
        self._lock = threading.RLock()
        self.rows = Database(connection)
        self.files = StoredFiles(folder / FILES)

    def close(self) -> None:
        """Close the database."""
        with self._lock:
            self._connection.close()

    @contextmanager
    def used(self) -> Iterator[Database]:
        """Context for reading, and for several changes in a row; one thread at a time.

        Raises:
            NotStored: something in it could not be read or written.
        """
        with self._lock:
            try:
                yield self.rows
            except sqlite3.Error as error:
                raise NotStored(self._told(getattr(error, "sqlite_errorcode", 0))) from error
            except OSError as error:
                full = error.errno in (errno.ENOSPC, errno.EDQUOT)
                raise NotStored(self._told(sqlite3.SQLITE_FULL if full else 0)) from error

    @contextmanager
    def changed(self, new: Mapping[Role, Sequence[bytes]] | None = None) -> Iterator[FileRows]:
        """Context whose changes of the database take effect together, or not at all.

        Args:
            new: files that are written first. They are deleted again unless a job has them at the
                end.

        Yields:
            the names and sizes of the new files, for `Database.add_files`.
        """
        with self.used():
            written: set[str] = set()
            try:
                rows = {role: self._write(files, written) for role, files in (new or {}).items()}
                with transaction(self._connection):
                    yield rows
            finally:
                self.files.delete(self.rows.unused(written))

    def delete(self, jobs: Sequence[int]) -> None:
        """Delete jobs, and the files that no other job has."""
        with self.used():
            names = set[str]().union(*(self.rows.names_of(job) for job in jobs))
            with transaction(self._connection):
                for job in jobs:
                    self.rows.delete(job)
            self.files.delete(self.rows.unused(names))

    def _write(self, files: Sequence[bytes], written: set[str]) -> list[tuple[str, int]]:
        rows = []
        for data in files:
            name = self.files.write(data)
            written.add(name)
            rows.append((name, len(data)))
        return rows

    def _told(self, code: int) -> str:
        """The sentence for an error of SQLite."""
        reasons = {
            sqlite3.SQLITE_FULL: FULL,
            sqlite3.SQLITE_CORRUPT: (
                f"The library in {self._folder} is damaged: start the server again, which sets it "
                "aside and begins a new one."
            ),
            sqlite3.SQLITE_READONLY: (
                f"The library in {self._folder} is read-only: make it writable, or give another "
                "--library."
            ),
        }
        return reasons.get(
            code & 0xFF,
            f"The library in {self._folder} cannot be used: check its disk, and start the server "
            "again.",
        )
