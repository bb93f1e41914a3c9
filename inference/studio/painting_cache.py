"""Cache of painted pictures, keyed by everything that the painter's output depends on.

A job that differs from an earlier one only in a stage after the painting, such as grain or colour
grading, reuses the cached painting.
"""

from __future__ import annotations

from contextlib import closing

from inference.painting.inpainting import InpaintInput, InpaintOutput, Paint, Painting
from inference.recipe.finish_settings import FinishSettings
from inference.recipe.mask_settings import MaskSettings
from inference.recipe.recipe import Recipe
from inference.runtime.cache import Cache, digest

# Fields that do not reach the painter: the mask is in the input, finishing comes afterwards.
_IRRELEVANT_FIELDS = {*MaskSettings.model_fields, *FinishSettings.model_fields}
# Larger outputs are not kept, because a few of them would fill the memory.
MAX_PIXELS = 16_000_000


class PaintingCache:
    """The last `size` painted outputs, least recently used first out. Thread-safe."""

    def __init__(self, size: int) -> None:
        self._outputs: Cache[InpaintOutput] = Cache(size)

    def paint_once(
        self, paint: Paint, patch: InpaintInput, recipe: Recipe, *made_by: object
    ) -> Painting:
        """Yield what `paint` yields, or only the cached output for equal arguments.

        Args:
            paint: the painter.
            patch: its input.
            recipe: its settings.
            made_by: everything else that the output depends on, compared by `repr`.
        """
        key = _key(patch, recipe, made_by)
        cached = self._outputs.find(key)
        if cached is not None:
            yield cached
            return
        with closing(paint(patch, recipe)) as events:
            for event in events:
                if isinstance(event, InpaintOutput) and _pixels(event) <= MAX_PIXELS:
                    self._outputs.keep(key, event)
                yield event


def _key(patch: InpaintInput, recipe: Recipe, made_by: tuple[object, ...]) -> str:
    guides = [
        (
            one.control, digest(one.map), None if one.hidden is None else digest(one.hidden),
            one.scale, one.start, one.end,
        )
        for one in patch.guides
    ]  # fmt: skip
    strength = None if patch.strength is None else digest(patch.strength)
    inputs = digest(patch.picture), digest(patch.repaint), strength, patch.window, guides
    return repr((made_by, inputs, recipe.model_dump_json(exclude=_IRRELEVANT_FIELDS)))


def _pixels(output: InpaintOutput) -> int:
    return sum(one.shape[0] * one.shape[1] for one in output.pictures)
