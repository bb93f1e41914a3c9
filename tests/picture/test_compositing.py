"""Tests of compositing: kept pixels are bit-identical to the photo's."""

from __future__ import annotations

import numpy as np
import pytest

from inference.picture.compositing import kept_pixels_changed, paste, resize
from inference.picture.geometry import Box, Size
from inference.picture.photo import Pixels

WIDTH, HEIGHT = 97, 71
BOXES = [
    Box.whole((WIDTH, HEIGHT)),
    Box(left=0, top=0, right=40, bottom=30),
    Box(left=33, top=20, right=97, bottom=71),
    Box(left=50, top=60, right=51, bottom=61),
]


def noise(size: Size, seed: int) -> Pixels:
    shape = (size[1], size[0], 3)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def soft_alpha(box: Box, seed: int) -> Pixels:
    """Random alpha in the box, often 0 or 255; 0 outside it."""
    random = np.random.default_rng(seed)
    alpha = np.zeros((HEIGHT, WIDTH), dtype=np.uint8)
    weights = random.integers(-128, 384, (box.size[1], box.size[0]))
    alpha[box.slices] = np.clip(weights, 0, 255)
    return alpha


@pytest.mark.parametrize("scale", [0.5, 1.0, 1.7, 4.0])
@pytest.mark.parametrize("box", BOXES, ids=str)
def test_a_paste_keeps_what_is_kept_and_takes_what_is_painted(box: Box, scale: float) -> None:
    original = noise((WIDTH, HEIGHT), 1)
    painted = noise((max(1, int(box.size[0] * scale)), max(1, int(box.size[1] * scale))), 2)
    alpha = soft_alpha(box, 3)
    before = original.copy()
    result = paste(original, painted, alpha, box)
    np.testing.assert_array_equal(original, before)
    np.testing.assert_array_equal(result[alpha == 0], original[alpha == 0])
    fitted = np.zeros_like(original)
    fitted[box.slices] = resize(painted, box.size)
    np.testing.assert_array_equal(result[alpha == 255], fitted[alpha == 255])
    weight = alpha[..., None] / 255
    exact = original * (1 - weight) + fitted * weight
    assert np.abs(result - exact).max() <= 0.51
    assert kept_pixels_changed(original, result, alpha) == 0


@pytest.mark.parametrize("level", [0, 1, 100, 127, 128, 254, 255])
def test_each_level_of_colour_survives_at_both_ends_of_the_mask(level: int) -> None:
    original = np.full((4, 300, 3), level, dtype=np.uint8)
    painted = np.full((4, 300, 3), 255 - level, dtype=np.uint8)
    alpha = np.zeros((4, 300), dtype=np.uint8)
    alpha[:, 100:] = 255
    result = paste(original, painted, alpha, Box.whole((300, 4)))
    assert (result[:, :100] == level).all()
    assert (result[:, 100:] == 255 - level).all()


@pytest.mark.parametrize("value", [0, 255])
def test_a_mask_of_one_value_gives_one_of_the_two_pictures(value: int) -> None:
    original, painted = noise((WIDTH, HEIGHT), 4), noise((WIDTH, HEIGHT), 5)
    alpha = np.full((HEIGHT, WIDTH), value, dtype=np.uint8)
    result = paste(original, painted, alpha, Box.whole((WIDTH, HEIGHT)))
    np.testing.assert_array_equal(result, painted if value else original)


def test_a_read_only_photo_can_be_pasted_on() -> None:
    original = noise((WIDTH, HEIGHT), 6)
    original.flags.writeable = False
    alpha = np.full((HEIGHT, WIDTH), 128, dtype=np.uint8)
    result = paste(original, noise((WIDTH, HEIGHT), 7), alpha, Box.whole((WIDTH, HEIGHT)))
    assert result.flags.writeable
    assert not np.shares_memory(result, original)


@pytest.mark.parametrize("count", [0, 1, 5, 40])
def test_changed_pixels_that_were_to_be_kept_are_counted(count: int) -> None:
    original = noise((WIDTH, HEIGHT), 8)
    alpha = soft_alpha(BOXES[2], 9)
    result = original.copy()
    result[alpha > 0] ^= 255
    random = np.random.default_rng(10)
    kept = np.argwhere(alpha == 0)
    for row, column in random.choice(kept, count, replace=False):
        result[row, column, random.integers(3)] ^= 1
    assert kept_pixels_changed(original, result, alpha) == count


@pytest.mark.parametrize(
    "size", [(WIDTH, HEIGHT), (WIDTH * 2, HEIGHT * 3), (20, 10), (WIDTH * 2, 3), (1, 1)]
)
def test_resizing_gives_the_size_asked_for_and_keeps_a_plain_colour(size: Size) -> None:
    plain = np.full((HEIGHT, WIDTH, 3), (12, 130, 250), dtype=np.uint8)
    resized = resize(plain, size)
    assert resized.shape == (size[1], size[0], 3)
    assert (resized == (12, 130, 250)).all()


def test_shrinking_averages_so_that_nothing_is_skipped() -> None:
    stripes = np.zeros((8, 64, 3), dtype=np.uint8)
    stripes[:, ::4] = 200
    np.testing.assert_allclose(resize(stripes, (16, 2)), 50, atol=1)
