"""Painting where the GPU is, on a machine that lends it to one painting at a time.

All else, the page and the mask with it, has the CPU. What paints runs in another process, to which
photo and recipe go, and from which progress and results come, errors too.
"""

from __future__ import annotations

import logging
from collections.abc import Generator, Iterator
from contextlib import closing
from typing import TYPE_CHECKING, TypeAlias

from inference.errors import MasqueradeError
from inference.photo import Photo
from inference.recipe import Recipe
from inference.results import Progress, Result, Stage
from inference.zero_gpu import Lender

if TYPE_CHECKING:
    from inference.studio import Studio

log = logging.getLogger(__name__)

# What is asked for, in seconds: to load a checkpoint; to paint and finish one picture; to compile.
LOADING, A_PICTURE, COMPILING = 20, 10, 600

Events: TypeAlias = Generator[Progress | Result | MasqueradeError]


class Loan:
    """What is done where the GPU is.

    Args:
        studio: does it. It is used in the other process only, so that none of its locks is held
            while that is forked.
        lend: of the machine.
    """

    def __init__(self, studio: Studio, lend: Lender) -> None:
        self._studio = studio
        self._paint = lend(self._painted, _seconds)
        self._ready = lend(self._readied, lambda: COMPILING)

    def paint(
        self, photo: Photo, recipe: Recipe, mask_image: Photo | None
    ) -> Generator[Progress | Result]:
        """As `Studio.paint`, of which this is a part.

        Raises:
            NoDevice: the loan is refused, or ended early.
        """
        yield Progress(stage=Stage.WAITING, detail="for a GPU")
        with closing(self._paint(photo, recipe, mask_image)) as events:
            for event in events:
                if isinstance(event, MasqueradeError):
                    raise event
                yield event

    def ready(self) -> None:
        """Have the first step compiled, once and for all processes to come."""
        try:
            for event in self._ready():
                if isinstance(event, MasqueradeError):
                    raise event
        except MasqueradeError as error:
            log.warning("steps run as they are: %s", error)

    def _painted(self, photo: Photo, recipe: Recipe, mask_image: Photo | None) -> Events:
        yield from _with_errors(self._studio.paint(photo, recipe, mask_image))

    def _readied(self) -> Events:
        yield from _with_errors(self._studio.warm_up())


def _with_errors(work: Iterator[Progress | Result]) -> Events:
    try:
        yield from work
    except MasqueradeError as error:
        yield error


def _seconds(_photo: Photo, recipe: Recipe, _mask_image: Photo | None) -> int:
    return LOADING + A_PICTURE * recipe.num_images
