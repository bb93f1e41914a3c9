"""Painting in a worker process, on a machine that lends its GPU to one call at a time.

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

# Seconds that are asked for: to load a checkpoint; to paint and finish one picture; to compile.
LOADING_SECONDS, PICTURE_SECONDS, COMPILING_SECONDS = 20, 10, 600

PaintFunction: TypeAlias = Callable[[Photo, Recipe, Photo | None], Generator[Progress | Result]]
WarmUpFunction: TypeAlias = Callable[[], Iterator[Progress]]
Events: TypeAlias = Generator[Progress | Result | MasqueradeError]


class GpuLender(Protocol):
    """Turns a task into one that runs in a process with a GPU, for so many seconds at most."""

    def __call__(
        self, task: Callable[Parameters, Generator[Event]], seconds: Callable[Parameters, int]
    ) -> Callable[Parameters, Generator[Event]]: ...


class GpuLease:
    """Runs painting and compiling in a process to which the machine lends its GPU.

    Args:
        paint: `Studio.paint` of a studio that only the worker uses, so that none of its locks is
            held while the process is forked.
        warm_up: `Studio.warm_up` of the same studio.
        lend: the machine's way to run a task on its GPU.
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
        """Paint on the lent GPU; yields and raises as `Studio.paint`.

        Raises:
            NoDevice: no GPU was lent, or it was taken back early.
        """
        yield Progress(stage=Stage.WAITING, detail="for a GPU")
        with closing(self._paint(photo, recipe, mask_image)) as events:
            for event in events:
                if isinstance(event, MasqueradeError):
                    raise event
                yield event

    def compile_first_step(self) -> None:
        """Compile the first denoising step, for all worker processes to come."""
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
