"""Tests of turned squares: where their corners are, what is cut out, what is put back."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from inference.people.turned_square import Floats, TurnedSquare
from inference.picture.photo import Pixels

ANGLES = [0.0, 0.5, np.pi / 2, -2.0, np.pi]
SQUARE = TurnedSquare(x=60, y=40, side=20)


def smooth(width: int, height: int) -> Pixels:
    noise = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return np.asarray(cv2.GaussianBlur(noise, (0, 0), 4), dtype=np.uint8)


@pytest.mark.parametrize(
    ("angle", "corners"),
    [
        (0.0, [(50, 30), (70, 30), (70, 50), (50, 50)]),
        (np.pi / 2, [(70, 30), (70, 50), (50, 50), (50, 30)]),
        (-np.pi / 2, [(50, 50), (50, 30), (70, 30), (70, 50)]),
        (np.pi, [(70, 50), (50, 50), (50, 30), (70, 30)]),
    ],
)
def test_a_positive_angle_turns_clockwise(angle: float, corners: list[tuple[int, int]]) -> None:
    found = TurnedSquare(x=60, y=40, side=20, angle=angle).corners
    np.testing.assert_allclose(found, corners, atol=1e-4)


@pytest.mark.parametrize("angle", ANGLES)
def test_the_matrix_is_the_inverse_of_the_places(angle: float) -> None:
    square = TurnedSquare(x=31.5, y=-4, side=77, angle=angle)
    within = np.random.default_rng(1).random((20, 2), dtype=np.float32)
    matrix = square.affine(256)
    there = square.to_picture(within) @ matrix[:, :2].T + matrix[:, 2]
    np.testing.assert_allclose(there, within * 256, atol=1e-3)


def test_an_upright_cut_of_its_own_size_is_the_picture_itself() -> None:
    picture = smooth(100, 80)
    np.testing.assert_array_equal(SQUARE.cut(picture, 20), picture[30:50, 50:70])


@pytest.mark.parametrize("quarter", [1, 2, 3])
def test_a_cut_turned_by_quarters_is_the_picture_turned(quarter: int) -> None:
    picture = smooth(100, 80)
    cut = TurnedSquare(x=60, y=40, side=20, angle=quarter * np.pi / 2).cut(picture, 20)
    expected = np.rot90(picture[30:50, 50:70], quarter).astype(int)
    assert np.abs(cut.astype(int) - expected).max() <= 1


def test_a_large_cut_is_averaged_not_sampled() -> None:
    checks = np.indices((800, 800)).sum(axis=0) % 2 * 255
    picture = np.repeat(checks.astype(np.uint8)[..., None], 3, axis=2)
    cut = TurnedSquare(x=400, y=400, side=800).cut(picture, 50)
    assert np.abs(cut.astype(int) - 128).max() < 16


def test_what_lies_outside_is_black_or_the_edge_repeated() -> None:
    picture = np.full((80, 100, 3), 200, dtype=np.uint8)
    corner = TurnedSquare(x=0, y=0, side=40)
    black = corner.cut(picture, 40)
    assert black[:19, :19].max() == 0
    assert black[21:, 21:].min() == 200
    assert corner.cut(picture, 40, cv2.BORDER_REPLICATE).min() == 200
    away = TurnedSquare(x=-500, y=900, side=40)
    assert away.cut(picture, 16).max() == 0


@pytest.mark.parametrize("shape", [(1, 1), (1, 5000), (3, 7)])
def test_the_smallest_pictures_can_be_cut(shape: tuple[int, int]) -> None:
    picture = np.full((*shape, 3), 9, dtype=np.uint8)
    for angle in ANGLES:
        square = TurnedSquare(x=shape[1] / 2, y=shape[0] / 2, side=max(shape), angle=angle)
        assert square.cut(picture, 32, cv2.BORDER_REPLICATE).shape == (32, 32, 3)


def disc(side: int, x: float, y: float, radius: float) -> Floats:
    rows, columns = np.indices((side, side)) + 0.5
    return (np.hypot(columns - x * side, rows - y * side) < radius * side).astype(np.float32)


@pytest.mark.parametrize("angle", ANGLES)
@pytest.mark.parametrize("size", [(300, 200), (600, 400), (75, 50), (300, 100)], ids=str)
def test_a_mask_is_put_back_where_it_was(angle: float, size: tuple[int, int]) -> None:
    whole = (300, 200)
    square = TurnedSquare(x=140, y=110, side=150, angle=angle)
    pasted = square.paste(disc(256, 0.3, 0.7, 0.15), whole, size)
    assert pasted.shape == (size[1], size[0])
    scale = np.array(size) / whole
    rows, columns = np.indices(pasted.shape) + 0.5
    place = square.to_picture(np.array([[0.3, 0.7]], dtype=np.float32))[0] * scale
    centre = [(pasted * columns).sum() / pasted.sum(), (pasted * rows).sum() / pasted.sum()]
    np.testing.assert_allclose(centre, place, atol=0.15)
    area = np.pi * (0.15 * 150) ** 2 * scale.prod()
    assert pasted.sum() == pytest.approx(area, rel=0.03)


def test_outside_the_square_a_map_is_zero() -> None:
    square = TurnedSquare(x=50, y=50, side=40, angle=np.pi / 4)
    pasted = square.paste(np.ones((64, 64), dtype=np.float32), (100, 100), (100, 100))
    assert pasted[50, 50] == 1
    assert pasted[50, 25] == 1  # towards a corner
    assert pasted[33, 33] == 0  # beyond a side
    assert pasted.min() == 0
