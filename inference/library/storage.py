"""What the library is stored in: the database and the files, changed together."""

from __future__ import annotations

import logging
import secrets
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property

from inference.errors import NotStored
from inference.library.database import MOST, Database, FileRows
from inference.library.limits import Limits, surplus
from inference.library.records import Role
from inference.library.rows import Connection
from inference.library.stored_files import Files, StoredFiles, name_of

log = logging.getLogger(__name__)

# Seconds after which a write that was announced is held to have been cut off.
WRITE_SECONDS = 3600.0


class Blobs:
    """The rows of all files, each once: what is announced, and what nobody uses.

    Args:
        connection: to the database.
    """

    def __init__(self, connection: Connection) -> None:
        self._execute = connection.execute

    def begin_writes(self, writer: str, sizes: Mapping[str, int], now: float) -> None:
        """Announce files, so that nobody deletes them until `end_writes` or for a long time."""
        for name in sorted(sizes):  # in one order, so that two writers never wait for each other
            values = {"name": name, "size": sizes[name], "now": now, "writer": writer}
            self._execute(
                "INSERT INTO blobs (name, size, touched) VALUES (:name, :size, :now) "
                "ON CONFLICT (name) DO UPDATE SET touched = excluded.touched",
                values,
            )
            self._execute(
                "INSERT INTO unfinished_writes (name, writer, since) VALUES (:name, :writer, :now)",
                values,
            )

    def end_writes(self, writer: str) -> None:
        """The files that a writer announced belong to jobs now, or may be deleted."""
        self._execute("DELETE FROM unfinished_writes WHERE writer = :writer", {"writer": writer})

    def forget_unused(self) -> set[str]:
        """Delete the rows of all files of no job, and return the names of the others."""
        self._execute("DELETE FROM unfinished_writes")
        unused = "DELETE FROM blobs WHERE name NOT IN (SELECT name FROM files)"
        self._execute(unused)
        return {str(row["name"]) for row in self._execute("SELECT name FROM blobs").fetchall()}

    def orphans(self, since: float) -> list[str]:
        """The names of some files that belong to no job and were not announced since then."""
        sql = (
            "SELECT name FROM blobs WHERE touched < :since AND NOT EXISTS "
            "(SELECT 1 FROM files WHERE files.name = blobs.name) LIMIT :most"
        )
        rows = self._execute(sql, {"since": since, "most": MOST}).fetchall()
        return [str(row["name"]) for row in rows]

    def lock_unused(self, name: str, since: float) -> bool:
        """Lock a file; False if it is in use: another's, a job's, or announced since then."""
        values = {"name": name, "since": since}
        locked = "SELECT name FROM blobs WHERE name = :name FOR UPDATE SKIP LOCKED"
        if self._execute(locked, values).fetchone() is None:
            return False
        # A statement of its own, because it has to see what was written before the lock.
        used = self._execute(
            "SELECT count(*) AS uses FROM (SELECT 1 AS one FROM files WHERE name = :name UNION ALL "
            "SELECT 1 FROM unfinished_writes WHERE name = :name AND since > :since) AS uses",
            values,
        ).fetchone()
        return used is not None and int(used["uses"]) == 0

    def forget_file(self, name: str) -> None:
        """Delete the row of a file, and of writes of it that were cut off."""
        self._execute("DELETE FROM blobs WHERE name = :name", {"name": name})
        self._execute("DELETE FROM unfinished_writes WHERE name = :name", {"name": name})

    def total_size(self) -> int:
        """Bytes of all files; a file of several jobs counts once."""
        row = self._execute("SELECT coalesce(sum(size), 0) AS size FROM blobs").fetchone()
        return 0 if row is None else int(row["size"])


class NewFiles:
    """Files that are written, and belong to no job yet.

    Args:
        named: their names and sizes by what they are.
        writer: who announced them.
        blobs: where.
    """

    def __init__(self, named: FileRows, writer: str, blobs: Blobs) -> None:
        self._named, self._writer, self._blobs = named, writer, blobs

    def add_to(self, job: int, rows: Database) -> None:
        """Give them to a job, within the caller's transaction."""
        rows.add_files(job, self._named)
        self._blobs.end_writes(self._writer)


