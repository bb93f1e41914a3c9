"""The library's schema: tables and migrations by version number; SQLite, which holds them."""

from __future__ import annotations

import re
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

from inference.errors import LibraryUnavailable
from inference.library.limits import FULL

# "Masq", in SQLite's header: tells a library from other databases.
APPLICATION_ID = 0x4D617371
BUSY_SECONDS = 10.0
# Error codes of SQLite (https://sqlite.org/rescode.html) for a file that is no intact database.
UNREADABLE = frozenset((sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB))

Migrations = Sequence[tuple[str, ...]]

#: The statements that lead from one version to the next; never changed, only added to.
MIGRATIONS: Migrations = (
    (
        """
        CREATE TABLE jobs (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            owner TEXT NOT NULL,
            origin TEXT NOT NULL,
            state TEXT NOT NULL,
            created REAL NOT NULL,
            started REAL,
            finished REAL,
            updated REAL NOT NULL,
            recipe TEXT NOT NULL,
            prompt TEXT NOT NULL,
            style TEXT NOT NULL,
            words TEXT NOT NULL,
            request TEXT NOT NULL,
            report TEXT NOT NULL DEFAULT '{}',
            notes TEXT NOT NULL,
            error TEXT NOT NULL DEFAULT '',
            fingerprint TEXT NOT NULL,
            callback TEXT NOT NULL,
            starred INTEGER NOT NULL DEFAULT 0,
            attempts INTEGER NOT NULL DEFAULT 0
        )
        """,
        "CREATE INDEX jobs_by_owner ON jobs (owner, id)",
        "CREATE INDEX jobs_by_state ON jobs (state, id)",
        "CREATE INDEX jobs_by_fingerprint ON jobs (fingerprint)",
        """
        CREATE TABLE files (
            job INTEGER NOT NULL REFERENCES jobs ON DELETE CASCADE,
            role TEXT NOT NULL,
            position INTEGER NOT NULL,
            name TEXT NOT NULL,
            size INTEGER NOT NULL,
            PRIMARY KEY (job, role, position)
        ) WITHOUT ROWID
        """,
        "CREATE INDEX files_by_name ON files (name)",
        """
        CREATE TABLE callbacks (
            job INTEGER PRIMARY KEY REFERENCES jobs ON DELETE CASCADE,
            url TEXT NOT NULL,
            attempts INTEGER NOT NULL DEFAULT 0,
            due REAL NOT NULL
        )
        """,
        """
        CREATE TABLE tokens (
            name TEXT NOT NULL,
            digest TEXT NOT NULL PRIMARY KEY,
            created REAL NOT NULL
        ) WITHOUT ROWID
        """,
    ),
    (
        # Who paints a job, and until when that is so without another word from there.
        "ALTER TABLE jobs ADD COLUMN worker TEXT NOT NULL DEFAULT ''",
        "ALTER TABLE jobs ADD COLUMN lease REAL",
        "ALTER TABLE callbacks ADD COLUMN held REAL NOT NULL DEFAULT 0",
        "CREATE INDEX jobs_by_end ON jobs (finished, id)",
        # Each file once. Its row is locked while it is deleted, and by who announces a write.
        """
        CREATE TABLE blobs (
            name TEXT NOT NULL PRIMARY KEY,
            size INTEGER NOT NULL,
            touched REAL NOT NULL
        ) WITHOUT ROWID
        """,
        "INSERT INTO blobs SELECT name, max(size), 0 FROM files GROUP BY name",
        """
        CREATE TABLE unfinished_writes (
            name TEXT NOT NULL,
            writer TEXT NOT NULL,
            since REAL NOT NULL,
            PRIMARY KEY (name, writer)
        ) WITHOUT ROWID
        """,
        "CREATE INDEX unfinished_writes_by_writer ON unfinished_writes (writer)",
        # What one of all processes does from time to time.
        """
        CREATE TABLE chores (
            name TEXT NOT NULL PRIMARY KEY,
            due REAL NOT NULL
        ) WITHOUT ROWID
        """,
    ),
)

