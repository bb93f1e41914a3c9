"""The painter deployment: claims jobs of the library and paints them, one replica per GPU."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from ray import serve

from inference.cluster.settings import ServiceSettings
from inference.errors import MasqueradeError, ModelFailed
from inference.mask.heatmap_finder import FirstLook
from inference.serving.job_queue import paint_stored
from inference.serving.job_service import JobService
from inference.serving.temporary_files import TemporaryFiles

log = logging.getLogger(__name__)

# Seconds between two reports of a painting: each costs both processes some milliseconds.
PROGRESS = 0.25

Event = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class KnownCheckpoint:
    """A checkpoint that a painter has in memory; the studio keeps one, the last."""

    key: str


class Painter:
    """Paints jobs, one at a time, on a studio of its own.

    Args:
        settings: of the service.
    """

    def __init__(self, settings: ServiceSettings) -> None:
        self._settings, self._library = settings, settings.open_library()
        self._studio = settings.make_studio()
        self._files = TemporaryFiles()
        self._service = JobService(self._studio, self._files, self._library)
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="painter")
        self._running: dict[int, threading.Event] = {}
        self._moved = time.monotonic()
        self._library.when_lost(self._stop)
        for _ in self._studio.warm_up():  # a replica is asked once its default style is there
            pass

    @serve.multiplexed(max_num_models_per_replica=1)
    async def checkpoint(self, key: str) -> KnownCheckpoint:
        """A checkpoint; Serve asks the replicas that have it first."""
        return KnownCheckpoint(key=key)

    async def paint(
        self, job: int, checkpoint: str, look: FirstLook | None
    ) -> AsyncGenerator[Event]:
        """Paint a job, if it is still to be painted.

        Args:
            job: its number.
            checkpoint: that of its style; see `checkpoint_of`.
            look: what its photo shows; None leaves it to this painter.

        Yields:
            stage and steps. Nothing at all if another painter has the job, or it was deleted.
        """
        await self.checkpoint(checkpoint)
        told = deque[Event](maxlen=1)
        # Where the caller is gone, the job goes back into the queue; one that was deleted is gone.
        stopped = threading.Event()
        work = asyncio.get_running_loop().run_in_executor(
            self._threads, self._work, job, look, stopped, told.append
        )
        try:
            while not work.done():
                await asyncio.wait({work}, timeout=PROGRESS)
                if told:
                    yield told.pop()
            await work
        finally:
            stopped.set()

    def check_health(self) -> None:
        """Raise an error if a painting has not moved for long."""
        if self._running and time.monotonic() - self._moved > self._settings.stalled:
            raise RuntimeError("a painting does not move")

    def _work(
        self, job: int, look: FirstLook | None, stopped: threading.Event,
        tell: Callable[[Event], None],
    ) -> None:  # fmt: skip
        """Claim a job and paint it; tells each event."""
        try:
            if not stopped.is_set():
                self._paint(job, look, stopped, tell)
        except MasqueradeError as error:
            log.warning("painter: %s", error)
        except (
            ArithmeticError,
            LookupError,
            OSError,
            RuntimeError,
            TypeError,
            ValueError,
        ) as error:
            log.error("painter: %s", type(error).__name__)
            self._library.fail(job, str(ModelFailed()))
        finally:
            self._running.pop(job, None)

    def _paint(
        self, job: int, look: FirstLook | None, stopped: threading.Event,
        tell: Callable[[Event], None],
    ) -> None:  # fmt: skip
        stored = self._library.claim(job=job)
        if stored is None:
            return
        self._running[job], self._moved = stopped, time.monotonic()
        if look is not None:
            self._studio.selector.finder.take(look)
        never = threading.Event()
        with closing(paint_stored(self._service, self._library, stored, never)) as events:
            for event in events:
                if stopped.is_set():
                    break
                self._moved = time.monotonic()
                tell(event.report())

    def _stop(self, job: int) -> None:
        """Stop a job that was deleted, or that another painter has now."""
        running = self._running.get(job)
        if running is not None:
            running.set()

    def __del__(self) -> None:
        """Put what is still painted back into the queue, and release the library."""
        for stopped in list(self._running.values()):
            stopped.set()
        self._threads.shutdown()
        self._library.close()
        self._files.close()
