"""Rasterizes strokes and clicks, with the same pixels as `assets/mask_math.js` in the browser."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from inference.picture.geometry import View
from inference.recipe.strokes import Point, Stroke

Layer = npt.NDArray[np.uint8]
#: The region of the grid that belongs to a clicked point.
RegionAt = Callable[[Point], npt.NDArray[np.bool_]]

NOTHING, ADD, REMOVE = 0, 1, 2


def paint_strokes(strokes: Sequence[Stroke], view: View, region_at: RegionAt) -> Layer:
    """Rasterize strokes: for each pixel, the mode of the last stroke that covers it.

    A pixel belongs to a stroke where its centre lies within the radius of a segment between two
    successive points. All arithmetic is in float64 and in the browser's order of operations.

    Args:
        strokes: in drawing order; later ones cover earlier ones.
        view: the canvas as a part of the photo, and the grid to paint on.
        region_at: the region of a click.

    Returns:
        (h, w) uint8 of `NOTHING`, `ADD` and `REMOVE`.
    """
    layer = np.zeros(view.size[::-1], dtype=np.uint8)
    scale_x, scale_y = view.size[0] / view.box.size[0], view.size[1] / view.box.size[1]
    for stroke in strokes:
        value = ADD if stroke.mode == "add" else REMOVE
        if stroke.is_click:
            for point in stroke.points:
                layer[region_at(point)] = value
            continue
        radius = stroke.radius / Stroke.UNIT * min(view.whole) * scale_x
        points = [
            (
                (x / Stroke.UNIT * view.whole[0] - view.box.left) * scale_x,
                (y / Stroke.UNIT * view.whole[1] - view.box.top) * scale_y,
            )
            for x, y in stroke.points
        ]
        # A single point is a segment without length.
        for start, end in zip(points, points[1:] or points, strict=False):
            _paint_segment(layer, (*start, *end), radius, value)
    return layer


def _paint_segment(
    layer: Layer, segment: tuple[float, float, float, float], radius: float, value: int
) -> None:
    ax, ay, bx, by = segment
    height, width = layer.shape
    left, right = _reach(min(ax, bx), max(ax, bx), radius, width)
    top, bottom = _reach(min(ay, by), max(ay, by), radius, height)
    if left >= right or top >= bottom:
        return
    dx, dy = bx - ax, by - ay
    length = dx * dx + dy * dy
    x = (np.arange(left, right) + 0.5 - ax)[None]
    y = (np.arange(top, bottom) + 0.5 - ay)[:, None]
    along = (x * dx + y * dy) / length if length > 0 else np.zeros((len(y), x.shape[1]))
    along = np.minimum(np.maximum(along, 0.0), 1.0)
    off_x, off_y = x - along * dx, y - along * dy
    layer[top:bottom, left:right][off_x * off_x + off_y * off_y <= radius * radius] = value


def _reach(low: float, high: float, radius: float, limit: int) -> tuple[int, int]:
    """The half-open range of pixels within a segment's radius along one axis."""
    return max(0, math.floor(low - radius)), min(limit, math.ceil(high + radius) + 1)
