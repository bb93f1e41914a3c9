"""Tests of the single-shot detectors: anchors, decoding, suppression, tiles."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from inference.people import body_landmarks, face_mesh
from inference.people.blaze_detector import (
    Detection,
    anchors,
    decode,
    shrink,
    sigmoid,
    suppress,
    tiles,
    whole,
)


@pytest.mark.parametrize(
    ("side", "grids", "count", "first", "last", "places"),
    [
        (128, face_mesh.LAYOUT.grids, 896, 0.5 / 16, 7.5 / 8, {2: (1.5 / 16, 0.5 / 16)}),
        (
            224, body_landmarks.LAYOUT.grids, 2254, 0.5 / 28, 6.5 / 7,
            {2 * 28: (0.5 / 28, 1.5 / 28), 1568: (0.5 / 14, 0.5 / 14), 1960: (0.5 / 7, 0.5 / 7)},
        ),
    ],
)  # fmt: skip
def test_anchors_are_the_centres_of_the_cells_row_by_row(
    side: int,
    grids: tuple[tuple[int, int], ...],
    count: int,
    first: float,
    last: float,
    places: dict[int, tuple[float, float]],
) -> None:
    found = anchors(side, grids)
    assert found.shape == (count, 2)
    np.testing.assert_allclose(found[0], [first, first])
    np.testing.assert_allclose(found[-1], [last, last])
    for index, place in places.items():
        np.testing.assert_allclose(found[index], place)


def test_a_box_and_its_points_are_read_from_the_anchor() -> None:
    # x and y of the centre, width, height, then one key point, in pixels of 100.
    values = np.array([[10, -20, 40, 30, 5, 0]], dtype=np.float32)
    low, high, point = decode(values, np.array([[0.5, 0.6]], dtype=np.float32), 100)[0]
    np.testing.assert_allclose(low, [0.4, 0.25], atol=1e-6)
    np.testing.assert_allclose(high, [0.8, 0.55], atol=1e-6)
    np.testing.assert_allclose(point, [0.55, 0.6], atol=1e-6)


def test_nothing_found_is_decoded_to_nothing() -> None:
    nothing = decode(np.zeros((0, 16), np.float32), np.zeros((0, 2), np.float32), 128)
    assert nothing.shape == (0, 8, 2)


def detection(score: float, *box: float) -> Detection:
    return Detection(
        box=np.array(box, dtype=np.float32), points=np.zeros((6, 2), np.float32), score=score
    )


@pytest.mark.parametrize(
    ("boxes", "kept"),
    [
        ([], []),
        ([(0.6, 0, 0, 10, 10), (0.9, 50, 0, 60, 10)], [0.9, 0.6]),
        ([(0.6, 0, 0, 10, 10), (0.9, 2, 0, 12, 10)], [0.9]),
        ([(0.9, 0, 0, 10, 10), (0.6, 8, 0, 18, 10)], [0.9, 0.6]),
        ([(0.9, 0, 0, 40, 40), (0.8, 5, 5, 12, 12)], [0.9]),
        ([(0.7, 0, 0, 10, 10), (0.8, 4, 0, 14, 10), (0.6, 8, 0, 18, 10)], [0.8]),
        ([(0.7, 3, 3, 3, 3), (0.8, 3, 3, 3, 3)], [0.8, 0.7]),
    ],
    ids=["none", "apart", "overlap", "touch", "within", "chain", "empty boxes"],
)
def test_of_overlapping_boxes_the_best_is_kept(
    boxes: list[tuple[float, ...]], kept: list[float]
) -> None:
    assert [one.score for one in suppress([detection(*box) for box in boxes])] == kept


@pytest.mark.parametrize(
    ("size", "share", "count"),
    [
        ((600, 600), 0.6, 4), ((600, 600), 0.3, 25), ((1024, 683), 0.6, 6), ((1024, 683), 0.3, 24),
        ((1024, 2), 0.3, 15), ((2, 1024), 0.6, 7), ((1, 1), 0.6, 4),
    ],
)  # fmt: skip
def test_tiles_cover_the_picture_and_are_few(
    size: tuple[int, int], share: float, count: int
) -> None:
    found = list(tiles(size, share))
    assert len(found) == count
    corners = np.stack([one.corners for one in found])
    assert (corners.min(axis=(0, 1)) <= 1e-3).all()
    assert (corners.max(axis=(0, 1)) >= np.array(size) - 1e-3).all()
    assert len({one.side for one in found}) == 1
    xs = sorted({one.x for one in found})
    assert all(b - a <= 0.7 * found[0].side for a, b in pairwise(xs))


def test_the_whole_is_letterboxed_and_can_have_a_border() -> None:
    square = whole((300, 200))
    assert (square.x, square.y, square.side, square.angle) == (150, 100, 300, 0)
    assert whole((300, 200), 0.35).side == pytest.approx(510)


def test_a_large_picture_is_searched_at_a_smaller_size() -> None:
    picture = np.zeros((1000, 3000, 3), dtype=np.uint8)
    small, scale = shrink(picture)
    assert small.shape == (341, 1024, 3)
    np.testing.assert_allclose(scale, [3000 / 1024, 1000 / 341])
    assert shrink(small)[0] is small


def test_a_logit_far_out_does_not_overflow() -> None:
    with np.errstate(all="raise"):
        found = sigmoid(np.array([-1000, 0, 1000], dtype=np.float32))
    np.testing.assert_allclose(found, [0, 0.5, 1], atol=1e-6)
