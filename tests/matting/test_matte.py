"""Tests of matting: alpha and colours of drawn strands, at any size, and what is wholly kept."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from inference.matting import closed_form
from inference.matting.colour_prior import Prior
from inference.matting.matte import MAX_UNKNOWN, Matte
from inference.matting.trimap import Floats, Trimap
from inference.picture.geometry import Box, View
from inference.picture.resampling import resample
from tools.evaluation.hair import GROUNDS, Composite, draw
from tools.measure_matting import measure

WIDTH = 24.0


def whole(side: int) -> View:
    return View(whole=(side, side), box=Box.whole((side, side)), size=(side, side))


def fading(side: int = 64) -> tuple[Floats, Floats]:
    """A red kept half that fades into a blue repainted one over 16 columns, and its alpha."""
    kept = np.clip((side / 2 + 8 - np.arange(side) - 0.5) / 16, 0, 1).astype(np.float32)
    kept = np.tile(kept, (side, 1))
    red, blue = np.float32([0.8, 0.1, 0.1]), np.float32([0.1, 0.2, 0.9])
    return kept[..., None] * red + (1 - kept[..., None]) * blue, kept


def around_middle(side: int, reach: float) -> Trimap:
    distance = np.tile(np.arange(side, dtype=np.float32) + 0.5 - side / 2, (side, 1))
    return Trimap(distance=distance, unknown=np.abs(distance) <= reach)


def estimate_of(kept: float, certainty: float, trimap: Trimap) -> Prior:
    """The same estimate for all unknown pixels."""
    count = int(np.count_nonzero(trimap.unknown))
    return Prior(
        kept=np.full(count, kept, np.float32), certainty=np.full(count, certainty, np.float32)
    )


@pytest.mark.parametrize(("ground", "share"), zip(GROUNDS, (0.3, 0.3, 0.3, 0.75), strict=True))
def test_a_matte_is_much_nearer_to_drawn_hair_than_a_feathered_mask(
    ground: str, share: float
) -> None:
    feathered, matted = measure(draw(512, ground, 3), 3)
    assert matted.alpha < share * feathered.alpha
    assert matted.colours < share * feathered.colours


def test_alpha_of_two_plain_colours_is_exact() -> None:
    picture, kept = fading()
    trimap = around_middle(64, 12)
    solved = closed_form.solve(picture, trimap, estimate_of(0.5, 1e-3, trimap))
    np.testing.assert_allclose(solved, kept, atol=0.01)


def test_a_certain_prior_decides() -> None:
    picture, _ = fading()
    trimap = around_middle(64, 12)
    solved = closed_form.solve(picture, trimap, estimate_of(0.25, 1e9, trimap))
    np.testing.assert_allclose(solved[trimap.unknown], 0.25, atol=1e-3)
    np.testing.assert_array_equal(solved[trimap.kept], 1)
    np.testing.assert_array_equal(solved[trimap.repainted], 0)


def test_without_an_unknown_pixel_nothing_is_solved() -> None:
    picture, kept = fading()
    trimap = around_middle(64, 0)
    solved = closed_form.solve(picture, trimap, estimate_of(0.5, 1, trimap))
    np.testing.assert_array_equal(solved, kept >= 0.5)


@pytest.fixture(scope="module")
def hairy() -> tuple[Composite, Matte]:
    drawing = draw(512, "smooth", 7)
    inside = drawing.solid >= 0.5
    distance = cv2.distanceTransform((~inside).astype(np.uint8), cv2.DIST_L2, 5) - 0.5
    distance -= cv2.distanceTransform(inside.astype(np.uint8), cv2.DIST_L2, 5) - 0.5
    nothing = np.zeros(inside.shape, np.bool_)
    trimap = Trimap.around_edge(
        distance.astype(np.float32), inside.astype(np.int8), nothing, nothing, WIDTH
    )
    return drawing, Matte.solve(drawing.picture, trimap, WIDTH)


def test_what_is_wholly_kept_keeps_its_colours_bit_for_bit(
    hairy: tuple[Composite, Matte],
) -> None:
    drawing, matte = hairy
    cutout = matte.cut(drawing.picture, whole(512))
    kept = cutout.alpha == 0
    assert kept.mean() > 0.2
    np.testing.assert_array_equal(cutout.colours[kept], drawing.picture[kept])
    partly = (cutout.alpha > 0) & (cutout.alpha < 255)
    assert (cutout.colours[partly] != drawing.picture[partly]).any()


def test_the_old_ground_is_taken_out_of_the_colours(hairy: tuple[Composite, Matte]) -> None:
    drawing, matte = hairy
    cutout = matte.cut(drawing.picture, whole(512))
    partly = (cutout.alpha > 60) & (cutout.alpha < 195)
    freed, mixed = (
        np.abs(one[partly] - drawing.colours[partly]).mean()
        for one in (cutout.colours.astype(float), drawing.picture.astype(float))
    )
    assert freed < 0.5 * mixed


def test_a_part_is_cut_as_the_whole_is(hairy: tuple[Composite, Matte]) -> None:
    drawing, matte = hairy
    box = Box(left=96, top=64, right=352, bottom=320)
    view = View(whole=(512, 512), box=box, size=box.size)
    part = matte.cut(np.ascontiguousarray(drawing.picture[box.slices]), view)
    all_of_it = matte.cut(drawing.picture, whole(512))
    np.testing.assert_allclose(part.repaint, all_of_it.repaint[box.slices], atol=1e-3)
    np.testing.assert_array_equal(matte.repaint(drawing.picture, whole(512)), all_of_it.repaint)


def test_too_wide_a_band_is_solved_on_a_coarser_grid() -> None:
    drawing = draw(512, "smooth", 7)
    wide = around_middle(512, 200)
    assert np.count_nonzero(wide.unknown) > MAX_UNKNOWN
    matte = Matte.solve(drawing.picture, wide, WIDTH)
    assert np.count_nonzero(matte.trimap.unknown) <= 1.05 * MAX_UNKNOWN
    repaint = matte.repaint(drawing.picture, whole(512))
    known = resample(wide.unknown.astype(np.float32), whole(512)) < 0.5
    np.testing.assert_array_equal(repaint[:, :50][known[:, :50]], 0)
    np.testing.assert_array_equal(repaint[:, -50:][known[:, -50:]], 1)


@pytest.mark.parametrize("size", [(3, 3), (5, 200), (200, 4)])
def test_tiny_and_narrow_pictures(size: tuple[int, int]) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    distance = np.tile(np.arange(size[0], dtype=np.float32) + 0.5 - size[0] / 2, (size[1], 1))
    trimap = Trimap(distance=distance, unknown=np.abs(distance) < 2)
    view = View(whole=size, box=Box.whole(size), size=size)
    repaint = Matte.solve(picture, trimap, WIDTH).repaint(picture, view)
    assert np.isfinite(repaint).all()
    assert 0 <= repaint.min() <= repaint.max() <= 1
