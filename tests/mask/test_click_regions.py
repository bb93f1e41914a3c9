"""Tests of click regions: the thing that lies at a point, on any grid, and always the same."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from inference.mask.click_regions import ClickRegions
from inference.picture.geometry import Box, Size, View
from inference.picture.photo import Photo, Pixels
from inference.recipe.strokes import Point
from tools.portraits import HELD_OUT_SEED, draw_seed

SIZE = (400, 300)
BACK, DISC, BAR = (200, 205, 210), (40, 90, 160), (160, 60, 50)


def scene(noise: float = 4) -> Pixels:
    """A blue disc and a red bar on a light ground, with noise."""
    picture = np.full((SIZE[1], SIZE[0], 3), BACK, np.uint8)
    cv2.circle(picture, (120, 150), 60, DISC, cv2.FILLED)
    cv2.rectangle(picture, (250, 40), (330, 260), BAR, cv2.FILLED)
    random = np.random.default_rng(0).normal(0, noise, picture.shape)
    return np.clip(picture + random, 0, 255).astype(np.uint8)


def thing(name: str) -> np.ndarray:
    """The pixels of a thing of the scene."""
    colour = {"disc": DISC, "bar": BAR, "ground": BACK}[name]
    return np.abs(scene(0).astype(int) - colour).max(axis=2) == 0


def whole(size: Size = SIZE) -> View:
    return View(whole=size, box=Box.whole(size), size=size)


def overlap(first: np.ndarray, second: np.ndarray) -> float:
    return float((first & second).sum() / (first | second).sum())


@pytest.mark.parametrize(
    ("name", "point"),
    [
        ("disc", (3000, 5000)),
        ("disc", (2000, 4200)),
        ("bar", (7250, 2000)),
        ("ground", (5000, 300)),
    ],
)
@pytest.mark.parametrize("noise", [0, 4, 10])
def test_a_click_finds_the_thing(name: str, point: Point, noise: float) -> None:
    region = ClickRegions().region(Photo.of(scene(noise)), point, whole())
    assert overlap(region, thing(name)) > 0.93


def test_a_region_is_the_same_in_another_crop_and_at_another_size() -> None:
    regions, photo = ClickRegions(), Photo.of(scene())
    everything = regions.region(photo, (3000, 5000), whole())
    box = Box(left=60, top=90, right=260, bottom=240)
    part = regions.region(photo, (3000, 5000), View(whole=SIZE, box=box, size=(100, 75)))
    expected = cv2.resize(everything[box.slices].astype(np.uint8), (100, 75)) > 0
    assert overlap(part, expected) > 0.93


def test_the_same_click_always_gives_the_same_region() -> None:
    photo = Photo.of(scene(10))
    first = ClickRegions().region(photo, (3000, 5000), whole())
    cv2.setRNGSeed(77)
    np.testing.assert_array_equal(ClickRegions().region(photo, (3000, 5000), whole()), first)


@pytest.mark.parametrize("point", [(0, 0), (10_000, 10_000), (0, 10_000)])
@pytest.mark.parametrize("size", [(64, 64), (1, 1), (2, 300), (500, 3)])
def test_any_picture_and_point_has_a_region_with_the_point(size: Size, point: Point) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    region = ClickRegions().region(Photo.of(noise), point, whole(size))
    assert region[min(size[1] - 1, point[1]), min(size[0] - 1, point[0])]


def test_a_plain_picture_is_one_thing() -> None:
    plain = Photo.of(np.full((90, 120, 3), 128, np.uint8))
    assert ClickRegions().region(plain, (5000, 5000), whole((120, 90))).all()


def test_the_clothes_of_drawings_are_found_by_a_click() -> None:
    found = []
    for seed in range(8):
        drawing = draw_seed(HELD_OUT_SEED + 40_000 + seed, (240, 300))
        clothes = drawing.masks["clothes"]
        inner = cv2.distanceTransform(clothes.astype(np.uint8), cv2.DIST_L2, 5)
        y, x = np.unravel_index(int(inner.argmax()), inner.shape)
        point = int((x + 0.5) / 240 * 10_000), int((y + 0.5) / 300 * 10_000)
        region = ClickRegions().region(Photo.of(drawing.image), point, whole((240, 300)))
        found.append((region & clothes).sum() / region.sum())
    assert np.median(found) > 0.9
