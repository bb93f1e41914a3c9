"""Tests of film grain: measured grain equals added grain, and is strongest in mid-tones."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from inference.finishing.film_grain import Grain, add, measure
from inference.picture.photo import Photo, Pixels

SIZE = (384, 512)
LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601
MAX_SIZE = 6.0
DOWN, ACROSS = np.mgrid[: SIZE[0], : SIZE[1]]


def gray(level: int) -> Pixels:
    return np.full((*SIZE, 3), level, dtype=np.uint8)


def ramp(low: int, high: int) -> Pixels:
    """Gray that rises from the left to the right."""
    levels = np.linspace(low, high, SIZE[1]).astype(np.uint8)
    return np.broadcast_to(levels[None, :, None], (*SIZE, 3)).copy()


def colours() -> Pixels:
    """Three channels with different slow gradients."""
    waves = (120 + 60 * np.sin(ACROSS / 150), 100 + 50 * np.cos(DOWN / 120), 90 + 0.2 * ACROSS)
    return np.stack(waves, axis=2).astype(np.uint8)


def half_busy() -> Pixels:
    """A smooth left half; the right half is checks of 3 pixels."""
    picture = gray(120)
    checks = ((DOWN // 3 + ACROSS // 3) % 2 * 120 + 60).astype(np.uint8)
    picture[:, SIZE[1] // 2 :] = checks[:, SIZE[1] // 2 :, None]
    return picture


SMOOTH = {"gray": gray(128), "ramp": ramp(40, 210), "colours": colours(), "busy": half_busy()}


@pytest.mark.parametrize("size", [0.3, 1.0, 1.5, 2.0, 3.0, 4.0, MAX_SIZE, 6.1, 12.0])
def test_a_grain_is_as_wide_as_its_autocorrelation(size: float) -> None:
    """The sum of the correlations with the same noise, moved along a row or a column.

    Grain finer than a pixel is as fine as one.
    """
    noise = add(gray(128), Grain(amount=20.0, size=size), seed=3)[..., 0].astype(float)
    noise -= noise.mean()
    for rows in (noise, noise.T):
        shifted = [(rows[:, lag:] * rows[:, : rows.shape[1] - lag]).mean() for lag in range(32)]
        width = (2 * sum(shifted) - shifted[0]) / shifted[0]
        assert width == pytest.approx(max(size, 1), rel=0.1)


@pytest.mark.parametrize(
    ("name", "amount", "size"),
    [
        *[("gray", 6.0, size) for size in (1.0, 1.5, 2.0, 3.0, 4.0, MAX_SIZE)],
        *[("ramp", amount, 1.5) for amount in (1.5, 3.0, 6.0, 12.0, 20.0)],
        *[("colours", amount, size) for amount in (1.5, 20.0) for size in (1.0, 3.0, MAX_SIZE)],
        *[("busy", amount, size) for amount in (1.5, 20.0) for size in (1.0, 3.0, MAX_SIZE)],
    ],
)
def test_what_is_put_on_is_what_is_measured(name: str, amount: float, size: float) -> None:
    grain = measure(add(SMOOTH[name], Grain(amount=amount, size=size), seed=7))
    assert grain.amount == pytest.approx(amount, rel=0.05)
    assert grain.size == pytest.approx(size, rel=0.07)


@pytest.mark.parametrize("quality", [95, 85])
@pytest.mark.parametrize(("amount", "size"), [(4.0, 2.0), (8.0, 1.5), (8.0, 3.0)])
def test_a_jpeg_still_tells(amount: float, size: float, quality: int) -> None:
    file = io.BytesIO()
    grainy = add(colours(), Grain(amount=amount, size=size), seed=7)
    Image.fromarray(grainy).save(file, "JPEG", quality=quality)
    grain = measure(Photo.open(file.getvalue()).pixels)
    assert grain.amount == pytest.approx(amount, rel=0.1)
    assert grain.size == pytest.approx(size, rel=0.2)


@pytest.mark.parametrize("period", [9, 14, 25])
def test_waves_all_over_are_no_grain(period: int) -> None:
    waves = 128 + 6 * np.sin(2 * np.pi * (ACROSS + 0.4 * DOWN) / period)
    assert measure(np.repeat(waves.astype(np.uint8)[..., None], 3, axis=2)) == Grain(amount=0.0)


@pytest.mark.parametrize("name", SMOOTH)
def test_a_picture_without_grain_measures_none(name: str) -> None:
    assert measure(SMOOTH[name]) == Grain(amount=0.0, size=1.0)


def test_only_the_part_that_is_asked_for_is_measured() -> None:
    picture = gray(128)
    left = np.arange(SIZE[1]) < SIZE[1] // 2
    left = np.broadcast_to(left, SIZE)
    fine, coarse = Grain(amount=3.0, size=1.0), Grain(amount=9.0, size=3.0)
    picture[left] = add(gray(128), fine, seed=1)[left]
    picture[~left] = add(gray(128), coarse, seed=2)[~left]
    for part, put_on in ((left, fine), (~left, coarse)):
        found = measure(picture, part)
        assert found.amount == pytest.approx(put_on.amount, rel=0.1)
        assert found.size == pytest.approx(put_on.size, rel=0.1)


@pytest.mark.parametrize(
    ("picture", "where"),
    [
        (gray(0), None),
        (gray(255), None),
        (gray(128)[:20, :20], None),
        (gray(128), np.zeros(SIZE, dtype=bool)),
    ],
    ids=["black", "white", "too small", "nowhere"],
)
def test_where_nothing_can_be_seen_there_is_none(picture: Pixels, where: np.ndarray | None) -> None:
    noisy = np.clip(picture + np.random.default_rng(0).normal(0, 5, picture.shape), 0, 255)
    assert measure(noisy.astype(np.uint8), where) == Grain(amount=0.0)


def test_a_seed_is_a_grain() -> None:
    picture, grain = colours(), Grain(amount=5.0, size=2.0)
    first, again, other = (add(picture, grain, seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any(axis=2).mean() > 0.8


@pytest.mark.parametrize("size", [1.0, 2.5, MAX_SIZE])
@pytest.mark.parametrize("amount", [2.0, 10.0, 20.0])
def test_brightness_stays(amount: float, size: float) -> None:
    """Within half a level at every gray: fine grain gray by gray, coarse grain over the ramp."""
    picture = ramp(0, 255)
    change = add(picture, Grain(amount=amount, size=size), seed=5).astype(float) - picture
    assert abs(change.mean()) < 0.5
    if size == 1.0:
        by_column = change.mean(axis=(0, 2))
        tenths = by_column[: SIZE[1] // 32 * 32].reshape(-1, 32).mean(axis=1)
        assert np.abs(tenths).max() < 0.5


@pytest.mark.parametrize(
    ("level", "part"),
    [(0, 0.0), (2, 0.1), (10, 0.2), (64, 0.76), (128, 1.0), (191, 0.76), (245, 0.2), (255, 0.0)],
)
def test_mid_tones_have_most_of_it_and_black_and_white_none(level: int, part: float) -> None:
    amount = 10.0
    noise = add(gray(level), Grain(amount=amount, size=1.0), seed=2).astype(float) @ LUMA - level
    assert noise.std() == pytest.approx(part * amount, abs=0.07 * amount)
    if not part:
        assert not noise.round(3).any()


@pytest.mark.parametrize("colour", [(255, 0, 0), (0, 255, 255), (0, 0, 0)])
def test_a_pure_colour_stays_clean(colour: tuple[int, int, int]) -> None:
    picture = np.full((*SIZE, 3), colour, dtype=np.uint8)
    np.testing.assert_array_equal(add(picture, Grain(amount=15.0, size=2.0), seed=1), picture)


def test_gray_stays_gray() -> None:
    grainy = add(ramp(0, 255), Grain(amount=15.0, size=2.0), seed=1)
    assert (np.ptp(grainy, axis=2) == 0).all()


@pytest.mark.parametrize("amount", [0.0, 6.0])
@pytest.mark.parametrize("shape", [(1, 1, 3), (700, 30, 3), (16, 300, 3)])
def test_the_picture_itself_is_not_touched(shape: tuple[int, ...], amount: float) -> None:
    picture = np.full(shape, 100, dtype=np.uint8)
    picture.flags.writeable = False
    grainy = add(picture, Grain(amount=amount, size=3.0), seed=0)
    assert grainy.shape == shape
    assert grainy.dtype == np.uint8
    assert (picture == 100).all()
    assert not np.shares_memory(grainy, picture)
    assert (grainy == picture).all() == (amount == 0)
