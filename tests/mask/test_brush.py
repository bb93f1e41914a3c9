"""Tests of brush strokes against a slow rasterizer that measures each pixel."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest

from inference.mask.brush import ADD, NOTHING, REMOVE, paint_strokes
from inference.picture.geometry import Box, View
from inference.recipe.strokes import Point, Stroke

WHOLE = View(whole=(100, 80), box=Box.whole((100, 80)), size=(100, 80))
CROPPED = View(whole=(400, 300), box=Box(left=50, top=30, right=250, bottom=180), size=(80, 60))


def no_click(point: Point) -> npt.NDArray[np.bool_]:
    raise AssertionError(f"nothing was clicked at {point}")


def left_of(point: Point) -> npt.NDArray[np.bool_]:
    """All columns of `WHOLE` up to a point."""
    return np.tile(np.arange(100) < point[0] / 100, (80, 1))


def slowly(strokes: tuple[Stroke, ...], view: View) -> npt.NDArray[np.uint8]:
    """Slow reference implementation, pixel by pixel and in the photo's own pixels."""
    layer = np.zeros(view.size[::-1], dtype=np.uint8)
    step = view.box.size[0] / view.size[0]
    for stroke in strokes:
        radius = stroke.radius / 10_000 * min(view.whole)
        points = [
            (x / 10_000 * view.whole[0], y / 10_000 * view.whole[1]) for x, y in stroke.points
        ]
        for row, column in np.ndindex(*layer.shape):
            x, y = view.box.left + (column + 0.5) * step, view.box.top + (row + 0.5) * step
            if any(
                distance((x, y), start, end) <= radius
                for start, end in zip(points, points[1:] or points, strict=False)
            ):
                layer[row, column] = ADD if stroke.mode == "add" else REMOVE
    return layer


def distance(
    point: tuple[float, float], start: tuple[float, float], end: tuple[float, float]
) -> float:
    """Distance from a point to a segment."""
    length = math.dist(start, end)
    if length == 0:
        return math.dist(point, start)
    dx, dy = (end[0] - start[0]) / length, (end[1] - start[1]) / length
    along = (point[0] - start[0]) * dx + (point[1] - start[1]) * dy
    along = min(max(along, 0), length)
    return math.dist(point, (start[0] + along * dx, start[1] + along * dy))


@pytest.mark.parametrize("view", [WHOLE, CROPPED], ids=["whole", "cropped"])
@pytest.mark.parametrize(
    "text",
    [
        "+1000:5000,5000",
        "+500:2000,2000 8000,3000 5000,9000",
        "-700:5000,5000 5000,5000",
        "+2000:0,0; -1000:1000,1000 3000,1000; +300:2000,1000",
        "+5000:10000,10000",
        "+13:4321,1234 4400,8765",
    ],
)
def test_a_pixel_is_brushed_where_its_centre_is_near_the_line(text: str, view: View) -> None:
    strokes = Stroke.parse_all(text)
    got, expected = paint_strokes(strokes, view, no_click), slowly(strokes, view)
    # Rounding may differ for a pixel whose centre lies on the edge.
    assert np.count_nonzero(got != expected) <= 1


def test_later_strokes_cover_earlier_ones() -> None:
    layer = paint_strokes(Stroke.parse_all("+2000:5000,5000; -1000:5000,5000"), WHOLE, no_click)
    assert layer[40, 50] == REMOVE
    assert layer[40, 62] == ADD
    assert layer[40, 90] == NOTHING


def test_without_strokes_nothing_is_brushed() -> None:
    assert not paint_strokes((), CROPPED, no_click).any()


def test_a_stroke_outside_the_canvas_leaves_no_trace() -> None:
    assert not paint_strokes(Stroke.parse_all("+100:10,10 9990,10"), CROPPED, no_click).any()


def test_a_click_sets_its_region_in_its_turn() -> None:
    strokes = Stroke.parse_all("-500:1000,5000; +0:5000,5000; -0:2000,5000; +300:500,5000")
    row = paint_strokes(strokes, WHOLE, left_of)[40]
    assert row[[3, 10, 19, 20, 49, 50]].tolist() == [ADD, REMOVE, REMOVE, ADD, ADD, NOTHING]
