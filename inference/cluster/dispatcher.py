"""The dispatcher deployment: sends the jobs that wait in the library to the painters."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import anyio.to_thread
from ray.exceptions import RayError
from ray.serve.exceptions import BackPressureError, RayServeException
from ray.serve.handle import DeploymentHandle

from inference.catalog.catalog import Catalog
from inference.cluster.settings import ServiceSettings
from inference.errors import NotStored
from inference.library.records import StoredJob
from inference.rest.callbacks import Callbacks
from inference.rest.prompt_object import BASE, prompt_object

log = logging.getLogger(__name__)

# Seconds between two looks into the queue that nobody has woken, and after a failed call.
PAUSE, AGAIN = 1.0, 0.5
# What a call to a replica raises: its node or process ended, or its queue is full.
FAILURES = (RayError, RayServeException, ConnectionError, TimeoutError)

Event = dict[str, Any]


class Dispatcher:
    """Has every waiting job painted, and knows how far those are that are painted now.

    The library alone says what waits. So a dispatcher that is replaced loses nothing, and of two
    calls for one job the second finds it claimed.

    Args:
        settings: of the service.
        painter: the painters.
        mask_finder: looks at photos before; None leaves it to the painters.
    """

    def __init__(
        self, settings: ServiceSettings, painter: DeploymentHandle,
        mask_finder: DeploymentHandle | None,
    ) -> None:  # fmt: skip
        self._settings, self._library = settings, settings.open_library()
        self._painter, self._mask_finder = painter, mask_finder
        self._calls: dict[int, asyncio.Task[None]] = {}
        self._told: dict[int, Event] = {}
        # Jobs of which a call with a first look has failed, so that it is left out.
        self._unseen: set[int] = set()
        self._woken, self._stopping = asyncio.Event(), False
        self._catalog = catalog = settings.read_catalog()

        def object_of(job: StoredJob) -> Event:
            return prompt_object(job, catalog, str(job.request.get(BASE, "")))

        rules = settings.rest_rules().callbacks
        self._callbacks = Callbacks(self._library, rules, object_of)
        self._callbacks.start()
        self._loop = asyncio.get_running_loop().create_task(self._work())

    async def wake(self) -> None:
        """Look into the queue now, because a job was accepted."""
        self._woken.set()

    async def progress(self, job: int) -> Event | None:
        """Stage and steps of a job that is painted; None of any other."""
        return self._told.get(job)

    async def cancel(self, job: int) -> None:
        """Stop a job that was deleted."""
        call = self._calls.get(job)
        if call is not None:
            call.cancel()

    def check_health(self) -> None:
        """Raise an error if the jobs are looked after no more."""
        if self._loop.done() and not self._stopping:
            raise RuntimeError("the dispatcher has ended")

    async def _work(self) -> None:
        while not self._stopping:
            self._woken.clear()
            try:
                waiting = await anyio.to_thread.run_sync(self._library.waiting)
            except NotStored as error:
                log.warning("dispatcher: %s The jobs wait.", error)
                waiting = []
            for job, style in waiting[: self._settings.max_waiting]:
                if job not in self._calls:
                    self._calls[job] = asyncio.create_task(self._have_painted(job, style))
            try:
                await asyncio.wait_for(self._woken.wait(), PAUSE)
            except TimeoutError:
                continue

    async def _have_painted(self, job: int, style: str) -> None:
        """Have one job looked at and painted; what fails is tried again as long as it waits."""
        checkpoint = checkpoint_of(self._catalog, style)
        painter = self._painter.options(stream=True, multiplexed_model_id=checkpoint)
        finder = None if job in self._unseen else self._mask_finder
        try:
            # The look goes from replica to replica and not through this one.
            look = None if finder is None else finder.look.remote(job)
            response = painter.paint.remote(job, checkpoint, look)
            try:
                async for event in response:
                    self._told[job] = event
            except asyncio.CancelledError:
                response.cancel()
                raise
            self._unseen.discard(job)
        except FAILURES as error:
            log.warning("dispatcher: job %d: %s", job, type(error).__name__)
            if not isinstance(error, BackPressureError):
                self._unseen.add(job)
        finally:
            if self._told.pop(job, None) is None:  # not painted, so not again at once
                await asyncio.sleep(AGAIN)
            self._calls.pop(job, None)
            self._callbacks.wake()
            self._woken.set()

    async def __del__(self) -> None:
        """Wait for the jobs that are painted now, and release the library."""
        self._stopping = True
        self._woken.set()
        while self._told:
            await asyncio.sleep(AGAIN)
        for call in list(self._calls.values()):
            call.cancel()
        self._callbacks.stop()
        self._library.close()


def checkpoint_of(catalog: Catalog, style: str) -> str:
    """A name for the checkpoint of a style: the key of the first style that has the same."""
    known = catalog.style_by_key.get(style)
    if known is None:
        return style
    base = (known.base, known.checkpoint, known.vae)
    return next(s.key for s in catalog.styles() if (s.base, s.checkpoint, s.vae) == base)
