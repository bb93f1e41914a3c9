"""What was painted, by all that it was painted from, so that no two jobs paint the same.

A job that differs from one before in its grain, its colour grading or another stage after the
painting takes the painting from here.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import closing

from inference.cache import Cache, digest
from inference.finish_settings import FinishSettings
from inference.mask_settings import MaskSettings
from inference.patch import Painted, PaintStep, Patch
from inference.recipe import Recipe

Painting = Generator[PaintStep | Painted]
Paint = Callable[[Patch, Recipe], Painting]

# What the painter sees of the mask is in the patch, and of the finishing it sees nothing.
_NOT_PAINTED_FROM = {*MaskSettings.model_fields, *FinishSettings.model_fields}
# Larger ones are painted again: a few of them would fill the memory.
MOST_PIXELS = 16_000_000


class Paintings:
    """Keeps the last `size` paintings; thread-safe."""

    def __init__(self, size: int) -> None:
        self._kept: Cache[Painted] = Cache(size)

    def once(self, paint: Paint, patch: Patch, recipe: Recipe, *made_by: object) -> Painting:
        """As `paint`, or at once what it gave for the same patch and recipe.

        Args:
            made_by: whatever else decides about the painting; told apart by its `repr`.
        """
        key = _key(patch, recipe, made_by)
        done = self._kept.find(key)
        if done is not None:
            yield done
            return
        with closing(paint(patch, recipe)) as events:
            for event in events:
                if isinstance(event, Painted) and _pixels(event) <= MOST_PIXELS:
                    self._kept.keep(key, event)
                yield event


def _key(patch: Patch, recipe: Recipe, made_by: tuple[object, ...]) -> str:
    guides = [(one.control, digest(one.map), one.scale, one.start, one.end) for one in patch.guides]
    seen = digest(patch.picture), digest(patch.repaint), patch.window, guides
    return repr((made_by, seen, recipe.model_dump_json(exclude=_NOT_PAINTED_FROM)))


def _pixels(painted: Painted) -> int:
    return sum(one.shape[0] * one.shape[1] for one in painted.pictures)
