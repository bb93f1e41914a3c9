"""Paints the library's queued jobs in a thread, one after the other in the order of acceptance."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

from inference.errors import MasqueradeError, ModelFailed, NotStored
from inference.library.library import Library
from inference.library.records import StoredJob
from inference.picture.photo import Photo
from inference.picture.progress import Progress
from inference.recipe.prompt_block import parse
from inference.serving.job_service import JobService
from inference.serving.request import PaintRequest

log = logging.getLogger(__name__)

# Seconds after an error of the disk or the database.
RETRY = 10.0


class JobQueue:
    """The queue of jobs that no page waits for: those of REST, and those that a crash cut off.

    A job of the page and one of the queue take turns by the studio's job lock. A shared library
    has a queue for many processes, each with one of these.

    Args:
        service: paints.
        library: has the queue.
    """

    def __init__(self, service: JobService, library: Library) -> None:
        self._service, self._library = service, library
        self._ended: list[Callable[[], None]] = []
        self._stopping, self._woken = threading.Event(), threading.Event()
        self._running: tuple[int, threading.Event] | None = None
        self._told: tuple[int, dict[str, object]] | None = None
        library.when_lost(self.cancel)
        self._painter = ThreadPoolExecutor(1, thread_name_prefix="queue-painter")
        self._thread = threading.Thread(target=self._work, name="job-queue", daemon=True)

    def start(self) -> None:
        """Start painting."""
        self._thread.start()

    def stop(self) -> None:
        """Break off the running job, which goes back into the queue, and end the thread."""
        self._stopping.set()
        self._woken.set()
        if self._thread.is_alive():
            self._thread.join()
        self._painter.shutdown()

    def wake(self) -> None:
        """Look into the queue now, because a job was accepted."""
        self._woken.set()

    def when_ended(self, told: Callable[[], None]) -> None:
        """Have a function called after each job."""
        self._ended.append(told)

    def progress(self, job: int) -> dict[str, object] | None:
        """Stage and steps of a job if it is the one that runs; None of any other."""
        told = self._told
        return told[1] if told is not None and told[0] == job else None

    def cancel(self, job: int) -> None:
        """Stop a job within a step if it is the one that runs; the others are the library's."""
        running = self._running
        if running is not None and running[0] == job:
            running[1].set()

    def _work(self) -> None:
        told = ""
        while not self._stopping.is_set():
            self._woken.clear()
            try:
                job = self._library.claim()
            except NotStored as error:
                if str(error) != told:  # once, and not every few seconds
                    told = str(error)
                    log.warning("queue: %s The jobs wait.", told)
                self._woken.wait(RETRY)
                continue
            told = ""
            if job is None:
                self._library.enforce_limits()
                self._woken.wait(self._library.pause)
                continue
            # In a thread of its own, so that an unforeseen error ends the job and not the queue.
            failure = self._painter.submit(self._paint, job).exception()
            if failure is not None:
                log.error("queue: %s", type(failure).__name__)
                self._library.fail(job.id, str(ModelFailed()))
            for tell in self._ended:
                tell()

    def _paint(self, job: StoredJob) -> None:
        cancelled = threading.Event()
        self._running = job.id, cancelled
        try:
            with closing(paint_stored(self._service, self._library, job, cancelled)) as events:
                for event in events:
                    self._told = job.id, event.report()
                    if self._stopping.is_set():
                        break
        finally:
            self._running = self._told = None


def paint_stored(
    service: JobService, library: Library, job: StoredJob, cancelled: threading.Event
) -> Generator[Progress]:
    """Paint a job of the library that was claimed, and store how it ended.

    Closing the generator puts it back into the queue; setting `cancelled` cancels it.
    """
    try:
        with closing(service.paint(_request(library, job), cancelled)) as events:
            for event in events:
                if isinstance(event, Progress):
                    yield event
    except MasqueradeError as error:
        library.fail(job.id, str(error))


def _request(library: Library, job: StoredJob) -> PaintRequest:
    """The request of a stored job.

    Raises:
        MasqueradeError: its files are gone, or its recipe is invalid in this version.
    """
    mask = None if job.mask is None else Photo.open(library.read(job.mask))
    return PaintRequest(
        photo=Photo.open(library.read(job.photo)),
        recipe=parse(job.recipe).recipe,
        mask_image=mask,
        owner=job.owner,
        origin=job.origin,
        stored=job.id,
    )
