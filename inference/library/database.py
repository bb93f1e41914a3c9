"""The queries of the library: jobs, their files, callbacks and tokens, as rows of the database."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from inference.library.limits import Candidate
from inference.library.records import (
    Callback,
    NewJob,
    Outcome,
    Role,
    Search,
    State,
    StoredJob,
)
from inference.library.rows import job_of, recipe_columns, words_of

# Name and size of a file, by what it is; the position is that in the sequence.
FileRows = Mapping[Role, Sequence[tuple[str, int]]]

_ENDED = tuple(state for state in State if state.has_ended)


class Database:
    """Reads and writes rows; every method runs within the caller's transaction.

    Args:
        connection: of `schema.connect`.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    # --- jobs ----------------------------------------------------------------------------------

    def insert(self, job: NewJob, state: State, now: float) -> int:
        """Add a job and return its number."""
        begun = state is State.RUNNING
        values: dict[str, Any] = {
            "owner": job.owner, "origin": job.origin, "state": state, "created": now,
            "started": now if begun else None, "updated": now, "attempts": int(begun),
            "request": json.dumps(dict(job.request)), "notes": json.dumps(job.notes),
            "fingerprint": job.fingerprint, "callback": job.callback, **recipe_columns(job.recipe),
        }  # fmt: skip
        names = ", ".join(values)
        places = ", ".join(f":{name}" for name in values)
        sql = f"INSERT INTO jobs ({names}) VALUES ({places})"  # noqa: S608 - names are our own
        return int(self._connection.execute(sql, values).lastrowid or 0)

    def change(self, job: int, now: float, **values: object) -> None:
        """Set columns of a job."""
        changed = {**values, "updated": now}
        columns = ", ".join(f"{name} = :{name}" for name in changed)
        sql = f"UPDATE jobs SET {columns} WHERE id = :id"  # noqa: S608 - names are our own
        self._connection.execute(sql, {**changed, "id": job})

    def end(self, job: int, state: State, now: float, **values: object) -> None:
        """Set the state in which a job has ended; its callback is due from now on."""
        self.change(job, now, state=state, finished=now, **values)
        self._connection.execute(
            "INSERT OR IGNORE INTO callbacks (job, url, due) "
            "SELECT id, callback, ? FROM jobs WHERE id = ? AND callback != ''",
            (now, job),
        )

    def finish(self, job: int, now: float, outcome: Outcome, notes: tuple[str, ...]) -> None:
        """Set what a job gave; its notes follow those that it was accepted with."""
        together = json.dumps([*notes, *outcome.notes])
        report = json.dumps(dict(outcome.report))
        values = {"report": report, "notes": together, **recipe_columns(outcome.recipe)}
        self.end(job, State.DONE, now, **values)

    def set_notes(self, job: int, now: float, notes: tuple[str, ...]) -> None:
        """Set the notes of a job."""
        self.change(job, now, notes=json.dumps(notes))

    def delete(self, job: int) -> None:
        """Delete a job with all that belongs to it."""
        self._connection.execute("DELETE FROM jobs WHERE id = ?", (job,))

    def get(self, job: int) -> StoredJob | None:
        """A job by its number."""
        rows = self._connection.execute("SELECT * FROM jobs WHERE id = ?", (job,)).fetchall()
        return next(iter(self._jobs(rows)), None)

    def first_queued(self) -> int | None:
        """The number of the queued job that was accepted first."""
        row = self._connection.execute(
            "SELECT min(id) FROM jobs WHERE state = ?", (State.QUEUED,)
        ).fetchone()
        return None if row[0] is None else int(row[0])

    def ids(self, state: State) -> list[int]:
        """The numbers of all jobs in a state, in the order of acceptance."""
        rows = self._connection.execute("SELECT id FROM jobs WHERE state = ? ORDER BY id", (state,))
        return [int(row[0]) for row in rows]

    def count_waiting(self, owner: str) -> int:
        """How many jobs of an owner have not ended; "" counts all owners'."""
        row = self._connection.execute(
            "SELECT count(*) FROM jobs WHERE state IN (?, ?) AND ? IN ('', owner)",
            (State.QUEUED, State.RUNNING, owner),
        ).fetchone()
        return int(row[0])

    def find_same(self, owner: str, fingerprint: str, since: float) -> StoredJob | None:
        """The latest job of an owner with this fingerprint, created after `since`."""
        rows = self._connection.execute(
            "SELECT * FROM jobs WHERE fingerprint = ? AND owner = ? AND created > ? "
            "ORDER BY id DESC LIMIT 1",
            (fingerprint, owner, since),
        ).fetchall()
        return next(iter(self._jobs(rows)), None)

    def search(self, wanted: Search) -> list[StoredJob]:
        """The jobs that a search wants, the newest first."""
        conditions, values = _conditions(wanted)
        sql = f"SELECT * FROM jobs WHERE {' AND '.join(conditions)} "  # noqa: S608 - our own
        rows = self._connection.execute(
            f"{sql} ORDER BY id DESC LIMIT ? OFFSET ?", [*values, wanted.limit, wanted.offset]
        ).fetchall()
        return self._jobs(rows)

    # --- files ---------------------------------------------------------------------------------

    def add_files(self, job: int, files: FileRows) -> None:
        """Add files to a job."""
        self._connection.executemany(
            "INSERT INTO files (job, role, position, name, size) VALUES (?, ?, ?, ?, ?)",
            [
                (job, role, position, name, size)
                for role, rows in files.items()
                for position, (name, size) in enumerate(rows)
            ],
        )

    def names(self) -> set[str]:
        """The names of all files."""
        return {str(row[0]) for row in self._connection.execute("SELECT name FROM files")}

    def names_of(self, job: int) -> set[str]:
        """The names of a job's files."""
        rows = self._connection.execute("SELECT name FROM files WHERE job = ?", (job,))
        return {str(row[0]) for row in rows}

    def unused(self, names: Iterable[str]) -> list[str]:
        """Those of the names that belong to no job."""
        sql = "SELECT 1 FROM files WHERE name = ? LIMIT 1"
        return [one for one in names if self._connection.execute(sql, (one,)).fetchone() is None]

    def owns(self, owner: str, name: str) -> bool:
        """Whether a file belongs to a job of this owner."""
        sql = "SELECT 1 FROM files JOIN jobs ON jobs.id = files.job WHERE name = ? AND owner = ?"
        return self._connection.execute(sql, (name, owner)).fetchone() is not None

    def is_picture(self, name: str) -> bool:
        """Whether a file is a finished picture or the thumbnail of one."""
        sql = "SELECT 1 FROM files WHERE name = ? AND role IN (?, ?) LIMIT 1"
        values = (name, Role.PICTURE, Role.THUMBNAIL)
        return self._connection.execute(sql, values).fetchone() is not None

    def total_size(self) -> int:
        """Bytes of all files; a file of several jobs counts once."""
        sql = "SELECT coalesce(sum(size), 0) FROM (SELECT DISTINCT name, size FROM files)"
        return int(self._connection.execute(sql).fetchone()[0])

    def candidates(self) -> list[Candidate]:
        """Ended jobs without a star, the oldest first, with the bytes of files of theirs alone."""
        places = ", ".join("?" * len(_ENDED))
        rows = self._connection.execute(
            f"""
            SELECT id, finished, (
                SELECT coalesce(sum(size), 0) FROM files WHERE job = jobs.id AND NOT EXISTS (
                    SELECT 1 FROM files AS other WHERE other.name = files.name AND other.job != id
                )
            ) FROM jobs WHERE starred = 0 AND state IN ({places}) ORDER BY finished, id
            """,  # noqa: S608 - question marks
            _ENDED,
        )
        return [Candidate(id=row[0], finished=row[1], size=row[2]) for row in rows]

    # --- callbacks -----------------------------------------------------------------------------

    def due_callbacks(self, now: float) -> list[Callback]:
        """The callbacks that are due, the longest due first."""
        rows = self._connection.execute(
            "SELECT job, url, attempts FROM callbacks WHERE due <= ? ORDER BY due, job", (now,)
        )
        return [Callback(job=row[0], url=row[1], attempts=row[2]) for row in rows]

    def postpone_callback(self, job: int, due: float) -> None:
        """Count a failed attempt, and set the time of the next one."""
        self._connection.execute(
            "UPDATE callbacks SET attempts = attempts + 1, due = ? WHERE job = ?", (due, job)
        )

    def drop_callback(self, job: int) -> None:
        """Forget a callback: it was delivered, or is given up."""
        self._connection.execute("DELETE FROM callbacks WHERE job = ?", (job,))

    # --- tokens --------------------------------------------------------------------------------

    def add_token(self, name: str, digest: str, now: float) -> None:
        """Add a token; only its digest is stored."""
        self._connection.execute(
            "INSERT INTO tokens (name, digest, created) VALUES (?, ?, ?)", (name, digest, now)
        )

    def token_name(self, digest: str) -> str | None:
        """The name of the token with this digest."""
        row = self._connection.execute(
            "SELECT name FROM tokens WHERE digest = ?", (digest,)
        ).fetchone()
        return None if row is None else str(row[0])

    def token_names(self) -> list[str]:
        """The names of all tokens, one for each."""
        rows = self._connection.execute("SELECT name FROM tokens ORDER BY name, created")
        return [str(row[0]) for row in rows]

    def drop_tokens(self, name: str) -> int:
        """Delete the tokens of a name; returns how many there were."""
        return self._connection.execute("DELETE FROM tokens WHERE name = ?", (name,)).rowcount

    def _jobs(self, rows: Sequence[sqlite3.Row]) -> list[StoredJob]:
        """The jobs of rows, with the names of their files."""
        sql = "SELECT role, name FROM files WHERE job = ? ORDER BY role, position"
        return [job_of(row, self._connection.execute(sql, (row["id"],)).fetchall()) for row in rows]


def _conditions(wanted: Search) -> tuple[list[str], list[object]]:
    conditions, found = ["owner = ?"], list[object]([wanted.owner])
    for word in words_of(wanted.words):
        conditions.append("instr(words, ?) > 0")
        found.append(word)
    if wanted.states:
        conditions.append(f"state IN ({', '.join('?' * len(wanted.states))})")
        found += wanted.states
    if wanted.style:
        conditions.append("style = ?")
        found.append(wanted.style)
    if wanted.origin is not None:
        conditions.append("origin = ?")
        found.append(wanted.origin)
    if wanted.starred:
        conditions.append("starred = 1")
    if wanted.before is not None:
        conditions.append("id < ?")
        found.append(wanted.before)
    return conditions, found
