"""Tests of heatmaps, scores, the distance field, and the mask computed from it."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pytest

from inference.mask.brush import ADD, NOTHING, REMOVE
from inference.mask.distance_field import (
    FAR,
    DistanceField,
    drop_specks,
    make_field,
    signed_distance,
)
from inference.mask.heatmap import (
    Heatmap,
    at_least,
    binarize,
    centre,
    combine,
    logit,
    to_scores,
)
from inference.picture.geometry import Box, Size, View
from inference.picture.resampling import resample
from inference.recipe.recipe import Length, MaskSettings, Unit

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float32]

SIDE = 161
MIDDLE = 80.0
RADIUS = 40.0


def whole(size: Size, at: Size | None = None) -> View:
    return View(whole=size, box=Box.whole(size), size=at or size)


def settings(
    dilate: float = 0, *, unit: Unit = Unit.PIXELS, feather: float = 0, invert: bool = False
) -> MaskSettings:
    length = Length(value=dilate, unit=unit)
    return MaskSettings(mask_dilate=length, mask_feather=feather, mask_invert=invert)


def disc(radius: float = RADIUS, side: int = SIDE) -> Bools:
    """A disc around the centre of the middle pixel."""
    rows, columns = np.mgrid[:side, :side]
    return np.hypot(rows - side // 2, columns - side // 2) <= radius


def field_of(inside: Bools) -> DistanceField:
    """The field of an area whose pixels are those of the lengths."""
    return DistanceField(distance=signed_distance(inside))


def radius_of(alpha: Floats) -> float:
    """The radius of a disc with this area."""
    return math.sqrt(float(alpha.sum()) / math.pi)


def heat(values: object, phrase: str = "word") -> Heatmap:
    return Heatmap(phrase=phrase, logits=np.array(values, dtype=np.float32))


def eighths(row: list[int]) -> npt.NDArray[np.uint8]:
    """One row of 8-bit scores."""
    return np.array([row], dtype=np.uint8)


def field_from(inside: Bools) -> DistanceField:
    """The distance field of an area with the highest score, without strokes."""
    return make_field(inside.astype(np.uint8) * 255, 0.5, np.zeros(inside.shape, np.uint8))


def ramp(size: Size, across: float, down: float, start: float = 0.0) -> Floats:
    """A plane over a picture: its value at a point (x, y) is start + across * x + down * y."""
    x, y = np.arange(size[0]) + 0.5, np.arange(size[1]) + 0.5
    return (start + across * x[None] + down * y[:, None]).astype(np.float32)


# --- distance and the sliders -------------------------------------------------------------------


@pytest.mark.parametrize("dilate", [-39, -20, -7.5, -1, 0, 1, 2.25, 10, 33])
def test_dilating_a_disc_adds_to_its_radius(dilate: float) -> None:
    alpha = field_of(disc()).alpha(settings(dilate))
    assert radius_of(alpha) == pytest.approx(RADIUS + dilate, abs=0.5)
    reach = np.hypot(*(np.argwhere(alpha > 0) - MIDDLE).T).max()
    assert reach == pytest.approx(RADIUS + dilate, abs=1)


@pytest.mark.parametrize("dilate", [-20, 0, 15])
def test_dilating_comes_after_inverting(dilate: float) -> None:
    kept = 1 - field_of(disc()).alpha(settings(dilate, invert=True))
    assert radius_of(kept) == pytest.approx(RADIUS - dilate, abs=0.5)


def test_the_distance_is_exact_along_a_straight_edge() -> None:
    inside = np.zeros((5, 20), dtype=bool)
    inside[:, 8:] = True
    expected = np.arange(20) + 0.5 - 8
    np.testing.assert_allclose(signed_distance(inside), np.tile(expected, (5, 1)), atol=1e-4)


@pytest.mark.parametrize("seed", range(4))
def test_the_distance_agrees_with_measuring_each_pixel(seed: int) -> None:
    inside = np.random.default_rng(seed).random((13, 17)) < 0.3
    points = np.argwhere(np.ones_like(inside))
    expected = np.empty(inside.size)
    for i, point in enumerate(points):
        others = np.argwhere(inside != inside[tuple(point)])
        distance = np.hypot(*(others - point).T).min() - 0.5
        expected[i] = distance if inside[tuple(point)] else -distance
    np.testing.assert_allclose(signed_distance(inside).ravel(), expected, atol=1e-3)


def test_inverting_twice_gives_the_mask_back() -> None:
    field = field_of(disc())
    again = DistanceField(distance=-field.distance)
    for dilate, feather in ((0, 0), (3, 8), (-5, 2)):
        plain = settings(dilate, feather=feather)
        inverted = settings(dilate, feather=feather, invert=True)
        np.testing.assert_array_equal(field.alpha(plain), again.alpha(inverted))
    np.testing.assert_array_equal(signed_distance(~disc()), -signed_distance(disc()))


@pytest.mark.parametrize("feather", [0, 1, 3, 20])
def test_mask_and_inverted_mask_make_up_the_whole(feather: float) -> None:
    field = field_of(disc())
    both = field.alpha(settings(feather=feather)) + field.alpha(
        settings(feather=feather, invert=True)
    )
    np.testing.assert_allclose(both, 1, atol=1e-5)


@pytest.mark.parametrize("percent", [-4, -0.5, 0, 5, 25])
def test_percent_equals_its_pixels(percent: float) -> None:
    field = field_of(disc())
    in_percent = field.alpha(settings(percent, unit=Unit.PERCENT, feather=3))
    in_pixels = field.alpha(settings(percent * 5.12, feather=3))
    np.testing.assert_allclose(in_percent, in_pixels, atol=1e-5)


@pytest.mark.parametrize("feather", [1, 4, 10])
def test_a_feather_is_a_straight_slope_of_its_width(feather: float) -> None:
    distance = np.linspace(-20, 20, 81, dtype=np.float32)[None]
    alpha = DistanceField(distance=distance).alpha(settings(feather=feather))[0]
    np.testing.assert_allclose(alpha, np.clip(0.5 + distance[0] / feather, 0, 1), atol=1e-6)
    soft = distance[0][(alpha > 0) & (alpha < 1)]
    assert np.abs(soft).max() <= feather / 2


def test_without_feather_there_is_nothing_between_kept_and_repainted() -> None:
    assert set(np.unique(field_of(disc()).alpha(settings()))) == {0.0, 1.0}


@pytest.mark.parametrize("dilate", [-256, -20, 0, 20, 256])
@pytest.mark.parametrize("feather", [0, 3, 64])
@pytest.mark.parametrize("full", [False, True])
def test_no_slider_makes_something_of_nothing(full: bool, feather: float, dilate: float) -> None:
    field = field_of(np.full((6, 9), full))
    assert np.all(np.abs(field.distance) == FAR)
    assert np.all(field.alpha(settings(dilate, feather=feather)) == full)
    assert np.all(field.alpha(settings(dilate, feather=feather, invert=True)) != full)


# --- words --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("top", "peak"), [(0, 0.5), (2, 1 / (1 + math.exp(-2))), (-4, 1 / (1 + math.exp(4)))]
)
def test_a_peak_is_the_plain_sigmoid_of_the_highest_logit(top: float, peak: float) -> None:
    found = heat([[-9, top], [top - 1, top - 3]])
    assert found.peak == pytest.approx(peak)
    assert found.found(peak - 0.01)
    assert not found.found(peak + 0.01)


@pytest.mark.parametrize(("top", "peak"), [(1000, 1), (-1000, 0), (math.inf, 1), (-math.inf, 0)])
def test_a_peak_is_a_number_for_any_logit(top: float, peak: float) -> None:
    assert heat([[top]]).peak == pytest.approx(peak, abs=1e-9)


@pytest.mark.parametrize(
    ("positive", "negative", "expected"),
    [
        ([[10, 0, 200]], [], [10, 0, 200]),
        ([[10, 0, 200], [0, 90, 20]], [], [10, 90, 200]),
        ([[10, 0, 200]], [[0, 0, 155]], [10, 0, 45]),
        ([[240, 240, 240]], [[0, 155, 0], [0, 100, 255]], [240, 85, 0]),
        ([[0, 0, 0]], [[0, 0, 255]], [0, 0, 0]),
    ],
)
def test_union_takes_the_most_and_difference_takes_away(
    positive: list[list[int]], negative: list[list[int]], expected: list[int]
) -> None:
    result = combine([eighths(row) for row in positive], [eighths(row) for row in negative])
    np.testing.assert_array_equal(result, [expected])
    assert result.dtype == np.uint8


def test_a_word_minus_itself_leaves_nothing_that_is_sure() -> None:
    one = np.random.default_rng(0).integers(0, 256, (8, 8)).astype(np.uint8)
    assert not at_least(combine([one], [one]), 0.5).any()


@pytest.mark.parametrize("seed", range(5))
def test_the_order_of_phrases_does_not_matter(seed: int) -> None:
    rng = np.random.default_rng(seed)
    maps = list(rng.integers(0, 256, (6, 9, 7)).astype(np.uint8))
    wanted, unwanted = maps[:4], maps[4:]
    expected = combine(wanted, unwanted)
    shuffled = [wanted[k] for k in rng.permutation(4)]
    np.testing.assert_array_equal(combine(shuffled, unwanted[::-1]), expected)


@pytest.mark.parametrize(
    ("threshold", "expected"),
    [(None, [0, 76, 77, 128, 255]), (0.3, [0, 0, 255, 255, 255]), (0.95, [0, 0, 0, 0, 255])],
)
def test_a_threshold_of_its_own_decides_a_phrase(
    threshold: float | None, expected: list[int]
) -> None:
    decided = binarize(eighths([0, 76, 77, 128, 255]), threshold)
    np.testing.assert_array_equal(decided, [expected])
    if threshold is not None:
        for other in (0.05, 0.5, 0.95):
            np.testing.assert_array_equal(at_least(decided, other), [np.array(expected) == 255])


@pytest.mark.parametrize(
    ("logits", "scores"), [([0, 1e9, -1e9, 2], [128, 255, 0, 225]), ([-math.inf], [0])]
)
def test_scores_are_plain_sigmoids(logits: list[float], scores: list[int]) -> None:
    np.testing.assert_array_equal(to_scores(np.array(logits, dtype=np.float32)), scores)


@pytest.mark.parametrize("score", [0.05, 0.3, 0.5, 0.95])
def test_logit_undoes_the_sigmoid(score: float) -> None:
    assert 1 / (1 + math.exp(-logit(score))) == pytest.approx(score)


def test_a_higher_threshold_finds_less() -> None:
    rows, columns = np.mgrid[:40, :50]
    scores = to_scores((4 - np.hypot(rows - 20, columns - 25) / 2.5).astype(np.float32))
    strokes = np.zeros((40, 50), dtype=np.uint8)
    areas = []
    for threshold in (0.05, 0.2, 0.5, 0.8, 0.95):
        inside = make_field(scores, threshold, strokes).distance > 0
        np.testing.assert_array_equal(inside, scores >= 255 * threshold)
        areas.append(int(inside.sum()))
    assert areas == sorted(areas, reverse=True)
    assert areas[0] > areas[-1]


@pytest.mark.parametrize(
    ("spot", "expected"),
    [((0, 0), (0.05, 0.1)), ((4, 9), (0.95, 0.9)), ((2, 5), (0.55, 0.5)), (None, (0.5, 0.5))],
)
def test_the_centre_is_where_something_was_found(
    spot: tuple[int, int] | None, expected: tuple[float, float]
) -> None:
    scores = np.full((5, 10), 9, dtype=np.uint8)
    if spot is not None:
        scores[spot] = 200
    assert centre(scores) == pytest.approx(expected)


# --- strokes over what was found ------------------------------------------------------------------


def test_strokes_have_the_last_word_over_the_threshold_and_none_over_the_rest() -> None:
    strokes = np.full((SIDE, SIDE), NOTHING, dtype=np.uint8)
    strokes[:20] = ADD
    strokes[70:90] = REMOVE
    found = disc()
    field = make_field(found.astype(np.uint8) * 255, 0.5, strokes)
    expected = found.copy()
    expected[:20], expected[70:90] = True, False
    np.testing.assert_array_equal(field.distance > 0, expected)


def test_a_brushed_speck_is_no_noise() -> None:
    strokes = np.full((SIDE, SIDE), NOTHING, dtype=np.uint8)
    strokes[3, 3] = ADD
    strokes[80, 80] = REMOVE
    distance = make_field(disc().astype(np.uint8) * 255, 0.5, strokes).distance
    assert distance[3, 3] > 0
    assert distance[80, 80] < 0


# --- resolutions --------------------------------------------------------------------------------


@pytest.mark.parametrize("at", [(1, 1), (7, 3), (40, 30), (97, 211)])
@pytest.mark.parametrize("value", [-2.5, 0.0, FAR])
def test_a_constant_stays_constant_at_any_resolution(value: float, at: Size) -> None:
    values = np.full((12, 20), value, dtype=np.float32)
    view = View(whole=(40, 30), box=Box(left=3, top=5, right=33, bottom=29), size=at)
    np.testing.assert_allclose(resample(values, view), value, rtol=1e-6)


def test_looking_at_the_whole_at_its_own_resolution_changes_nothing() -> None:
    values = np.random.default_rng(2).normal(size=(31, 47)).astype(np.float32)
    np.testing.assert_array_equal(resample(values, whole((47, 31))), values)
    np.testing.assert_allclose(resample(values, whole((470, 310), (47, 31))), values, atol=1e-6)


@pytest.mark.parametrize(
    ("grid", "box", "at"),
    [
        ((80, 60), (0, 0, 80, 60), (160, 120)),
        ((80, 60), (0, 0, 80, 60), (40, 30)),
        ((40, 30), (20, 10, 60, 50), (120, 120)),
        ((160, 120), (10, 20, 70, 50), (33, 17)),
        ((20, 15), (5, 7, 78, 51), (211, 97)),
    ],
)
def test_a_straight_slope_keeps_its_values_at_pixel_centres(
    grid: Size, box: tuple[int, int, int, int], at: Size
) -> None:
    picture = (80, 60)
    scale = picture[0] / grid[0]
    part = Box(left=box[0], top=box[1], right=box[2], bottom=box[3])
    values = ramp(grid, 0.5 * scale, -0.25 * scale, 3)
    got = resample(values, View(whole=picture, box=part, size=at))
    step = part.size[0] / at[0], part.size[1] / at[1]
    start = 3 + 0.5 * part.left - 0.25 * part.top
    expected = ramp(at, 0.5 * step[0], -0.25 * step[1], start)
    x = part.left + (np.arange(at[0]) + 0.5) * step[0]
    y = part.top + (np.arange(at[1]) + 0.5) * step[1]
    # Beyond the outermost centres of the map's cells there is nothing to interpolate.
    across = (x >= scale / 2) & (x <= picture[0] - scale / 2)
    down = (y >= scale / 2) & (y <= picture[1] - scale / 2)
    inner = np.ix_(down, across)
    assert inner[0].size * inner[1].size > 0
    np.testing.assert_allclose(got[inner], expected[inner], atol=1e-3)


@pytest.mark.parametrize("grid", [40, 80, 160, 320])
def test_distances_count_pixels_of_a_short_side_of_512_whatever_the_grid(grid: int) -> None:
    scores = resample(
        np.where(disc(), 255, 0).astype(np.float32), whole((SIDE, SIDE), (grid, grid))
    )
    field = field_from(scores >= 128)
    assert field.distance.shape == (grid, grid)
    assert field.distance.max() == pytest.approx(RADIUS * 512 / SIDE, abs=1.5 * 512 / grid)
    area = (field.alpha(settings(-60)) > 0).mean()
    assert math.sqrt(area * 512**2 / math.pi) == pytest.approx(
        RADIUS * 512 / SIDE - 60, abs=512 / grid
    )


@pytest.mark.parametrize(("size", "grid"), [((160, 80), (80, 40)), ((80, 160), (160, 320))])
def test_the_short_side_counts_on_wide_and_on_tall_canvases(size: Size, grid: Size) -> None:
    inside = np.zeros(grid[::-1], dtype=bool)
    inside[: grid[1] // 2] = True
    field = field_from(inside)
    assert field.distance.max() == pytest.approx(size[1] / 2 * 512 / min(size), abs=13)


@pytest.mark.parametrize("invert", [False, True])
@pytest.mark.parametrize(("dilate", "feather"), [(0, 3), (-7, 10), (12, 0)])
def test_the_mask_of_a_part_is_the_part_of_the_mask(
    dilate: float, feather: float, invert: bool
) -> None:
    field = field_of(disc())
    chosen = settings(dilate, feather=feather, invert=invert)
    canvas, box = (644, 644), Box(left=101, top=87, right=402, bottom=333)
    all_of_it = field.alpha(chosen, whole(canvas))
    part = field.alpha(chosen, View(whole=canvas, box=box, size=box.size))
    differs = np.abs(part - all_of_it[box.slices]) > 1e-4
    # A hard edge may fall on either side of a pixel's centre by rounding.
    assert differs.mean() < (1e-3 if feather == 0 else 1e-9)


@pytest.mark.parametrize("scale", [0.5, 2, 6.5])
def test_an_enlarged_mask_has_its_edge_within_a_pixel(scale: float) -> None:
    field = field_of(disc())
    size = (round(SIDE * scale), round(SIDE * scale))
    for dilate in (-10, 0, 10):
        alpha = field.alpha(settings(dilate), whole((SIDE, SIDE), size))
        assert radius_of(alpha) / scale == pytest.approx(RADIUS + dilate, abs=1)
        feathered = field.alpha(settings(dilate, feather=2), whole((SIDE, SIDE), size))
        assert radius_of(feathered) == pytest.approx(radius_of(alpha), abs=0.5 * scale)


def test_scores_that_are_nowhere_sure_give_an_empty_field() -> None:
    field = field_from(np.zeros((40, 48), dtype=bool))
    assert (field.distance < -1000).all()
    assert (field.alpha(settings(feather=3)) == 0).all()


# --- properties, on random areas ----------------------------------------------------------------


def blobs(seed: int) -> Bools:
    """Some random discs."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:70, :90]
    inside = np.zeros((70, 90), dtype=bool)
    for _ in range(int(rng.integers(1, 7))):
        y, x, radius = rng.uniform(0, 70), rng.uniform(0, 90), rng.uniform(2, 16)
        inside |= np.hypot(rows - y, columns - x) <= radius
    return inside


