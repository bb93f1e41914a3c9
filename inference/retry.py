"""What is too large for the device's memory is done once more in a smaller way."""

from __future__ import annotations

import gc
from collections.abc import Generator
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

from inference.errors import OutOfMemory
from inference.faults import told
from inference.patch import Painted, PaintStep, Patch
from inference.photo import Pixels
from inference.recipe import Recipe
from inference.results import Progress, Result

if TYPE_CHECKING:
    from inference.job import Job
    from inference.painter import Painter

SMALLER = "too little memory for all at once, so in smaller pieces"


def with_retry(job: Job) -> Generator[Progress | Result]:
    """Run a job; where memory runs out, run it again piece by piece, saying so with every event.

    Raises:
        OutOfMemory: even that was too much.
        MasqueradeError: as `Job.run`.
    """
    try:
        with told(), closing(job.run()) as events:
            yield from events
            return
    except OutOfMemory:
        pass  # left first, because the error keeps all that filled the memory
    gc.collect()
    job.models.checkpoints.release()
    with told(), closing(replace(job, thrifty=True).run()) as events:
        for event in events:
            if isinstance(event, Result):
                yield replace(event, thrifty=True)
            else:
                yield replace(event, detail=", ".join(filter(None, (event.detail, SMALLER))))


def in_pieces(
    painter: Painter, patch: Patch, recipe: Recipe, native: int
) -> Generator[PaintStep | Painted]:
    """Paint one picture after the other, each through windows of two thirds of `native`.

    Yields:
        As `Painter.paint`, with the steps of all pictures in one row.
    """
    assert recipe.seed is not None, "the studio makes the seed concrete"
    smaller = replace(patch, window=max(8, native * 2 // 3 // 8 * 8))
    pictures: list[Pixels] = []
    for k in range(recipe.num_images):
        one = recipe.model_copy(update={"num_images": 1, "seed": recipe.seed + k})
        with closing(painter.paint(smaller, one)) as events:
            for event in events:
                if isinstance(event, Painted):
                    pictures += event.pictures
                else:
                    steps = event.steps * recipe.num_images
                    yield replace(event, step=k * event.steps + event.step, steps=steps)
    yield Painted(pictures=tuple(pictures))
