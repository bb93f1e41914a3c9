"""Tests of measuring wider scenes: the whole figure behind a portrait, and its joints."""

from __future__ import annotations

import numpy as np
import pytest

from inference import Recipe, Studio
from inference.finishing.outpainter import WiderCanvas
from tools.evaluation.bench import Bench
from tools.measure_outpainting import (
    ANOTHER,
    FIRST_SEED,
    SIZE,
    joints_beyond,
    share_of_others,
    whole_figure,
    without_the_new,
)
from tools.portraits import draw, sample_spec, solo
from tools.portraits.figure import keypoints_of

CANVASES = [("top-center", (384, 960)), ("top-left", (768, 960)), ("center", (768, 600))]
SEEDS = range(FIRST_SEED, FIRST_SEED + 6)


def canvas_of(anchor: str, size: tuple[int, int]) -> WiderCanvas:
    recipe = Recipe(outpaint=anchor, outpaint_width=size[0], outpaint_height=size[1])
    return WiderCanvas.plan(recipe, SIZE)


@pytest.mark.parametrize(("anchor", "size"), CANVASES)
def test_the_whole_figure_goes_on_from_the_portrait(anchor: str, size: tuple[int, int]) -> None:
    """Every joint of the portrait is in the same place of the larger drawing."""
    canvas = canvas_of(anchor, size)
    for seed in SEEDS:
        spec = solo(sample_spec(seed))
        inside = keypoints_of(spec, SIZE)
        whole = keypoints_of(whole_figure(spec, canvas), canvas.size)
        seen = inside[:, 2] > 0
        place = whole[seen, :2] - (canvas.box.left, canvas.box.top)
        np.testing.assert_allclose(place, inside[seen, :2], atol=1)


def test_a_joint_counts_if_it_is_found_and_is_not_guessed_from_what_is_inside() -> None:
    """The drawings themselves have all joints that count; a gray canvas around them has none."""
    bench = Bench(Studio(style="drawn"))
    had, lacking = [], []
    for anchor, size in CANVASES:
        canvas = canvas_of(anchor, size)
        for seed in SEEDS:
            spec = solo(sample_spec(seed))
            whole = draw(whole_figure(spec, canvas), canvas.size)
            gray = without_the_new(whole.image, canvas)
            assert (gray[canvas.box.slices] == whole.image[canvas.box.slices]).all()
            had += joints_beyond(bench, whole.image, whole, canvas)
            lacking += joints_beyond(bench, gray, whole, canvas)
    assert len(had) == len(lacking) >= 5
    assert all(had)
    assert not any(lacking)


@pytest.mark.parametrize("anchor", ["left-center", "right-center"])
def test_a_second_person_beside_the_first_is_another_one(anchor: str) -> None:
    bench, canvas = Bench(Studio(style="drawn")), canvas_of(anchor, (2 * SIZE[0], SIZE[1]))
    for seed in SEEDS:
        whole = draw(whole_figure(solo(sample_spec(seed)), canvas), canvas.size)
        assert share_of_others(bench, whole.image, whole, canvas) < ANOTHER
        inside, picture = canvas.box.slices, whole.image.copy()
        picture[canvas.is_new()] = picture[inside].reshape(-1, 3)
        assert share_of_others(bench, picture, whole, canvas) > ANOTHER