@pytest.mark.parametrize("seed", range(4))
def test_dilating_more_never_takes_anything_away(seed: int) -> None:
    field = field_of(blobs(seed))
    feather = seed % 3 * 2.5
    lengths = np.sort(np.random.default_rng(seed).uniform(-20, 20, 6))
    for invert in (False, True):
        masks = [
            field.alpha(settings(float(length), feather=feather, invert=invert))
            for length in lengths
        ]
        for less, more in pairwise(masks):
            assert (more >= less).all()


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("radius", [1, 2.5, 6])
def test_dilating_and_then_eroding_keeps_the_mask(seed: int, radius: float) -> None:
    inside = blobs(seed)
    grown = field_of(inside).alpha(settings(radius)) > 0
    again = field_of(grown).alpha(settings(-radius)) > 0
    # The grid loses up to a pixel if the grown edge falls between two pixels.
    assert (again | (field_of(inside).distance <= 1))[inside].all()


@pytest.mark.parametrize("seed", range(4))
def test_inverting_twice_changes_nothing(seed: int) -> None:
    inside = blobs(seed)
    once = field_of(inside).alpha(settings(invert=True)) > 0
    twice = field_of(once).alpha(settings(invert=True)) > 0
    np.testing.assert_array_equal(twice, inside)


@pytest.mark.parametrize(
    ("sides", "kept"), [((0,), 0), ((2,), 0), ((6,), 0), ((7,), 49), ((12,), 144), ((3, 20), 400)]
)
def test_holes_under_a_two_hundredth_of_what_is_found_are_noise(
    sides: tuple[int, ...], kept: int
) -> None:
    inside = np.ones((90, 100), dtype=bool)
    for k, side in enumerate(sides):
        inside[5 : 5 + side, 5 + 40 * k : 5 + 40 * k + side] = False
    assert (~drop_specks(inside)).sum() == kept


