"""PostgreSQL as the database of a library, for any number of processes and machines."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import Any

import psycopg
from psycopg.rows import DictRow, dict_row

from inference.errors import LibraryUnavailable
from inference.library.address import NO_DATABASE, Shared
from inference.library.schema import MIGRATIONS, Migrations

log = logging.getLogger(__name__)

SCHEMA = "masquerade"
# How PostgreSQL writes what SQLite writes so, in migrations.
TYPES = (
    ("INTEGER PRIMARY KEY AUTOINCREMENT", "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY"),
    ("INTEGER", "BIGINT"),
    ("REAL", "DOUBLE PRECISION"),
    (") WITHOUT ROWID", ")"),
)
# Of the connection, unless the address says otherwise: a database that is gone is noticed.
DEFAULTS = {
    "connect_timeout": "5", "keepalives_idle": "10", "keepalives_interval": "5",
    "keepalives_count": "3", "tcp_user_timeout": "20000", "application_name": SCHEMA,
}  # fmt: skip
# So that a process that hangs keeps no rows from the others.
SESSION = (
    f"SET search_path = {SCHEMA}; SET statement_timeout = '30s'; SET lock_timeout = '10s'; "
    "SET idle_in_transaction_session_timeout = '30s'"
)
LOCK = 0x4D617371  # "Masq": of migrations
_PARAMETER = re.compile(r"(?<![:\w]):([a-z]\w*)")
Connection = psycopg.Connection[DictRow]


class Postgresql:
    """A connection to the database, as a `Connection` of `rows.py`.

    One that was lost is made anew for the next transaction, or for a statement outside of one.

    Args:
        place: its address.
        migrations: that it is brought to.

    Raises:
        LibraryUnavailable: it cannot be reached or used, or was written by a newer version.
    """

    errors: tuple[type[Exception], ...] = (psycopg.Error,)

    def __init__(self, place: Shared, migrations: Migrations = MIGRATIONS) -> None:
        self._place = place
        self._shift, self._in_transaction = 0.0, False
        try:
            given = psycopg.conninfo.conninfo_to_dict(place.database)
        except psycopg.ProgrammingError:
            raise LibraryUnavailable(NO_DATABASE) from None  # its message may quote the password
        self._address = psycopg.conninfo.make_conninfo(
            place.database, **{k: v for k, v in DEFAULTS.items() if k not in given}
        )
        try:
            self._connection = self._connected()
            try:
                _migrate(self._connection, place, migrations)
            except (psycopg.Error, LibraryUnavailable):
                self._connection.close()
                raise
        except psycopg.Error as error:
            raise LibraryUnavailable(self.told(error)) from error

    def execute(
        self, sql: str, values: Mapping[str, object] | None = None
    ) -> psycopg.Cursor[DictRow]:
        """Run a statement; once more on a new connection, if this one was lost in between."""
        query, given = _translated(sql), _plain(values or {})
        try:
            return self._connection.execute(query, given)
        except psycopg.OperationalError:
            if self._in_transaction or not self._connection.closed:
                raise
        self._connection = self._connected()
        return self._connection.execute(query, given)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Context whose statements take effect together, or not at all."""
        self.execute("BEGIN")
        self._in_transaction, end = True, "ROLLBACK"
        try:
            yield
            end = "COMMIT"
        finally:
            try:
                self._connection.execute(end)
            except psycopg.Error:
                if end == "COMMIT":  # otherwise, the error that led here says more
                    raise
            finally:
                self._in_transaction = False

    def now(self) -> float:
        """Seconds since 1970, by the database's clock when the connection was made."""
        return time.monotonic() + self._shift

    def told(self, error: Exception) -> str:
        """The sentence for an error; it quotes nothing of it."""
        state, text = getattr(error, "sqlstate", None) or "", str(error)
        where = f"The library's database {self._place.shown}"
        if state.startswith("28") or "authentication failed" in text or "no pg_hba.conf" in text:
            return f"{where} refuses the user: correct user and password in --library."
        if state == "3D000" or re.search(r'database ".*" does not exist', text):
            return f"{where} does not exist: create it with createdb, or correct --library."
        if state == "42501":
            return f"{where} does not let the user create tables: grant CREATE, or give its owner."
        if state == "53100":
            return f"{where} has a full disk: free some space there, or lower --library-size."
        if state == "25006":
            return f"{where} is read-only: give the address of the server that can be written to."
        if not state or state[:2] in ("08", "53", "57"):
            return f"{where} does not answer: start it, or check the network; jobs wait until then."
        return f"{where} refused a statement ({state}): see its log, and start the server again."

    def close(self) -> None:
        """End the connection."""
        self._connection.close()

    def _connected(self) -> Connection:
        connection: Connection = psycopg.connect(
            self._address, autocommit=True, row_factory=dict_row, client_encoding="utf8"
        )
        connection.execute(SESSION)
        row = connection.execute("SELECT extract(epoch FROM clock_timestamp()) AS now").fetchone()
        assert row is not None
        self._shift = float(row["now"]) - time.monotonic()
        return connection


def _migrate(connection: Connection, place: Shared, migrations: Migrations) -> None:
    """Create what is missing; of several processes at once, one does it."""
    with connection.transaction():
        # A migration, and waiting for that of another process, may take long.
        connection.execute("SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0")
        connection.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])
        version = _version(connection)
        if version > len(migrations):
            raise LibraryUnavailable(
                f"The library in {place.shown} was written by a newer Masquerade, so it was left "
                "as it is: update Masquerade, or give another --library."
            )
        if version == len(migrations):
            return
        for statements in migrations[version:]:
            for statement in statements:
                for ours, theirs in TYPES:
                    statement = statement.replace(ours, theirs)
                connection.execute(statement)
        connection.execute("DELETE FROM version")
        connection.execute("INSERT INTO version (number) VALUES (%s)", [len(migrations)])
        log.info("library: %s is of version %d now", place.shown, len(migrations))


def _version(connection: Connection) -> int:
    """The version of the tables; 0, and a table for it, where there are none."""
    found = connection.execute("SELECT to_regclass(%s) AS name", [f"{SCHEMA}.version"]).fetchone()
    if found is None or found["name"] is None:
        named = connection.execute("SELECT to_regnamespace(%s) AS name", [SCHEMA]).fetchone()
        if named is None or named["name"] is None:
            connection.execute(f"CREATE SCHEMA {SCHEMA}")
        connection.execute("CREATE TABLE version (number BIGINT NOT NULL)")
    row = connection.execute("SELECT coalesce(max(number), 0) AS number FROM version").fetchone()
    return 0 if row is None else int(row["number"])


@cache
def _translated(sql: str) -> str:
    """A statement with psycopg's parameters: `%(name)s` for `:name`."""
    return _PARAMETER.sub(r"%(\1)s", sql.replace("%", "%%"))


def _plain(values: Mapping[str, object]) -> dict[str, Any]:
    """Values as PostgreSQL takes them: enumerations as their text, and no NUL in a text."""
    return {
        name: str(value).replace("\0", "�") if isinstance(value, str) else value
        for name, value in values.items()
    }
