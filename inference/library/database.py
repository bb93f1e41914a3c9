"""The queries of the library: jobs, their files, callbacks and tokens, as rows of the database."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence

from inference.library.limits import Candidate
from inference.library.records import Callback, NewJob, Outcome, Role, Search, State, StoredJob
from inference.library.rows import Connection, Row, conditions_of, job_of, listed, recipe_columns

# Name and size of a file, by what it is; the position is that in the sequence.
FileRows = Mapping[Role, Sequence[tuple[str, int]]]

_ENDED = tuple(state for state in State if state.has_ended)
# How many jobs are looked at in one go where there may be any number.
MOST = 1000


class Database:
    """Reads and writes rows; every method that writes runs within the caller's transaction.

    Args:
        connection: to a database of `schema.MIGRATIONS`.
    """

    def __init__(self, connection: Connection) -> None:
        self._execute = connection.execute

    # --- jobs ----------------------------------------------------------------------------------

    def insert(self, job: NewJob, now: float, **values: object) -> int:
        """Add a job, with more columns, and return its number."""
        known: dict[str, object] = {
            "owner": job.owner, "origin": job.origin, "created": now, "updated": now,
            "request": json.dumps(dict(job.request)), "notes": json.dumps(job.notes),
            "fingerprint": job.fingerprint, "callback": job.callback,
            **recipe_columns(job.recipe), **values,
        }  # fmt: skip
        names = ", ".join(known)
        places = ", ".join(f":{name}" for name in known)
        sql = f"INSERT INTO jobs ({names}) VALUES ({places}) RETURNING id"  # noqa: S608 - our own
        return int(self._one(sql, known)["id"])

    def change(self, job: int, now: float, **values: object) -> None:
        """Set columns of a job."""
        changed = {**values, "updated": now}
        columns = ", ".join(f"{name} = :{name}" for name in changed)
        sql = f"UPDATE jobs SET {columns} WHERE id = :id"  # noqa: S608 - names are our own
        self._execute(sql, {**changed, "id": job})

    def end(self, job: int, state: State, now: float, **values: object) -> None:
        """Set the state in which a job has ended; its callback is due from now on."""
        self.change(job, now, state=state, finished=now, lease=None, **values)
        self._execute(
            "INSERT INTO callbacks (job, url, due) SELECT id, callback, :now FROM jobs "
            "WHERE id = :job AND callback != '' ON CONFLICT DO NOTHING",
            {"now": now, "job": job},
        )

    def finish(self, job: int, now: float, outcome: Outcome, notes: tuple[str, ...]) -> None:
        """Set what a job gave; its notes follow those that it was accepted with."""
        together = json.dumps([*notes, *outcome.notes])
        report = json.dumps(dict(outcome.report))
        values = {"report": report, "notes": together, **recipe_columns(outcome.recipe)}
        self.end(job, State.DONE, now, **values)

    def extend_lease(self, job: int, worker: str, until: float | None) -> bool:
        """Set how long a worker holds a job that runs; False if it does not hold it."""
        sql = (
            "UPDATE jobs SET lease = :until WHERE id = :id AND worker = :worker AND state = :state"
        )
        values = {"id": job, "worker": worker, "until": until, "state": State.RUNNING}
        return self._execute(sql, values).rowcount > 0

    def delete(self, job: int) -> None:
        """Delete a job with all that belongs to it."""
        self._execute("DELETE FROM jobs WHERE id = :id", {"id": job})

    def get(self, job: int, *, locked: bool = False) -> StoredJob | None:
        """A job by its number; `locked` against changes by others until the transaction ends."""
        sql = f"SELECT * FROM jobs WHERE id = :id{' FOR UPDATE' if locked else ''}"  # noqa: S608
        return next(iter(self._jobs(sql, {"id": job})), None)

    def known(self, job: int) -> StoredJob:
        """A job that is there."""
        found = self.get(job)
        assert found is not None
        return found

    def first_queued(self, styles: Collection[str] | None, job: int | None) -> int | None:
        """The number of the queued job that was accepted first, locked; only among these."""
        names, values = listed("style", styles or ())
        among = "" if styles is None else f"AND style IN ({names or 'NULL'}) "
        this = "" if job is None else "AND id = :id "
        sql = (
            f"SELECT id FROM jobs WHERE state = :state {among}{this}"  # noqa: S608 - our own
            "ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED"
        )
        row = self._execute(sql, {"state": State.QUEUED, "id": job, **values}).fetchone()
        return None if row is None else int(row["id"])

    def waiting(self, now: float) -> list[tuple[int, str]]:
        """Number and style of the jobs that are queued, or whose lease has ended."""
        sql = (
            "SELECT id, style FROM jobs WHERE state = :queued "
            "OR (state = :running AND lease < :now) ORDER BY id"
        )
        values = {"queued": State.QUEUED, "running": State.RUNNING, "now": now}
        return [(int(r["id"]), r["style"]) for r in self._execute(sql, values).fetchall()]

    def expired(self, now: float) -> list[int]:
        """The numbers of running jobs whose lease has ended, locked."""
        sql = (
            "SELECT id FROM jobs WHERE state = :state AND lease < :now "
            "ORDER BY id LIMIT 20 FOR UPDATE SKIP LOCKED"
        )
        rows = self._execute(sql, {"state": State.RUNNING, "now": now}).fetchall()
        return [int(row["id"]) for row in rows]

    def ids(self, state: State) -> list[int]:
        """The numbers of all jobs in a state, in the order of acceptance."""
        sql = "SELECT id FROM jobs WHERE state = :state ORDER BY id"
        return [int(row["id"]) for row in self._execute(sql, {"state": state}).fetchall()]

    def count_waiting(self, owner: str) -> int:
        """How many jobs of an owner have not ended; "" counts all owners'."""
        row = self._one(
            "SELECT count(*) AS jobs FROM jobs WHERE state IN (:queued, :running) "
            "AND (:owner = '' OR owner = :owner)",
            {"queued": State.QUEUED, "running": State.RUNNING, "owner": owner},
        )
        return int(row["jobs"])

    def find_same(self, owner: str, fingerprint: str, since: float) -> StoredJob | None:
        """The latest job of an owner with this fingerprint, created after `since`."""
        found = self._jobs(
            "SELECT * FROM jobs WHERE fingerprint = :fingerprint AND owner = :owner "
            "AND created > :since ORDER BY id DESC LIMIT 1",
            {"fingerprint": fingerprint, "owner": owner, "since": since},
        )
        return next(iter(found), None)

    def search(self, wanted: Search) -> list[StoredJob]:
        """The jobs that a search wants, the newest first."""
        conditions, values = conditions_of(wanted)
        sql = (
            f"SELECT * FROM jobs WHERE {' AND '.join(conditions)} "  # noqa: S608 - our own
            "ORDER BY id DESC LIMIT :limit OFFSET :offset"
        )
        return self._jobs(sql, {**values, "limit": wanted.limit, "offset": wanted.offset})

    def candidates(self) -> list[Candidate]:
        """The oldest ended jobs without a star, with the bytes of files of theirs alone."""
        names, values = listed("state", _ENDED)
        rows = self._execute(
            f"""
            SELECT id, finished, (
                SELECT coalesce(sum(size), 0) FROM files WHERE job = jobs.id AND NOT EXISTS (
                    SELECT 1 FROM files AS other WHERE other.name = files.name AND other.job != id
                )
            ) AS size FROM jobs WHERE starred = 0 AND state IN ({names})
            ORDER BY finished, id LIMIT {MOST}
            """,  # noqa: S608 - names of parameters
            values,
        ).fetchall()
        return [Candidate(id=r["id"], finished=r["finished"], size=int(r["size"])) for r in rows]

    # --- files ---------------------------------------------------------------------------------

    def add_files(self, job: int, files: FileRows) -> None:
        """Add files to a job."""
        for role, rows in files.items():
            for position, (name, size) in enumerate(rows):
                self._execute(
                    "INSERT INTO files (job, role, position, name, size) "
                    "VALUES (:job, :role, :position, :name, :size)",
                    {"job": job, "role": role, "position": position, "name": name, "size": size},
                )

    def names_of(self, job: int) -> set[str]:
        """The names of a job's files."""
        rows = self._execute("SELECT name FROM files WHERE job = :job", {"job": job}).fetchall()
        return {str(row["name"]) for row in rows}

    def is_picture(self, name: str) -> bool:
        """Whether a file is a finished picture or the thumbnail of one."""
        sql = "SELECT 1 FROM files WHERE name = :name AND role IN (:picture, :thumbnail) LIMIT 1"
        values = {"name": name, "picture": Role.PICTURE, "thumbnail": Role.THUMBNAIL}
        return self._execute(sql, values).fetchone() is not None

    # --- callbacks, tokens and chores ----------------------------------------------------------

    def due_callbacks(self, now: float) -> list[Callback]:
        """The callbacks that are due and that nobody holds, the longest due first, locked."""
        rows = self._execute(
            "SELECT job, url, attempts FROM callbacks WHERE due <= :now AND held <= :now "
            "ORDER BY due, job LIMIT :most FOR UPDATE SKIP LOCKED",
            {"now": now, "most": MOST},
        ).fetchall()
        return [Callback(job=r["job"], url=r["url"], attempts=r["attempts"]) for r in rows]

    def hold_callback(self, job: int, until: float) -> None:
        """Keep a callback to whoever delivers it now, until a time."""
        self._execute(
            "UPDATE callbacks SET held = :until WHERE job = :job", {"until": until, "job": job}
        )

    def postpone_callback(self, job: int, due: float) -> None:
        """Count a failed attempt, and set the time of the next one."""
        self._execute(
            "UPDATE callbacks SET attempts = attempts + 1, due = :due, held = 0 WHERE job = :job",
            {"due": due, "job": job},
        )

    def drop_callback(self, job: int) -> None:
        """Forget a callback: it was delivered, or is given up."""
        self._execute("DELETE FROM callbacks WHERE job = :job", {"job": job})

    def add_token(self, name: str, digest: str, now: float) -> None:
        """Add a token; only its digest is stored."""
        sql = "INSERT INTO tokens (name, digest, created) VALUES (:name, :digest, :now)"
        self._execute(sql, {"name": name, "digest": digest, "now": now})

    def token_name(self, digest: str) -> str | None:
        """The name of the token with this digest."""
        sql = "SELECT name FROM tokens WHERE digest = :digest"
        row = self._execute(sql, {"digest": digest}).fetchone()
        return None if row is None else str(row["name"])

    def token_names(self) -> list[str]:
        """The names of all tokens, one for each."""
        rows = self._execute("SELECT name FROM tokens ORDER BY name, created").fetchall()
        return [str(row["name"]) for row in rows]

    def drop_tokens(self, name: str) -> int:
        """Delete the tokens of a name; returns how many there were."""
        return self._execute("DELETE FROM tokens WHERE name = :name", {"name": name}).rowcount

    def take_chore(self, name: str, now: float, seconds: float) -> bool:
        """Whether a chore is due, which nobody else is told for so many seconds."""
        values = {"name": name, "now": now, "due": now + seconds}
        self._execute(
            "INSERT INTO chores (name, due) VALUES (:name, 0) ON CONFLICT DO NOTHING", values
        )
        sql = "UPDATE chores SET due = :due WHERE name = :name AND due <= :now"
        return self._execute(sql, values).rowcount > 0

    # --- within --------------------------------------------------------------------------------

    def _one(self, sql: str, values: Mapping[str, object] | None = None) -> Row:
        """The row of a query that always gives one."""
        row = self._execute(sql, values).fetchone()
        assert row is not None
        return row

    def _jobs(self, sql: str, values: Mapping[str, object]) -> list[StoredJob]:
        """The jobs of a query, with the names of their files."""
        rows = self._execute(sql, values).fetchall()
        files: dict[int, list[Row]] = {row["id"]: [] for row in rows}
        names, numbers = listed("job", files)
        if files:
            for file in self._execute(
                f"SELECT job, role, name FROM files WHERE job IN ({names}) "  # noqa: S608 - ours
                "ORDER BY job, role, position",
                numbers,
            ).fetchall():
                files[file["job"]].append(file)
        # One without files was deleted by another process in between.
        return [job_of(row, files[row["id"]]) for row in rows if files[row["id"]]]