@pytest.mark.parametrize(
    ("sides", "kept"),
    [
        ((40,), (40,)),
        ((2,), (2,)),
        ((40, 20), (40, 20)),
        ((40, 5), (40,)),
        ((40, 6, 5, 1), (40, 6)),
        ((), ()),
    ],
)
def test_islands_under_a_fiftieth_of_the_largest_are_noise(
    sides: tuple[int, ...], kept: tuple[int, ...]
) -> None:
    inside = np.zeros((60, 220), dtype=bool)
    for k, side in enumerate(sides):
        inside[5 : 5 + side, 5 + 50 * k : 5 + 50 * k + side] = True
    assert drop_specks(inside).sum() == sum(side**2 for side in kept)


@pytest.mark.parametrize(
    ("side", "whole", "hole", "lost"),
    # Each of two squares that touch at a corner is noise by itself; both together are not.
    [(6, True, False, True), (5, False, True, False)],
    ids=["holes", "islands"],
)
def test_islands_hang_together_across_corners_and_holes_do_not(
    side: int, whole: bool, hole: bool, lost: bool
) -> None:
    inside = np.full((90, 100), whole)
    if not whole:
        inside[40:80, 40:80] = True
    for start in (5, 5 + side):
        inside[start : start + side, start : start + side] = hole
    expected = np.full_like(inside, whole) if lost else inside
    np.testing.assert_array_equal(drop_specks(inside), expected)
