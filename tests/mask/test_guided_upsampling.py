"""Tests of guided upsampling: edges align with the picture's, and scores keep their range."""

from __future__ import annotations

import numpy as np
import pytest

from inference.mask.guided_upsampling import GuidedFilter
from inference.matting.window_statistics import inverse
from inference.picture.geometry import Box, Size, View
from inference.picture.resampling import resample

SURE = 4.0  # logits are clipped here


def split_picture(size: Size = (200, 160), *, at: int = 97, noise: int = 6) -> np.ndarray:
    """Two coloured halves with an edge at a column, and a little noise."""
    width, height = size
    picture = np.where(np.arange(width)[None, :, None] < at, (200, 90, 60), (40, 120, 180))
    grain = np.random.default_rng(0).integers(-noise, noise + 1, (height, width, 3))
    return np.clip(picture + grain, 0, 255).astype(np.uint8)


def coarse(size: Size, at: float, cells: int = 10, top: float = 6.0) -> np.ndarray:
    """Logits of a detector with `cells` columns for such a picture, resized to its size."""
    centres = (np.arange(cells) + 0.5) * size[0] / cells
    row = np.clip((at - centres) / (size[0] / cells), -1, 1) * top
    logits = np.tile(row, (cells, 1)).astype(np.float32)
    return resample(logits, View(whole=size, box=Box.whole(size), size=size))


@pytest.mark.parametrize("error", [-4, -2, 0, 2, 4])
def test_an_edge_that_is_a_few_pixels_off_moves_onto_the_pictures(error: int) -> None:
    size = (200, 160)
    logits = coarse(size, 97 + error)
    sharp = GuidedFilter.of(split_picture(size)).sharpen(logits)
    before, after = np.abs((logits >= 0).sum(axis=1) - 97), np.abs((sharp >= 0).sum(axis=1) - 97)
    assert after.max() <= 1
    assert after.mean() <= before.mean()


@pytest.mark.parametrize("top", [-3.0, -0.5, 0.4, 9.0])
def test_no_score_rises_above_the_highest_or_falls_below_the_lowest(top: float) -> None:
    rng = np.random.default_rng(1)
    logits = (top - rng.uniform(0, 5, (60, 80))).astype(np.float32)
    sharp = GuidedFilter.of(split_picture((80, 60), at=31)).sharpen(logits)
    assert sharp.max() <= min(logits.max(), SURE)
    assert sharp.min() >= min(max(logits.min(), -SURE), SURE)


@pytest.mark.parametrize("value", [-9.0, -1.0, 0.0, 2.5])
def test_the_same_everywhere_stays_the_same(value: float) -> None:
    sharp = GuidedFilter.of(split_picture()).sharpen(np.full((160, 200), value, dtype=np.float32))
    np.testing.assert_allclose(sharp, np.clip(value, -SURE, SURE), atol=1e-4)


def test_in_a_flat_picture_an_edge_stays_in_its_place() -> None:
    size = (200, 160)
    logits = coarse(size, 97)
    sharp = GuidedFilter.of(np.full((160, 200, 3), 128, dtype=np.uint8)).sharpen(logits)
    assert np.abs((sharp >= 0).sum(axis=1) - (logits >= 0).sum(axis=1)).max() <= 2


@pytest.mark.parametrize("size", [(16, 16), (16, 128), (128, 16), (17, 33), (768, 96)])
def test_any_size_of_picture_will_do(size: Size) -> None:
    picture = np.random.default_rng(2).integers(0, 256, (size[1], size[0], 3)).astype(np.uint8)
    logits = np.random.default_rng(3).normal(0, 3, size[::-1]).astype(np.float32)
    sharp = GuidedFilter.of(picture).sharpen(logits)
    assert sharp.shape == logits.shape
    assert np.isfinite(sharp).all()


def test_the_inverse_is_theinverse() -> None:
    factors = np.random.default_rng(4).normal(size=(5, 7, 3, 3))
    matrices = (factors @ factors.swapaxes(-1, -2) + np.eye(3)).astype(np.float32)
    product = matrices @ inverse(matrices)
    np.testing.assert_allclose(product, np.broadcast_to(np.eye(3), product.shape), atol=1e-3)