LOCKS = re.compile(r" FOR UPDATE(?: SKIP LOCKED)?$")


class Sqlite:
    """The SQLite database in a library's folder, as a `Connection`.

    Args:
        folder: of the library, for messages.
        connection: of `connect`.
    """

    errors: tuple[type[Exception], ...] = (sqlite3.Error,)

    def __init__(self, folder: Path, connection: sqlite3.Connection) -> None:
        self._folder, self._connection = folder, connection

    def execute(self, sql: str, values: Mapping[str, object] | None = None) -> sqlite3.Cursor:
        """Run a statement."""
        return self._connection.execute(LOCKS.sub("", sql), values or {})

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Context whose statements take effect together, or not at all."""
        with transaction(self._connection):
            yield

    def now(self) -> float:
        """Seconds since 1970, by this machine's clock."""
        return time.time()

    def told(self, error: Exception) -> str:
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
            getattr(error, "sqlite_errorcode", 0) & 0xFF,
            f"The library in {self._folder} cannot be used: check its disk, and start the server "
            "again.",
        )

    def close(self) -> None:
        """Close the database."""
        self._connection.close()


def connect(file: Path, migrations: Migrations = MIGRATIONS) -> sqlite3.Connection:
    """Open the database, create what is missing, and bring an older one to this version.

    Raises:
        LibraryUnavailable: it was written by a newer version, or is another program's; it is
            left as it is.
        sqlite3.DatabaseError: it cannot be read, or not be written to.
    """
    with ExitStack() as undo:
        connection = undo.enter_context(
            closing(
                sqlite3.connect(
                    file, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
                )
            )
        )
        connection.row_factory = sqlite3.Row
        _check_version(connection, file, len(migrations))
        use_write_ahead_log(connection)
        connection.execute("PRAGMA synchronous = FULL")  # durable once a transaction returns
        connection.execute("PRAGMA wal_autocheckpoint = 100")  # pages; a log of 0.4 MB
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA secure_delete = ON")  # a deleted prompt leaves no trace
        _migrate(connection, migrations)
        undo.pop_all()
    return connection


def use_write_ahead_log(connection: sqlite3.Connection) -> None:
    """Switch to a write-ahead log; SQLite does not wait for other processes there, so this does.

    Raises:
        sqlite3.OperationalError: the database was locked for `BUSY_SECONDS`.
    """
    end = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > end:
                raise
        time.sleep(0.01)


def check(connection: sqlite3.Connection) -> None:
    """Raise sqlite3.DatabaseError if the database is damaged."""
    found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    if found != "ok":
        error = sqlite3.DatabaseError(found)
        error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
        raise error


def is_unreadable(error: sqlite3.DatabaseError) -> bool:
    """Whether an error says that the file is no intact database."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in UNREADABLE


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """Context whose statements take effect together, or not at all."""
    with connection:  # commits, or rolls back after an error
        connection.execute("BEGIN IMMEDIATE")
        yield connection


def _check_version(connection: sqlite3.Connection, file: Path, known: int) -> None:
    connection.execute("BEGIN")  # another process may be creating it, so all is read at one moment
    tables = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
    version, owner = _pragma(connection, "user_version"), _pragma(connection, "application_id")
    connection.execute("COMMIT")
    if tables and owner != APPLICATION_ID:
        raise LibraryUnavailable(
            f"{file} is another program's, so it was left as it is: give another --library."
        )
    if version > known:
        raise LibraryUnavailable(
            f"The library in {file.parent} was written by a newer Masquerade, so it was left as "
            "it is: update Masquerade, or give another --library."
        )


def _migrate(connection: sqlite3.Connection, migrations: Migrations) -> None:
    with transaction(connection):
        for statements in migrations[_pragma(connection, "user_version") :]:
            for statement in statements:
                connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {len(migrations)}")


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    return int(connection.execute(f"PRAGMA {name}").fetchone()[0])
