"""The library: accepts jobs, keeps what becomes of them, and gives them back by owner."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from inference.errors import NotStored
from inference.library.address import Place
from inference.library.database import Database
from inference.library.leases import LEASE, Leases
from inference.library.limits import FULL, Limits
from inference.library.opening import open_storage, owned, unusable
from inference.library.records import Callback, NewJob, Outcome, Role, Search, State, StoredJob
from inference.library.stored_files import NAME

log = logging.getLogger(__name__)

MAX_ID = 2**63 - 1
# Bytes that have to be free before a queued job is begun, for its pictures.
ROOM = 2**20
# Seconds between two looks into the queue: of a process that alone fills it, and of one of many.
PAUSE, SHARED_PAUSE = 60.0, 1.0
# Seconds for which a callback is its process's, and between two times that limits are enforced.
CALLBACK_SECONDS, LIMITS_SECONDS = 120.0, 60.0


class Library:
    """Jobs and their files: in a folder that this process alone uses, or shared. Thread-safe.

    What a method has written is on the disk when it returns; after an error nothing of it is.
    Every method raises `NotStored` where the disk or the database cannot be read or written.

    Args:
        place: where it is; a folder is created, for this user alone, where it is missing.
        limits: what is kept.
        clock: the time in seconds since 1970; by default the database's.
        lease: seconds for which a running job stays this process's without a heartbeat; None for
            ever in a folder, and for `LEASE` in a shared library.

    Raises:
        LibraryUnavailable: another server uses it, a newer version wrote it, or it cannot be used.

    Attributes:
        notes: sentences for the user about what was found on opening.
        pause: seconds between two looks into the queue of who is not told of new jobs.
    """

    def __init__(
        self,
        place: Place,
        limits: Limits | None = None,
        clock: Callable[[], float] | None = None,
        lease: float | None = None,
    ) -> None:
        self._limits, self._is_shared = limits or Limits(), not isinstance(place, Path)
        self.pause = SHARED_PAUSE if self._is_shared else PAUSE
        self._limits_due = 0.0
        with ExitStack() as undo:
            try:
                undo.callback(owned(place).close)
                self._storage, told = open_storage(place)
                undo.callback(self._storage.close)
                self._clock = clock or self._storage.now
                seconds = LEASE if self._is_shared and lease is None else lease
                self._leases = Leases(self._storage, self._clock, seconds)
                resumed = self._resume()
            except (OSError, NotStored) as error:
                raise unusable(place) from error
            undo.callback(self._leases.stop)
            self._leases.start()
            self._undo = undo.pop_all()
        self.notes = tuple(filter(None, (told, resumed)))

    def close(self) -> None:
        """Release the library; running jobs stay marked, so that they are painted again."""
        self._undo.close()

    # --- the life of a job -----------------------------------------------------------------------

    def accept(self, job: NewJob, *, running: bool = False) -> StoredJob:
        """Store a job: to be painted in its turn or, with `running`, by the caller at once."""
        files = {Role.PHOTO: [job.photo], Role.MASK: [] if job.mask is None else [job.mask]}
        values = {"attempts": 1, **self._leases.values()} if running else {"state": State.QUEUED}
        with self._storage.written(files) as new, self._changed() as rows:
            number = rows.insert(job, self._clock(), **values)
            new.add_to(number, rows)
            stored = rows.known(number)
        if running:
            self._leases.add(number)
        return stored

    def claim(
        self, styles: Collection[str] | None = None, job: int | None = None
    ) -> StoredJob | None:
        """Mark the job that was queued first as running, and hold it; None if none is queued.

        Args:
            styles: only a job of one of these; None for any.
            job: only this one; None for any.

        Raises:
            NotStored: also where the disk is too full for what the job may give; it stays queued.
        """
        with self._changed() as rows:
            self._leases.take_expired(rows)
            number = rows.first_queued(styles, job)
            if number is None:
                return None
            if self._storage.files.room() < ROOM:
                raise NotStored(FULL)
            attempts = rows.known(number).attempts + 1
            rows.change(number, self._clock(), attempts=attempts, **self._leases.values())
            claimed = rows.known(number)
        self._leases.add(number)
        return claimed

    def waiting(self) -> list[tuple[int, str]]:
        """Number and style of the jobs that `claim` would give, in the order of acceptance."""
        with self._storage.used() as rows:
            return rows.waiting(self._clock())

    def heartbeat(self, job: int) -> bool:
        """Hold a job for longer, as a shared library does by itself; False if it is lost."""
        return self._leases.renew(job)

    def when_lost(self, told: Callable[[int], None]) -> None:
        """Have a function called with each job that this process paints for nothing."""
        self._leases.when_lost(told)

    def finish(self, job: int, outcome: Outcome) -> bool:
        """Store what a job gave; False if it was cancelled or deleted, or is another process's."""
        self._leases.drop(job)
        files = {
            Role.PICTURE: [one.file for one in outcome.pictures],
            Role.THUMBNAIL: [one.thumbnail for one in outcome.pictures],
        }
        if not self._leases.has(self.find(job)):
            return False
        try:
            with self._storage.written(files) as new, self._changed() as rows:
                known = rows.get(job, locked=True)
                if known is None or not self._leases.has(known):
                    raise _NotHeld
                new.add_to(job, rows)
                rows.finish(job, self._clock(), outcome, known.notes)
        except _NotHeld:
            return False
        self.enforce_limits()
        return True

    def fail(self, job: int, reason: str) -> None:
        """Store why a job has failed; later, if the disk is full now."""
        self._leases.end(job, State.FAILED, reason)

    def cancel(self, job: int, reason: str) -> None:
        """Store that a job was cancelled; later, if the disk is full now."""
        self._leases.end(job, State.CANCELLED, reason)

    def requeue(self, job: int) -> None:
        """Put a running job back into the queue as if it had not been begun."""
        self._leases.give_back(job)

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
        if self.get(owner, job) is None:
            return False
        with self._changed() as rows:
            rows.change(job, self._clock(), starred=int(starred))
        return True

    def delete(self, owner: str, job: int) -> bool:
        """Delete a job with its files, whatever its state; False if there is no such job."""
        if self.get(owner, job) is None:
            return False
        self._leases.drop(job)
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
        """Delete the oldest jobs beyond the limits; of many processes one does, once a minute."""
        try:
            if self._is_shared:
                if (now := self._clock()) < self._limits_due:
                    return 0
                self._limits_due = now + LIMITS_SECONDS
                with self._changed() as rows:
                    if not rows.take_chore("limits", now, LIMITS_SECONDS):
                        return 0
                self._storage.collect_orphans()
            return self._storage.enforce(self._limits, self._clock())
        except NotStored as error:
            log.warning("library: its limits could not be enforced: %s", error)
            return 0

    # --- files -----------------------------------------------------------------------------------

    def picture(self, name: str) -> bytes | None:
        """A finished picture, for whoever knows its name; None if there is none."""
        with self._storage.used() as rows:
            known = NAME.fullmatch(name) and rows.is_picture(name)
        try:
            return self._storage.read(name) if known else None
        except NotStored as error:
            if isinstance(error.__cause__, FileNotFoundError):
                return None
            raise

    def read(self, name: str) -> bytes:
        """The content of a file of a job."""
        return self._storage.read(name)

    # --- callbacks -------------------------------------------------------------------------------

    def due_callbacks(self) -> list[Callback]:
        """The callbacks that are due, the longest due first; a shared library tells one of all."""
        with self._changed() as rows:
            now = self._clock()
            due = rows.due_callbacks(now)
            if self._is_shared:
                for one in due:
                    rows.hold_callback(one.job, now + CALLBACK_SECONDS)
            return due

    def postpone_callback(self, job: int, seconds: float) -> None:
        """Count a failed attempt of a callback, and have the next one in `seconds`."""
        with self._changed() as rows:
            rows.postpone_callback(job, self._clock() + seconds)

    def drop_callback(self, job: int, note: str = "") -> None:
        """Forget a callback: it was delivered, or is given up, which the note says."""
        with self._changed() as rows:
            rows.drop_callback(job)
            known = rows.get(job, locked=True)
            if note and known is not None:
                rows.change(job, self._clock(), notes=json.dumps([*known.notes, note]))

    # --- tokens ----------------------------------------------------------------------------------

    def token_owner(self, digest: str) -> str | None:
        """Whose API token has this digest; None if none has."""
        with self._storage.used() as rows:
            return rows.token_name(digest)

    # --- within ----------------------------------------------------------------------------------

    @contextmanager
    def _changed(self) -> Iterator[Database]:
        """Context of a change; ends that are still to be written are written before it."""
        self._leases.pay()
        with self._storage.changed() as rows:
            yield rows

    def _resume(self) -> str:
        """Queue the jobs that ran when the server ended, and delete files of nobody."""
        if self._is_shared:  # other processes may run them, and leases tell whose have ended
            return ""
        with self._changed() as rows:
            told = self._leases.take_all(rows)
            self._storage.sweep()
        return told


class _NotHeld(Exception):
    """A job is not this process's any more."""
