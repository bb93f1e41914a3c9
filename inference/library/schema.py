"""The library's SQLite schema: tables, migrations by version number, and the connection."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

from inference.errors import LibraryUnavailable

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
)


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
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")  # durable once a transaction returns
        connection.execute("PRAGMA wal_autocheckpoint = 100")  # pages; a log of 0.4 MB
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA secure_delete = ON")  # a deleted prompt leaves no trace
        _migrate(connection, migrations)
        undo.pop_all()
    return connection


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
    version, owner = _pragma(connection, "user_version"), _pragma(connection, "application_id")
    tables = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
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
