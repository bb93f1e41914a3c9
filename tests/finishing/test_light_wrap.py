"""Tests of the light wrap: it lies over pixels that are partly kept, and nowhere else."""

from __future__ import annotations

import numpy as np
import pytest

from inference.finishing.light_wrap import wrap
from inference.picture.compositing import Alpha
from inference.picture.photo import Pixels

SIDE = 256


def ramp() -> Alpha:
    """Kept on the left, repainted on the right, with an edge of 64 columns between."""
    level = np.clip((np.arange(SIDE) - 96) / 64, 0, 1)
    return np.tile(np.rint(255 * level).astype(np.uint8), (SIDE, 1))


def black_over_white() -> Pixels:
    return np.repeat(np.where(ramp() == 255, 255, 0).astype(np.uint8)[..., None], 3, axis=2)


@pytest.mark.parametrize("strength", [0.25, 1])
def test_kept_and_repainted_pixels_stay(strength: float) -> None:
    picture, alpha = black_over_white(), ramp()
    wrapped = wrap(picture, alpha, strength)
    outside = (alpha == 0) | (alpha == 255)
    np.testing.assert_array_equal(wrapped[outside], picture[outside])
    assert (wrapped[~outside] > picture[~outside]).any()


@pytest.mark.parametrize(("strength", "level"), [(0, 0), (0.5, 64), (1, 128)])
def test_a_half_kept_pixel_takes_light_by_the_strength(strength: float, level: int) -> None:
    picture = np.zeros((SIDE, SIDE, 3), np.uint8)
    alpha = np.full((SIDE, SIDE), 255, np.uint8)
    picture[:] = 255
    alpha[128, 128], picture[128, 128] = 128, 0
    assert wrap(picture, alpha, strength)[128, 128] == pytest.approx([level] * 3, abs=2)


@pytest.mark.parametrize("level", [0, 255])
def test_without_an_edge_nothing_changes(level: int) -> None:
    picture = black_over_white()
    alpha = np.full((SIDE, SIDE), level, np.uint8)
    np.testing.assert_array_equal(wrap(picture, alpha, 1), picture)
