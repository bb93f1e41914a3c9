"""The library on disk: accepts jobs, keeps what becomes of them, and gives them back by owner."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from inference.errors import NotStored
from inference.library.database import Database
from inference.library.limits import Limits, surplus
from inference.library.opening import open_storage, unusable
from inference.library.ownership import Ownership
from inference.library.records import (
    Callback,
    NewJob,
    Outcome,
    Role,
    Search,
    State,
    StoredJob,
)
from inference.library.storage import FULL

log = logging.getLogger(__name__)

# How often a painting is begun before the job is held to be what ends the server.
MAX_ATTEMPTS = 2
DIED = "The server ended twice while this was painted: try a smaller size or fewer pictures."
MAX_ID = 2**63 - 1
# Bytes that have to be free before a queued job is begun, for its pictures.
ROOM = 2**20


class Library:
    """Jobs and their files in a folder that this process alone uses. Thread-safe.

    What a method has written is on the disk when it returns; after an error nothing of it is.
    Every method raises `NotStored` where the disk cannot be read or written.

    Args:
        folder: where it is; created, for this user alone, where it is missing.
        limits: what is kept.
        clock: the time in seconds since 1970.

    Raises:
        LibraryUnavailable: another server uses it, a newer version wrote it, or the folder cannot
            be used.

    Attributes:
        notes: sentences for the user about what was found on opening.
    """

    def __init__(
        self, folder: Path, limits: Limits | None = None, clock: Callable[[], float] = time.time
    ) -> None:
        self._limits, self._clock = limits or Limits(), clock
        # Jobs whose end could not be written yet, because the disk was full.
        self._owed: dict[int, tuple[State, str]] = {}
        with ExitStack() as undo:
            try:
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                self._ownership = Ownership(folder)
                undo.callback(self._ownership.close)
                self._storage, told = open_storage(folder)
                undo.callback(self._storage.close)
                resumed = self._resume()
            except (OSError, NotStored) as error:
                raise unusable(folder) from error
            undo.pop_all()
        self.notes = tuple(filter(None, (told, resumed)))

    def close(self) -> None:
        """Release the library; running jobs stay marked, so that the next start paints them."""
        self._storage.close()
        self._ownership.close()

    # --- the life of a job -----------------------------------------------------------------------

    def accept(self, job: NewJob, *, running: bool = False) -> StoredJob:
        """Store a job: to be painted in its turn or, with `running`, by the caller at once."""
        files = {Role.PHOTO: [job.photo], Role.MASK: [] if job.mask is None else [job.mask]}
        with self._changed() as rows, self._storage.changed(files) as stored:
            state = State.RUNNING if running else State.QUEUED
            number = rows.insert(job, state, self._clock())
            rows.add_files(number, stored)
            return self._known(rows, number)

    def claim(self) -> StoredJob | None:
        """Mark the queued job that was accepted first as running; None if none is queued.

        Raises:
            NotStored: also where the disk is too full for what the job may give; it stays queued.
        """
        with self._changed() as rows:
            number = rows.first_queued()
            if number is None:
                return None
            if self._storage.files.room() < ROOM:
                raise NotStored(FULL)
            attempts, now = self._known(rows, number).attempts + 1, self._clock()
            with self._storage.changed():
                rows.change(number, now, state=State.RUNNING, started=now, attempts=attempts)
            return self._known(rows, number)

    def finish(self, job: int, outcome: Outcome) -> bool:
        """Store what a running job gave; False if it was cancelled or deleted in the meantime."""
        files = {
            Role.PICTURE: [one.file for one in outcome.pictures],
            Role.THUMBNAIL: [one.thumbnail for one in outcome.pictures],
        }
        with self._changed() as rows:
            known = rows.get(job)
            if known is None or known.state is not State.RUNNING:
                return False
            with self._storage.changed(files) as stored:
                rows.add_files(job, stored)
                rows.finish(job, self._clock(), outcome, known.notes)
        self.enforce_limits()
        return True

    def fail(self, job: int, reason: str) -> None:
        """Store why a job has failed; later, if the disk is full now."""
        self._end(job, State.FAILED, reason)

    def cancel(self, job: int, reason: str) -> None:
        """Store that a job was cancelled; later, if the disk is full now."""
        self._end(job, State.CANCELLED, reason)

    def requeue(self, job: int) -> None:
        """Put a running job back into the queue as if it had not been begun."""
        with self._changed() as rows:
            known = rows.get(job)
            if known is not None and known.state is State.RUNNING:
                attempts = max(0, known.attempts - 1)
                with self._storage.changed():
                    rows.change(
                        job, self._clock(), state=State.QUEUED, started=None, attempts=attempts
                    )

    # --- one job ---------------------------------------------------------------------------------

    def get(self, owner: str, job: int) -> StoredJob | None:
        """A job by its number; None if there is none, or it is another owner's."""
        if not 0 < job <= MAX_ID:
            return None
        with self._storage.used() as rows:
            known = rows.get(job)
        return known if known is not None and known.owner == owner else None

    def find(self, job: int) -> StoredJob | None:
        """A job by its number, whoever owns it; for what is done in an owner's name."""
        with self._storage.used() as rows:
            return rows.get(job)

    def star(self, owner: str, job: int, starred: bool = True) -> bool:
        """Exempt a job from the limits, or no longer; False if there is no such job."""
        with self._changed() as rows:
            if self.get(owner, job) is None:
                return False
            with self._storage.changed():
                rows.change(job, self._clock(), starred=starred)
            return True

    def delete(self, owner: str, job: int) -> bool:
        """Delete a job with its files, whatever its state; False if there is no such job."""
        with self._changed():
            if self.get(owner, job) is None:
                return False
            self._storage.delete([job])
            return True

    # --- several jobs ----------------------------------------------------------------------------

    def search(self, wanted: Search) -> list[StoredJob]:
        """The jobs of an owner that a search wants, the newest first."""
        with self._storage.used() as rows:
            return rows.search(wanted)

    def count_waiting(self, owner: str = "") -> int:
        """How many jobs are queued or running, of this owner or of all."""
        with self._storage.used() as rows:
            return rows.count_waiting(owner)

    def find_same(self, owner: str, fingerprint: str, seconds: float) -> StoredJob | None:
        """The latest job with this fingerprint in the last `seconds`."""
        with self._storage.used() as rows:
            return rows.find_same(owner, fingerprint, self._clock() - seconds)

    def enforce_limits(self) -> int:
        """Delete the oldest jobs without a star beyond the limits; returns how many."""
        try:
            with self._changed() as rows:
                chosen = surplus(rows.candidates(), rows.total_size(), self._limits, self._clock())
                if chosen:
                    self._storage.delete(chosen)
                    log.info("library: %d jobs deleted, by its limits", len(chosen))
                return len(chosen)
        except NotStored as error:
            log.warning("library: its limits could not be enforced: %s", error)
            return 0

    # --- files -----------------------------------------------------------------------------------

    def path(self, owner: str, name: str) -> Path | None:
        """Where a file of one of the owner's jobs is; None if there is none."""
        with self._storage.used() as rows:
            if not rows.owns(owner, name):
                return None
        path = self._storage.files.path(name)
        return path if path.is_file() else None

    def picture(self, name: str) -> Path | None:
        """Where a finished picture is, for whoever knows its name; None if there is none."""
        with self._storage.used() as rows:
            known = rows.is_picture(name)
        path = self._storage.files.path(name) if known else None
        return path if path is not None and path.is_file() else None

    def read(self, name: str) -> bytes:
        """The content of a file of a job, for its painting."""
        with self._storage.used():
            return self._storage.files.read(name)

    # --- callbacks -------------------------------------------------------------------------------

    def due_callbacks(self) -> list[Callback]:
        """The callbacks that are due, the longest due first."""
        with self._storage.used() as rows:
            return rows.due_callbacks(self._clock())

    def postpone_callback(self, job: int, seconds: float) -> None:
        """Count a failed attempt of a callback, and have the next one in `seconds`."""
        with self._changed() as rows, self._storage.changed():
            rows.postpone_callback(job, self._clock() + seconds)

    def drop_callback(self, job: int, note: str = "") -> None:
        """Forget a callback: it was delivered, or is given up, which the note says."""
        with self._changed() as rows, self._storage.changed():
            rows.drop_callback(job)
            known = rows.get(job)
            if note and known is not None:
                rows.set_notes(job, self._clock(), (*known.notes, note))

    # --- tokens ----------------------------------------------------------------------------------

    def token_owner(self, digest: str) -> str | None:
        """Whose API token has this digest; None if none has."""
        with self._storage.used() as rows:
            return rows.token_name(digest)

    def has_tokens(self) -> bool:
        """Whether there is any API token."""
        with self._storage.used() as rows:
            return bool(rows.token_names())

    # --- within ----------------------------------------------------------------------------------

    @contextmanager
    def _changed(self) -> Iterator[Database]:
        """Context of a change; ends that are still to be written are written before it."""
        with self._storage.used() as rows:
            for job, (state, reason) in list(self._owed.items()):
                known = rows.get(job)
                if known is not None and not known.state.has_ended:
                    with self._storage.changed():
                        rows.end(job, state, self._clock(), error=reason)
                del self._owed[job]
            yield rows

    def _end(self, job: int, state: State, reason: str) -> None:
        self._owed[job] = (state, reason)
        try:
            with self._changed():
                pass
        except NotStored:
            log.warning("library: the end of job %d is stored later", job)

    def _resume(self) -> str:
        """Queue the jobs that ran when the server ended, and delete files of nobody."""
        queued = failed = 0
        with self._changed() as rows, self._storage.changed():
            for job in rows.ids(State.RUNNING):
                if self._known(rows, job).attempts >= MAX_ATTEMPTS:
                    rows.end(job, State.FAILED, self._clock(), error=DIED)
                    failed += 1
                else:
                    rows.change(job, self._clock(), state=State.QUEUED)
                    queued += 1
        self._storage.files.sweep(rows.names())
        begun = f"{queued} jobs that were cut off are painted again." if queued else ""
        given_up = f"{failed} jobs that ended the server twice are given up." if failed else ""
        return " ".join(filter(None, (begun, given_up)))

    def _known(self, rows: Database, number: int) -> StoredJob:
        found = rows.get(number)
        assert found is not None
        return found
