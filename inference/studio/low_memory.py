"""Low-memory painting: one picture at a time, in windows smaller than the native size."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

from inference.painting.inpainting import InpaintInput, InpaintOutput, Painting
from inference.picture.photo import Pixels
from inference.recipe.recipe import Recipe

if TYPE_CHECKING:
    from inference.painting.painter import Painter


def paint_in_pieces(painter: Painter, patch: InpaintInput, recipe: Recipe, native: int) -> Painting:
    """Paint one picture at a time, in windows of two thirds of the native size.

    Args:
        painter: the loaded checkpoint.
        patch: what to paint.
        recipe: with a concrete seed.
        native: side, in pixels, of the square that the model was trained at.

    Yields:
        As `Painter.paint`; steps are numbered consecutively over all pictures.
    """
    assert recipe.seed is not None, "the studio makes the seed concrete"
    smaller = replace(patch, window=max(8, native * 2 // 3 // 8 * 8))
    pictures: list[Pixels] = []
    for k in range(recipe.num_images):
        one = recipe.model_copy(update={"num_images": 1, "seed": recipe.seed + k})
        with closing(painter.paint(smaller, one)) as events:
            for event in events:
                if isinstance(event, InpaintOutput):
                    pictures += event.pictures
                else:
                    steps = event.steps * recipe.num_images
                    yield replace(event, step=k * event.steps + event.step, steps=steps)
    yield InpaintOutput(pictures=tuple(pictures))
