"""Tests of trimaps: the band is narrow, and wide where hair of one side hangs into the other."""

from __future__ import annotations

import numpy as np
import pytest

from inference.matting.trimap import Bools, Floats, Sides, Trimap

# A grid of the very unit of distances, repainted from column `EDGE` on.
SIDE, EDGE = 512, 200
WIDTH = 24.0
NARROW = 4


def distance() -> Floats:
    return np.tile(np.arange(SIDE, dtype=np.float32) + 0.5 - EDGE, (SIDE, 1))


def hair(first: int, last: int, side: int) -> Sides:
    """Hair in these columns of the upper half."""
    where = np.zeros((SIDE, SIDE), np.int8)
    where[: SIDE // 2, first:last] = side
    return where


def nowhere() -> Bools:
    return np.zeros((SIDE, SIDE), np.bool_)


def band(trimap: Trimap, row: int) -> tuple[int, int]:
    """First and last unknown column of a row."""
    columns = np.flatnonzero(trimap.unknown[row])
    assert len(columns) == columns[-1] - columns[0] + 1, "the band is in one piece"
    return int(columns[0]), int(columns[-1])


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        (hair(0, 0, 1), (EDGE - NARROW, EDGE + NARROW - 1)),
        (hair(100, EDGE, 1), (EDGE - NARROW, EDGE + WIDTH - 1)),
        (hair(EDGE, 300, -1), (EDGE - WIDTH, EDGE + NARROW - 1)),
        (hair(100, EDGE - 10, 1), (EDGE - NARROW, EDGE + WIDTH - 11)),
        (hair(EDGE - 3, EDGE, 1), (EDGE - NARROW, EDGE + NARROW - 1)),
        (hair(EDGE, 300, 1), (EDGE - NARROW, 300 + WIDTH - 1)),
    ],
    ids=[
        "no hair", "kept hair", "repainted hair", "hair behind the edge", "a rim is no hair",
        "kept hair beyond a shifted edge",
    ],
)  # fmt: skip
def test_the_band(where: Sides, expected: tuple[int, int]) -> None:
    trimap = Trimap.around_edge(distance(), where, nowhere(), nowhere(), WIDTH)
    assert band(trimap, 100) == pytest.approx(expected, abs=1)
    assert band(trimap, SIDE - 50) == pytest.approx((EDGE - NARROW, EDGE + NARROW - 1), abs=1)


def test_every_pixel_is_in_one_region() -> None:
    trimap = Trimap.around_edge(distance(), hair(100, EDGE, 1), nowhere(), nowhere(), WIDTH)
    together = trimap.kept.astype(int) + trimap.repainted + trimap.unknown
    np.testing.assert_array_equal(together, 1)
    assert trimap.kept[0, 0]
    assert trimap.repainted[0, -1]


def test_doubt_is_unknown_and_what_was_brushed_is_not() -> None:
    doubt, brushed = nowhere(), nowhere()
    doubt[400, 50:60], brushed[400, 55:], brushed[50] = True, True, True
    trimap = Trimap.around_edge(distance(), hair(100, EDGE, 1), doubt, brushed, WIDTH)
    assert trimap.unknown[400, 50:55].all()
    assert not trimap.unknown[400, 55:60].any()
    assert band(trimap, 50) == pytest.approx((EDGE - NARROW, EDGE + NARROW - 1), abs=1)


def test_a_mask_without_an_edge_has_no_band() -> None:
    far = np.full((SIDE, SIDE), 1e5, np.float32)
    trimap = Trimap.around_edge(far, hair(0, 0, 1), nowhere(), nowhere(), WIDTH)
    assert not trimap.unknown.any()