class Storage:
    """A database and the files of its jobs. Thread-safe.

    Files are written and read by several threads at once, the database by one.

    Args:
        connection: to the database.
        open_files: opens the files, when they are needed first.

    Attributes:
        now: the time, by the database's clock.
        blobs: the rows of the files, for use within `used` and `changed`.
    """

    def __init__(self, connection: Connection, open_files: Callable[[], Files]) -> None:
        self._connection, self._open_files = connection, open_files
        self._lock = threading.RLock()
        self._rows, self.blobs = Database(connection), Blobs(connection)
        self.now = connection.now

    @cached_property
    def files(self) -> Files:
        """The files."""
        return self._open_files()

    def close(self) -> None:
        """Close the database."""
        with self._lock:
            self._connection.close()

    @contextmanager
    def used(self) -> Iterator[Database]:
        """Context for reading; one thread at a time.

        Raises:
            NotStored: something in it could not be read or written.
        """
        with self._lock:
            try:
                yield self._rows
            except self._connection.errors as error:
                raise NotStored(self._connection.told(error)) from error

    @contextmanager
    def changed(self) -> Iterator[Database]:
        """Context whose changes of the database take effect together, or not at all.

        Raises:
            NotStored: they could not be written.
        """
        with self.used() as rows, self._connection.transaction():
            yield rows

    @contextmanager
    def written(self, new: Mapping[Role, Sequence[bytes]]) -> Iterator[NewFiles]:
        """Context in which new files are there; they are deleted again after an error.

        They are announced in the database before, because another process could otherwise delete
        a file with the same content in between.

        Raises:
            NotStored: a file could not be written.
        """
        rows = {role: [(name_of(one), len(one)) for one in files] for role, files in new.items()}
        sizes = dict(one for named in rows.values() for one in named)
        writer = secrets.token_hex(8)
        with self.changed():
            self.blobs.begin_writes(writer, sizes, self.now())
        is_taken = False
        try:
            with self._files_used():
                for one in (one for files in new.values() for one in files):
                    self.files.write(one)
            yield NewFiles(rows, writer, self.blobs)
            is_taken = True
        finally:
            if not is_taken:
                with self.changed():
                    self.blobs.end_writes(writer)
                self.collect(sizes)

    def read(self, name: str) -> bytes:
        """The content of a file.

        Raises:
            NotStored: it cannot be read.
        """
        with self._files_used():
            return self.files.read(name)

    def delete(self, jobs: Sequence[int]) -> None:
        """Delete jobs, and the files that no other job has."""
        names = set[str]()
        with self.changed() as rows:
            for job in sorted(jobs):
                if rows.get(job, locked=True) is not None:
                    names |= rows.names_of(job)
                    rows.delete(job)
        self.collect(names)

    def enforce(self, limits: Limits, now: float) -> int:
        """Delete the oldest jobs without a star beyond the limits; returns how many."""
        count = 0
        while True:
            with self.used() as rows:
                chosen = surplus(rows.candidates(), self.blobs.total_size(), limits, now)
            if not chosen:
                return count
            self.delete(chosen)
            log.info("library: %d jobs deleted, by its limits", len(chosen))
            count += len(chosen)

    def collect(self, names: Iterable[str]) -> None:
        """Delete those of the files that nobody uses."""
        since = self.now() - WRITE_SECONDS
        with self.changed():
            for name in sorted(names):
                if self.blobs.lock_unused(name, since) and self.files.delete(name):
                    self.blobs.forget_file(name)

    def sweep(self) -> None:
        """Delete all files of no job, in a folder that only this process uses; within `changed`."""
        if isinstance(self.files, StoredFiles):
            self.files.sweep(self.blobs.forget_unused())

    def collect_orphans(self) -> None:
        """Delete some of the files that were written by processes which ended before their job."""
        since = self.now() - WRITE_SECONDS
        with self.used():
            names = self.blobs.orphans(since)
        if names:
            self.collect(names)

    @contextmanager
    def _files_used(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise NotStored(self.files.told(error)) from error
