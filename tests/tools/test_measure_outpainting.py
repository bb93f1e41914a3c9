"""Tests of measuring wider scenes: the whole figure behind a portrait, and its joints."""

from __future__ import annotations

import numpy as np
import pytest

from inference import Recipe, Studio
from inference.finishing.outpainter import WiderCanvas
from tools.evaluation.bench import Bench
from tools.measure_outpainting import FIRST_SEED, SIZE, joints_beyond, whole_figure, without_the_new
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
            whole = draw(whole_figure(spec, canvas), canvas.size).image
            gray = without_the_new(whole, canvas)
            assert (gray[canvas.box.slices] == whole[canvas.box.slices]).all()
            had += joints_beyond(bench, whole, spec, canvas)
            lacking += joints_beyond(bench, gray, spec, canvas)
    assert len(had) == len(lacking) >= 5
    assert all(had)
    assert not any(lacking)
