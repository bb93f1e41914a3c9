"""Heatmaps, the distance field, and the mask that comes of it."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest

from inference.geometry import Box, Size
from inference.masking import (
    FAR,
    Field,
    Heatmap,
    View,
    centre,
    combine,
    drop_specks,
    logit,
    make_field,
    overlay,
    resample,
    signed_distance,
)
from inference.recipe import Length, MaskSettings, Unit

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
    """A disc around the middle of the middle pixel."""
    rows, columns = np.mgrid[:side, :side]
    return np.hypot(rows - side // 2, columns - side // 2) <= radius


def field_of(inside: Bools, short_side: int | None = None) -> Field:
    return Field(distance=signed_distance(inside), short_side=short_side or min(inside.shape))


def radius_of(alpha: Floats) -> float:
    """The radius of a disc with this area."""
    return math.sqrt(float(alpha.sum()) / math.pi)


def heat(values: object, phrase: str = "word") -> Heatmap:
    return Heatmap(phrase=phrase, logits=np.array(values, dtype=np.float32))


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
    again = Field(distance=-field.distance, short_side=SIDE)
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


@pytest.mark.parametrize(("percent", "short_side"), [(5, 200), (-4, 512), (0, 64), (25, 40)])
def test_percent_equals_its_pixels(percent: float, short_side: int) -> None:
    field = field_of(disc(), short_side)
    in_percent = field.alpha(settings(percent, unit=Unit.PERCENT, feather=3))
    in_pixels = field.alpha(settings(percent * short_side / 100, feather=3))
    np.testing.assert_allclose(in_percent, in_pixels, atol=1e-5)


@pytest.mark.parametrize("feather", [1, 4, 10])
def test_a_feather_is_a_straight_slope_of_its_width(feather: float) -> None:
    distance = np.linspace(-20, 20, 81, dtype=np.float32)[None]
    alpha = Field(distance=distance, short_side=100).alpha(settings(feather=feather))[0]
    np.testing.assert_allclose(alpha, np.clip(0.5 + distance[0] / feather, 0, 1), atol=1e-6)
    soft = distance[0][(alpha > 0) & (alpha < 1)]
    assert np.abs(soft).max() <= feather / 2


def test_without_feather_there_is_nothing_between_kept_and_repainted() -> None:
    assert set(np.unique(field_of(disc()).alpha(settings()))) == {0.0, 1.0}


@pytest.mark.parametrize("dilate", [-256, -20, 0, 20, 256])
@pytest.mark.parametrize("feather", [0, 3, 64])
@pytest.mark.parametrize("full", [False, True])
def test_no_slider_makes_something_of_nothing(full: bool, feather: float, dilate: float) -> None:
    field = field_of(np.full((6, 9), full), short_side=512)
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
        ([[1, -2, 3]], [], [1, -2, 3]),
        ([[1, -2, 3], [0, 5, -1]], [], [1, 5, 3]),
        ([[1, -2, 3]], [[-9, -9, 2]], [1, -2, -2]),
        ([[4, 4, 4]], [[-9, 1, -9], [-9, -9, 6]], [4, -1, -6]),
        ([[-1, -1, -1]], [[-5, -5, 5]], [-1, -1, -5]),
    ],
)
def test_union_takes_the_most_and_difference_takes_away(
    positive: list[list[float]], negative: list[list[float]], expected: list[float]
) -> None:
    result = combine([heat([row]) for row in positive], [heat([row]) for row in negative])
    np.testing.assert_array_equal(result, np.array([expected], dtype=np.float32))
    assert result.dtype == np.float32


def test_a_word_minus_itself_leaves_nothing_that_is_sure() -> None:
    one = heat(np.random.default_rng(0).normal(0, 4, (8, 8)))
    assert (combine([one], [one]) <= 0).all()


@pytest.mark.parametrize("score", [0.05, 0.3, 0.5, 0.95])
def test_logit_undoes_the_sigmoid(score: float) -> None:
    assert 1 / (1 + math.exp(-logit(score))) == pytest.approx(score)


def test_a_higher_threshold_finds_less() -> None:
    rows, columns = np.mgrid[:40, :50]
    logits = (4 - np.hypot(rows - 20, columns - 25) / 2.5).astype(np.float32)
    areas = []
    for threshold in (0.05, 0.2, 0.5, 0.8, 0.95):
        field = make_field(logits, threshold, whole((50, 40)), 40)
        inside = field.distance > 0
        np.testing.assert_array_equal(inside, logits >= logit(threshold))
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
    logits = np.full((5, 10), -9, dtype=np.float32)
    if spot is not None:
        logits[spot] = 9
    assert centre(logits, 0.5) == pytest.approx(expected)


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
def test_distances_count_generation_pixels_whatever_the_grid(grid: int) -> None:
    logits = np.where(disc(), 9, -9).astype(np.float32)
    field = make_field(logits, 0.5, whole((SIDE, SIDE), (grid, grid)), short_side=512)
    assert field.short_side == 512
    assert field.distance.shape == (grid, grid)
    assert field.distance.max() == pytest.approx(RADIUS * 512 / SIDE, abs=1.5 * 512 / grid)
    area = (field.alpha(settings(-60)) > 0).mean()
    assert math.sqrt(area * 512**2 / math.pi) == pytest.approx(
        RADIUS * 512 / SIDE - 60, abs=512 / grid
    )


@pytest.mark.parametrize(("size", "grid"), [((160, 80), (80, 40)), ((80, 160), (160, 320))])
def test_the_short_side_counts_on_wide_and_on_tall_canvases(size: Size, grid: Size) -> None:
    logits = np.full((size[1], size[0]), -9, dtype=np.float32)
    logits[: size[1] // 2] = 9
    field = make_field(logits, 0.5, whole(size, grid), short_side=400)
    assert field.distance.max() == pytest.approx(size[1] / 2 * 400 / min(size), abs=10)


def test_the_field_covers_the_canvas_and_not_the_photo() -> None:
    logits = np.full((20, 40), -9, dtype=np.float32)
    logits[:, 30:] = 9
    box = Box(left=400, top=0, right=800, bottom=400)
    field = make_field(logits, 0.5, View(whole=(800, 400), box=box, size=(100, 100)), 512)
    edge = int((field.distance[50] > 0).argmax())
    assert edge == pytest.approx(50, abs=1)
    assert (field.distance[:, :48] < 0).all()
    assert (field.distance[:, 52:] > 0).all()


@pytest.mark.parametrize("invert", [False, True])
@pytest.mark.parametrize(("dilate", "feather"), [(0, 3), (-7, 10), (12, 0)])
def test_the_mask_of_a_part_is_the_part_of_the_mask(
    dilate: float, feather: float, invert: bool
) -> None:
    field = field_of(disc(), short_side=512)
    chosen = settings(dilate, feather=feather, invert=invert)
    canvas, box = (644, 644), Box(left=101, top=87, right=402, bottom=333)
    all_of_it = field.alpha(chosen, whole(canvas))
    part = field.alpha(chosen, View(whole=canvas, box=box, size=box.size))
    differs = np.abs(part - all_of_it[box.slices]) > 1e-4
    # A hard edge may fall on either side of a pixel's centre by rounding.
    assert differs.mean() < (1e-3 if feather == 0 else 1e-9)


@pytest.mark.parametrize("scale", [0.5, 2, 6.5])
def test_an_enlarged_mask_has_its_edge_within_a_pixel(scale: float) -> None:
    field = field_of(disc(), SIDE)
    size = (round(SIDE * scale), round(SIDE * scale))
    for dilate in (-10, 0, 10):
        alpha = field.alpha(settings(dilate), whole((SIDE, SIDE), size))
        assert radius_of(alpha) / scale == pytest.approx(RADIUS + dilate, abs=1)
        feathered = field.alpha(settings(dilate, feather=2), whole((SIDE, SIDE), size))
        assert radius_of(feathered) == pytest.approx(radius_of(alpha), abs=0.5 * scale)


def test_words_that_are_nowhere_give_an_empty_field_at_any_crop() -> None:
    nothing = np.full((1, 1), -np.inf, dtype=np.float32)
    view = View(whole=(90, 60), box=Box(left=11, top=3, right=71, bottom=53), size=(48, 40))
    field = make_field(nothing, 0.5, view, 512)
    assert (field.distance < -1000).all()
    assert (field.alpha(settings(feather=3)) == 0).all()


# --- for the eye --------------------------------------------------------------------------------


def test_the_overlay_tints_what_is_repainted_and_leaves_the_rest() -> None:
    photo = np.random.default_rng(3).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    before = photo.copy()
    field = field_of(disc())
    alpha = field.alpha(settings(feather=4))
    shown = overlay(photo, alpha)
    np.testing.assert_array_equal(photo, before)
    outside = (alpha == 0) & (field.distance < -3)
    np.testing.assert_array_equal(shown[outside], photo[outside])
    inside = field.distance > 3
    mean = shown[inside].mean(axis=0)
    assert mean[0] > mean[1] > mean[2]
    assert (np.abs(shown[inside].astype(int) - photo[inside]).max(axis=1) > 0).mean() > 0.99
    outline = (field.distance > 0) & (field.distance < 1)
    assert (shown[outline] > 200).all(axis=1).mean() > 0.6


@pytest.mark.parametrize("value", [0, 127, 255])
def test_the_overlay_of_an_empty_mask_is_the_photo(value: int) -> None:
    photo = np.full((20, 30, 3), value, dtype=np.uint8)
    np.testing.assert_array_equal(overlay(photo, np.zeros((20, 30), dtype=np.float32)), photo)


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
