"""Tests of sizes, aspect ratios and crop boxes."""

from __future__ import annotations

import math
from itertools import product
from typing import get_args

import numpy as np
import pytest

from inference.errors import EmptyMask
from inference.picture.geometry import (
    ASPECT_RATIOS,
    Box,
    Canvas,
    Size,
    crop_to_aspect,
    fit_within,
    generation_size,
    mask_box,
    round_to,
)
from inference.recipe.recipe import AspectRatio, Recipe

MIDDLE = (0.5, 0.5)
SIZES = [
    (512, 512), (1024, 1280), (1200, 1500), (4000, 3000), (3000, 4000), (1920, 1080), (2520, 1080),
    (1080, 2520), (640, 480), (17, 16), (8192, 1024), (1024, 8192), (333, 777),
]  # fmt: skip


def is_within(box: Box, size: Size) -> bool:
    return 0 <= box.left < box.right <= size[0] and 0 <= box.top < box.bottom <= size[1]


def mask_of(size: Size, left: int, top: int, right: int, bottom: int) -> np.ndarray:
    mask = np.zeros((size[1], size[0]), dtype=bool)
    mask[top:bottom, left:right] = True
    return mask


@pytest.mark.parametrize(
    ("value", "multiple", "expected"),
    [(0, 8, 8), (3, 8, 8), (11.9, 8, 8), (12, 8, 16), (512, 8, 512), (515.9, 8, 512), (5, 4, 4)],
)
def test_rounding_gives_the_nearest_positive_multiple(
    value: float, multiple: int, expected: int
) -> None:
    assert round_to(value, multiple) == expected


@pytest.mark.parametrize(
    ("size", "native", "expected"),
    [
        ((512, 512), 512, (512, 512)),
        ((2048, 2048), 512, (512, 512)),
        ((64, 64), 512, (512, 512)),
        ((1200, 1500), 512, (456, 576)),
        ((1500, 1200), 512, (576, 456)),
        ((1920, 1080), 512, (680, 384)),
        ((1200, 1500), 128, (112, 144)),
        ((8192, 1024), 512, (1448, 184)),
    ],
)
def test_a_picture_is_painted_at_the_size_that_the_model_knows(
    size: Size, native: int, expected: Size
) -> None:
    assert generation_size(size, native) == expected


@pytest.mark.parametrize("native", [128, 512, 768])
@pytest.mark.parametrize("size", SIZES)
def test_generation_keeps_area_and_shape_as_far_as_multiples_of_8_allow(
    size: Size, native: int
) -> None:
    width, height = generation_size(size, native)
    scale = native / math.sqrt(size[0] * size[1])
    assert width % 8 == 0
    assert height % 8 == 0
    assert abs(width - size[0] * scale) <= 4
    assert abs(height - size[1] * scale) <= 4
    slack = 4 / (min(size) * scale)
    assert width / height == pytest.approx(size[0] / size[1], rel=2.2 * slack)
    assert width * height == pytest.approx(native**2, rel=2.2 * slack)


@pytest.mark.parametrize(
    ("size", "longest", "expected"),
    [
        ((768, 768), 768, (768, 768)),
        ((769, 100), 768, (768, 100)),
        ((4000, 3000), 768, (768, 576)),
        ((3000, 4000), 768, (576, 768)),
        ((100, 50), 768, (100, 50)),
        ((8000, 1), 8, (8, 1)),
        ((1, 1), 1, (1, 1)),
    ],
)
def test_fitting_scales_down_and_never_up(size: Size, longest: int, expected: Size) -> None:
    assert fit_within(size, longest) == expected


def test_each_aspect_ratio_of_a_recipe_has_a_number() -> None:
    assert set(ASPECT_RATIOS) == set(get_args(AspectRatio))
    for name, ratio in ASPECT_RATIOS.items():
        if ":" in name:
            wide, high = name.split(":")
            assert ratio == int(wide) / int(high)
    assert ASPECT_RATIOS["portrait"] < 1 < ASPECT_RATIOS["landscape"]


@pytest.mark.parametrize(
    ("size", "ratio", "focus", "expected"),
    [
        ((300, 200), 1.0, MIDDLE, (50, 0, 250, 200)),
        ((300, 200), 1.0, (0, 0), (0, 0, 200, 200)),
        ((300, 200), 1.0, (1, 1), (100, 0, 300, 200)),
        ((300, 200), 1.0, (0.4, 0.9), (20, 0, 220, 200)),
        ((200, 300), 1.0, (0.5, 0), (0, 0, 200, 200)),
        ((200, 300), 1.0, (0.5, 1), (0, 100, 200, 300)),
        ((300, 200), 1.5, (0, 1), (0, 0, 300, 200)),
        ((300, 200), 1000.0, (0.5, 1), (0, 199, 300, 200)),
        ((300, 200), 0.001, (0, 0.5), (0, 0, 1, 200)),
    ],
)
def test_a_crop_is_as_large_as_it_can_be_and_near_its_focus(
    size: Size, ratio: float, focus: tuple[float, float], expected: tuple[int, int, int, int]
) -> None:
    box = crop_to_aspect(size, ratio, focus)
    assert (box.left, box.top, box.right, box.bottom) == expected


