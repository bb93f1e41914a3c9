"""Tests of the colour match: mean and spread near the edge, by strength."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from inference.finishing.color_match import REACH, Shift, shift_towards
from inference.picture.compositing import Alpha
from inference.picture.photo import Pixels

SIDE = 512
ORIGINAL, PAINTED = (170, 150, 120), (60, 80, 110)


def flat(colour: tuple[int, int, int], noise: float = 6, seed: int = 0) -> Pixels:
    random = np.random.default_rng(seed).normal(0, noise, (SIDE, SIDE, 1))
    return np.clip(np.rint(np.array(colour) + random), 0, 255).astype(np.uint8)


def right_half() -> Alpha:
    alpha = np.zeros((SIDE, SIDE), np.uint8)
    alpha[:, SIDE // 2 :] = 255
    return alpha


def lab(picture: Pixels) -> np.ndarray:
    return cv2.cvtColor(picture.astype(np.float32) / 255, cv2.COLOR_RGB2Lab).reshape(-1, 3)


def shifted(original: Pixels, painted: Pixels, strength: float) -> Pixels:
    shift = shift_towards(original, painted, right_half(), strength)
    assert isinstance(shift, Shift)
    return shift.apply(painted)


@pytest.mark.parametrize(("strength", "share"), [(0, 0), (0.5, 0.5), (1, 1)])
def test_the_mean_moves_by_the_strength(strength: float, share: float) -> None:
    original, painted = flat(ORIGINAL), flat(PAINTED, seed=1)
    wanted = lab(painted).mean(0) + share * (lab(original).mean(0) - lab(painted).mean(0))
    np.testing.assert_allclose(lab(shifted(original, painted, strength)).mean(0), wanted, atol=0.6)


@pytest.mark.parametrize(
    ("before", "wanted", "factor"), [(4, 8, 2), (8, 4, 0.5), (4, 24, 2), (24, 4, 0.5)],
    ids=["wider", "narrower", "at most twice", "at least half"],
)  # fmt: skip
def test_the_spread_follows_within_limits(before: float, wanted: float, factor: float) -> None:
    gray = (128, 128, 128)
    painted = flat(gray, before, seed=1)
    changed = shifted(flat(gray, wanted), painted, 1)
    assert lab(changed)[:, 0].std() == pytest.approx(factor * lab(painted)[:, 0].std(), rel=0.08)


def test_only_colours_near_the_edge_are_compared() -> None:
    original, painted = flat(ORIGINAL), flat(PAINTED, seed=1)
    far = SIDE // 2 + REACH + 2
    expected = shifted(original, painted, 1)[:, SIDE // 2 : far]
    original[:, far:], painted[:, far:] = 0, 255
    np.testing.assert_array_equal(shifted(original, painted, 1)[:, SIDE // 2 : far], expected)


@pytest.mark.parametrize("level", [0, 128, 255])
def test_without_an_edge_there_is_no_shift(level: int) -> None:
    alpha = np.full((SIDE, SIDE), level, np.uint8)
    assert shift_towards(flat(ORIGINAL), flat(PAINTED), alpha, 1) is None
