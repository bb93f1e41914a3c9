"""Runs painting in a worker process with a GPU that is allocated per call (ZeroGPU).

Only the painting runs there; the page and the mask stay on the CPU of this process. Photo and
recipe are sent to the worker; progress, results and errors come back.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from typing import ParamSpec, Protocol, TypeAlias, TypeVar

from inference.errors import MasqueradeError
from inference.picture.photo import Photo
from inference.picture.progress import Progress, Stage
from inference.picture.result import Result
from inference.recipe.recipe import Recipe

log = logging.getLogger(__name__)

Parameters = ParamSpec("Parameters")
Event = TypeVar("Event")

# Seconds requested: to load a checkpoint; to paint and finish one picture; to compile.
LOADING_SECONDS, PICTURE_SECONDS, COMPILING_SECONDS = 20, 10, 600

PaintFunction: TypeAlias = Callable[[Photo, Recipe, Photo | None], Generator[Progress | Result]]
WarmUpFunction: TypeAlias = Callable[[], Iterator[Progress]]
Events: TypeAlias = Generator[Progress | Result | MasqueradeError]


class GpuLender(Protocol):
    """Wraps a task so that it runs in a process with a GPU, for a limited number of seconds."""

    def __call__(
        self, task: Callable[Parameters, Generator[Event]], seconds: Callable[Parameters, int]
    ) -> Callable[Parameters, Generator[Event]]: ...


class GpuLease:
    """Runs painting and compiling in a worker process with an allocated GPU.

    Args:
        paint: `Studio.paint` of a studio that only the worker uses, so that none of its locks is
            held while the process is forked.
        warm_up: `Studio.warm_up` of the same studio.
        lend: wraps a task to run with an allocated GPU.
    """

    def __init__(self, paint: PaintFunction, warm_up: WarmUpFunction, lend: GpuLender) -> None:
        def paint_task(photo: Photo, recipe: Recipe, mask_image: Photo | None) -> Events:
            yield from _errors_as_events(paint(photo, recipe, mask_image))

        def warm_up_task() -> Events:
            yield from _errors_as_events(warm_up())

        self._paint = lend(paint_task, _painting_seconds)
        self._warm_up = lend(warm_up_task, lambda: COMPILING_SECONDS)

    def paint(
        self, photo: Photo, recipe: Recipe, mask_image: Photo | None
    ) -> Generator[Progress | Result]:
        """Paint on an allocated GPU; yields and raises as `Studio.paint`.

        Raises:
            NoDevice: no GPU was allocated, or the allocation ended early.
        """
        yield Progress(stage=Stage.WAITING, detail="for a GPU")
        with closing(self._paint(photo, recipe, mask_image)) as events:
            for event in events:
                if isinstance(event, MasqueradeError):
                    raise event
                yield event

    def compile_first_step(self) -> None:
        """Compile the first denoising step ahead of time, for all later worker processes."""
        try:
            for event in self._warm_up():
                if isinstance(event, MasqueradeError):
                    raise event
        except MasqueradeError as error:
            log.warning("denoising steps are not compiled: %s", error)


def _errors_as_events(events: Iterator[Progress | Result]) -> Events:
    try:
        yield from events
    except MasqueradeError as error:
        yield error


def _painting_seconds(_photo: Photo, recipe: Recipe, _mask_image: Photo | None) -> int:
    return LOADING_SECONDS + PICTURE_SECONDS * recipe.num_images