@pytest.mark.parametrize("size", SIZES)
def test_a_crop_stays_within_the_picture_and_has_the_shape_asked_for(size: Size) -> None:
    corners = ((0, 0), (1, 0), (0, 1), (1, 1), (0.5, 0.5), (0.3, 0.8))
    for ratio, focus in product(ASPECT_RATIOS.values(), corners):
        box = crop_to_aspect(size, ratio, focus)
        assert is_within(box, size)
        assert box.size[0] == size[0] or box.size[1] == size[1]
        assert abs(box.size[0] - box.size[1] * ratio) <= max(1, ratio)


@pytest.mark.parametrize(
    ("fields", "box", "size"),
    [
        ({}, (0, 0, 300, 200), (300, 200)),
        ({"ar": "1:1"}, (50, 0, 250, 200), (200, 200)),
        ({"ar": "portrait"}, (70, 0, 230, 200), (160, 200)),
        ({"w": 512, "h": 512}, (50, 0, 250, 200), (512, 512)),
        ({"w": 512, "h": 512, "ar": "16:9"}, (50, 0, 250, 200), (512, 512)),
        ({"w": 96, "h": 64}, (0, 0, 300, 200), (96, 64)),
    ],
)
def test_a_canvas_is_planned_from_width_and_height_or_ratio_or_the_photo(
    fields: dict[str, object], box: tuple[int, int, int, int], size: Size
) -> None:
    canvas = Canvas.plan((300, 200), Recipe.parse(fields), MIDDLE)
    assert (canvas.box.left, canvas.box.top, canvas.box.right, canvas.box.bottom) == box
    assert canvas.size == size


@pytest.mark.parametrize("focus", [(0, 0), (1, 1), (0.2, 0.7)])
def test_a_canvas_follows_the_focus(focus: tuple[float, float]) -> None:
    canvas = Canvas.plan((300, 200), Recipe(ar="1:1"), focus)
    assert canvas.box == crop_to_aspect((300, 200), 1.0, focus)


def test_a_box_cuts_what_its_size_says() -> None:
    picture = np.arange(20 * 30).reshape(20, 30)
    box = Box(left=3, top=5, right=10, bottom=6)
    assert picture[box.slices].shape == (1, 7)
    assert box.size == (7, 1)
    assert picture[Box.whole((30, 20)).slices].shape == (20, 30)


@pytest.mark.parametrize(
    ("size", "mask", "min_side", "expected"),
    [
        # A quarter of the longer side as context on each side.
        ((400, 400), (150, 150, 250, 250), 1, (125, 125, 275, 275)),
        # No smaller than the model's own size, around the mask.
        ((400, 400), (200, 200, 201, 201), 64, (168, 168, 232, 232)),
        # At the border the box slides inwards.
        ((400, 400), (0, 0, 10, 10), 64, (0, 0, 64, 64)),
        ((400, 400), (390, 390, 400, 400), 64, (336, 336, 400, 400)),
        # A line becomes 2:1, not a line.
        ((800, 800), (100, 400, 500, 401), 1, (0, 250, 600, 550)),
        # As much as the canvas has.
        ((400, 50), (100, 10, 300, 20), 1, (50, 0, 350, 50)),
        ((40, 30), (0, 0, 40, 30), 512, (0, 0, 40, 30)),
        ((1, 1), (0, 0, 1, 1), 512, (0, 0, 1, 1)),
    ],
)
def test_the_part_to_paint_is_the_mask_with_context(
    size: Size,
    mask: tuple[int, int, int, int],
    min_side: int,
    expected: tuple[int, int, int, int],
) -> None:
    box = mask_box(mask_of(size, *mask), min_side)
    assert (box.left, box.top, box.right, box.bottom) == expected


@pytest.mark.parametrize("seed", range(12))
def test_any_mask_lies_wholly_in_its_box_and_the_box_in_the_canvas(seed: int) -> None:
    random = np.random.default_rng(seed)
    width, height = (int(side) for side in random.integers(1, 200, 2))
    mask = random.random((height, width)) < random.choice([0.001, 0.01, 0.5, 1.0])
    mask[random.integers(height), random.integers(width)] = True
    min_side = int(random.choice([1, 16, 512]))
    box = mask_box(mask, min_side)
    assert is_within(box, (width, height))
    assert mask[box.slices].sum() == mask.sum()
    assert box.size[0] >= min(min_side, width)
    assert box.size[1] >= min(min_side, height)


@pytest.mark.parametrize("seed", range(40))
def test_a_box_is_at_most_twice_as_long_as_wide_where_there_is_room(seed: int) -> None:
    random = np.random.default_rng(seed)
    wide, high = (int(side) for side in random.integers(1, 120, 2))
    mask = mask_of((1000, 1000), 400, 450, 400 + wide, 450 + high)
    box = mask_box(mask, min_side=1)
    assert max(box.size) <= 2 * min(box.size)
    middle = ((box.left + box.right) / 2, (box.top + box.bottom) / 2)
    assert middle == pytest.approx((400 + wide / 2, 450 + high / 2), abs=1)


def test_an_empty_mask_has_no_box() -> None:
    with pytest.raises(EmptyMask, match="nothing would be repainted"):
        mask_box(np.zeros((20, 30), dtype=bool), min_side=8)
