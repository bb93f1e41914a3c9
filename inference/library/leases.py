"""Leases on running jobs: which process paints a job, until when, and how it ended there."""

from __future__ import annotations

import logging
import secrets
import threading
from collections.abc import Callable

from inference.errors import NotStored
from inference.library.database import Database
from inference.library.records import State, StoredJob
from inference.library.storage import Storage

log = logging.getLogger(__name__)

# Seconds for which a claim holds in a shared library, between two renewals, and after one that
# failed: short, so that after a failure of the database leases are renewed before they are taken.
LEASE, BEAT, BEAT_AGAIN = 60.0, 10.0, 0.5
# How often a painting is begun before the job is held to be what ends the server.
MAX_ATTEMPTS = 2
DIED = "The server ended twice while this was painted: try a smaller size or fewer pictures."


class Leases:
    """The leases of a process, renewed in a thread as long as it lives.

    Without seconds, a lease has no end, because the whole library belongs to this process.

    Args:
        storage: of the library.
        clock: the time in seconds since 1970.
        seconds: for which a lease holds; None for ever.

    Attributes:
        worker: the name of this process among all that use the library.
    """

    def __init__(self, storage: Storage, clock: Callable[[], float], seconds: float | None) -> None:
        self.worker = secrets.token_hex(8)
        self._storage, self._clock, self._seconds = storage, clock, seconds
        self._held: set[int] = set()
        # Jobs whose end could not be written yet, because the disk was full.
        self._owed: dict[int, tuple[State, str]] = {}
        self._lock, self._stopping = threading.Lock(), threading.Event()
        self._lost: list[Callable[[int], None]] = []
        self._thread = threading.Thread(target=self._work, name="leases", daemon=True)

    def start(self) -> None:
        """Start renewing."""
        if self._seconds is not None:
            self._thread.start()

    def stop(self) -> None:
        """End the thread; leases end in their time."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()

    def when_lost(self, told: Callable[[int], None]) -> None:
        """Have a function called with each job that was deleted or taken by another process."""
        self._lost.append(told)

    def values(self) -> dict[str, object]:
        """The columns of a job that this process begins now."""
        return {
            "worker": self.worker, "lease": self._until(), "state": State.RUNNING,
            "started": self._clock(),
        }  # fmt: skip

    def add(self, job: int) -> None:
        """Renew the lease of a job from now on."""
        with self._lock:
            self._held.add(job)

    def drop(self, job: int) -> None:
        """Renew the lease of a job no longer."""
        with self._lock:
            self._held.discard(job)

    def has(self, job: StoredJob | None) -> bool:
        """Whether this process holds a job."""
        return job is not None and job.state is State.RUNNING and job.worker == self.worker

    def renew(self, job: int) -> bool:
        """Renew a lease now; False if this process does not hold the job any more."""
        with self._storage.changed() as rows:
            return rows.extend_lease(job, self.worker, self._until())

    def give_back(self, job: int) -> None:
        """Queue a job as if it had not been begun, if this process holds it."""
        self.drop(job)
        self.pay()
        with self._storage.changed() as rows:
            known = rows.get(job, locked=True)
            if known is not None and self.has(known):
                attempts = max(0, known.attempts - 1)
                queued = {"state": State.QUEUED, "worker": "", "lease": None, "started": None}
                rows.change(job, self._clock(), attempts=attempts, **queued)

    def end(self, job: int, state: State, reason: str) -> None:
        """Store how a job has ended, if this process holds it; later, if the disk is full now."""
        self.drop(job)
        self._owed[job] = (state, reason)
        try:
            self.pay()
        except NotStored:
            log.warning("library: the end of job %d is stored later", job)

    def pay(self) -> None:
        """Store the ends that could not be stored yet."""
        if not self._owed:
            return
        owed = dict(self._owed)
        with self._storage.changed() as rows:
            for job, (state, reason) in owed.items():
                if self.has(rows.get(job, locked=True)):
                    rows.end(job, state, self._clock(), error=reason)
        for job in owed:
            self._owed.pop(job, None)

    def take_expired(self, rows: Database) -> None:
        """Queue jobs whose process has ended, within the caller's transaction; or give them up."""
        if self._seconds is not None:
            for job in rows.expired(self._clock()):
                self._begin_again(rows, job)

    def take_all(self, rows: Database) -> str:
        """Queue all jobs that ran when the one process of a library ended; says how many."""
        begun = [self._begin_again(rows, job) for job in rows.ids(State.RUNNING)]
        queued, failed = begun.count(True), begun.count(False)
        told = f"{queued} jobs that were cut off are painted again." if queued else ""
        given_up = f"{failed} jobs that ended the server twice are given up." if failed else ""
        return " ".join(filter(None, (told, given_up)))

    def _begin_again(self, rows: Database, job: int) -> bool:
        """Queue a job that was cut off; False if it is given up, because it was so twice."""
        known, now = rows.get(job), self._clock()
        if known is not None and known.attempts >= MAX_ATTEMPTS:
            rows.end(job, State.FAILED, now, error=DIED)
            return False
        rows.change(job, now, state=State.QUEUED, worker="", lease=None)
        return True

    def _until(self) -> float | None:
        return None if self._seconds is None else self._clock() + self._seconds

    def _work(self) -> None:
        pause = BEAT
        while not self._stopping.wait(pause):
            with self._lock:
                held = sorted(self._held)
            pause = BEAT
            for job in held:
                try:
                    if self.renew(job):
                        continue
                except NotStored as error:
                    log.warning("library: %s", error)
                    pause = BEAT_AGAIN
                    break
                self.drop(job)
                for told in self._lost:
                    told(job)
