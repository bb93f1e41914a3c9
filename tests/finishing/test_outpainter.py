"""Tests of outpainting: the canvas, what stays as it was, and jobs with tiny models."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from inference import Photo, Progress, Recipe, Result, Studio
from inference.catalog.catalog import Catalog
from inference.errors import InvalidRecipe
from inference.finishing.outpainter import (
    DETAIL,
    STRENGTH,
    WiderCanvas,
    close_border,
    colour_shift,
)
from inference.painting.autoencoder import latent_mask
from inference.painting.inpainting import InpaintInput, Painting
from inference.painting.multi_diffusion import windows_of
from inference.painting.painter import Painter
from inference.picture.geometry import Box, Size, View
from inference.picture.progress import Stage
from inference.recipe.prompt_block import parse
from tests.studio.test_studio import halved, photo, result_of

WIDE = {"outpaint": "center", "outpaint_width": 200, "outpaint_height": 120}


@pytest.fixture(scope="module")
def studio(tiny_catalog: Path) -> Studio:
    return Studio(catalog=Catalog.load(tiny_catalog), style="drawn")


def canvas(anchor: str, size: Size, picture: Size, scale: float = 1.0) -> WiderCanvas:
    recipe = Recipe(outpaint=anchor, outpaint_width=size[0], outpaint_height=size[1])
    return WiderCanvas.plan(recipe, picture, scale)


# --- the canvas ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("anchor", "left", "top"),
    [
        ("top-left", 0, 0), ("top-center", 50, 0), ("top-right", 100, 0),
        ("left-center", 0, 20), ("center", 50, 20), ("right-center", 100, 20),
        ("bottom-left", 0, 40), ("bottom-center", 50, 40), ("bottom-right", 100, 40),
    ],
)  # fmt: skip
def test_the_anchor_says_where_the_picture_lies(anchor: str, left: int, top: int) -> None:
    placed = canvas(anchor, (200, 160), (100, 120))
    assert placed.size == (200, 160)
    assert placed.box == Box(left=left, top=top, right=left + 100, bottom=top + 120)


def test_the_canvas_grows_with_an_enlarged_picture() -> None:
    placed = canvas("left-center", (200, 160), (400, 480), scale=4)
    assert placed.size == (800, 640)
    assert placed.box == Box(left=0, top=80, right=400, bottom=560)


@pytest.mark.parametrize(
    ("anchor", "around"),
    [
        ("right-center", Box(left=-100, top=-20, right=100, bottom=140)),
        ("top-left", Box(left=0, top=0, right=200, bottom=160)),
        ("bottom-center", Box(left=-50, top=-40, right=150, bottom=120)),
    ],
)
def test_the_canvas_is_a_view_around_the_picture(anchor: str, around: Box) -> None:
    placed = canvas(anchor, (200, 160), (100, 120))
    composed = placed.to_compose(blank((100, 120)), native=64)
    assert placed.view(composed) == View(whole=(100, 120), box=around, size=(72, 56))


@pytest.mark.parametrize(
    ("size", "picture", "scale", "field", "said"),
    [
        ((96, 200), (100, 120), 1, "outpaint_width", "the picture itself has 100 pixels"),
        ((200, 100), (100, 120), 1, "outpaint_height", "the picture itself has 120 pixels"),
        ((100, 120), (100, 120), 1, "outpaint_width", "no larger than the picture"),
        ((4000, 4000), (1000, 1200), 4, "outpaint_width", "16,000×16,000"),
        ((8000, 8000), (100, 120), 1, "outpaint_width", "make it smaller"),
    ],
)
def test_a_canvas_that_does_not_fit_is_refused(
    size: Size, picture: Size, scale: float, field: str, said: str
) -> None:
    with pytest.raises(InvalidRecipe, match=said) as caught:
        canvas("center", size, picture, scale)
    assert caught.value.field == field


@pytest.mark.parametrize("missing", ["outpaint_width", "outpaint_height"])
def test_a_place_needs_both_sides_of_the_canvas(missing: str) -> None:
    fields = {name: value for name, value in WIDE.items() if name != missing}
    with pytest.raises(InvalidRecipe, match="give the size of the larger canvas") as caught:
        Recipe.parse(fields)
    assert caught.value.field == missing


def blank(size: Size) -> np.ndarray:
    return np.full((size[1], size[0], 3), 90, np.uint8)


def refining(placed: WiderCanvas, native: int) -> InpaintInput | None:
    picture = blank(placed.box.size)
    composed = placed.to_compose(picture, native)
    return placed.to_refine(picture, composed, composed.picture, native)


@pytest.mark.parametrize("anchor", ["center", "top-left", "right-center"])
@pytest.mark.parametrize("picture", [(1152, 1152), (1024, 1152), (720, 900), (576, 720)], ids=str)
def test_a_wide_canvas_takes_the_work_of_the_windows_that_it_needs(
    picture: Size, anchor: str
) -> None:
    native = 512
    placed = canvas(anchor, (2048, 1152), picture)
    refined = refining(placed, native)
    assert refined is not None
    latents = torch.zeros(1, 4, *(side // 8 for side in refined.repaint.shape))
    windows = windows_of(latents, native, 8, latent_mask(refined.repaint, latents))
    needed = sum(one.weight.numel() for one in windows)
    composed = placed.to_compose(blank(picture), native).repaint.size / 64
    assert STRENGTH * composed + DETAIL * needed <= 1.2 * needed


@pytest.mark.parametrize(
    ("size", "native", "composed", "refined"),
    [
        ((900, 640), 64, (72, 56), None),  # less than a fifth larger than the picture
        ((1600, 1000), 64, (80, 48), (144, 88)),
        ((2400, 640), 64, (120, 32), (216, 56)),
        ((2048, 1152), 512, (680, 384), (1464, 824)),
    ],
)
def test_the_whole_canvas_is_painted_at_native_area_and_then_at_the_scale_of_the_picture(
    size: Size, native: int, composed: Size, refined: Size | None
) -> None:
    placed = canvas("right-center", size, (800, 640))
    first = placed.to_compose(blank((800, 640)), native)
    assert (first.picture.shape[1::-1], first.window) == (composed, None)
    second = refining(placed, native)
    assert (second and second.picture.shape[1::-1]) == refined
    assert second is None or second.window == native


def test_around_the_picture_are_its_border_colours() -> None:
    picture = np.zeros((80, 40, 3), np.uint8)
    picture[:40], picture[40:] = (10, 60, 200), (40, 160, 30)
    placed = canvas("center", (160, 80), (40, 80))
    wide = placed.around(picture)
    np.testing.assert_array_equal(wide[placed.box.slices], picture)
    for x in (5, 150):
        assert np.abs(wide[5, x].astype(int) - (10, 60, 200)).max() < 8
        assert np.abs(wide[75, x].astype(int) - (40, 160, 30)).max() < 8


def test_both_paintings_paint_all_that_is_new() -> None:
    placed = canvas("right-center", (1600, 1000), (800, 1000))
    second = refining(placed, native=64)
    assert second is not None
    for given in (placed.to_compose(blank((800, 1000)), native=64), second):
        half = given.repaint.shape[1] // 2
        assert given.repaint[:, :half].all()
        assert not given.repaint[:, half + 1 :].any()


def test_the_second_painting_begins_with_the_first_and_with_the_picture() -> None:
    placed = canvas("left-center", (1600, 400), (400, 400))
    picture = blank((400, 400))
    composed = placed.to_compose(picture, native=64)
    painted = np.full_like(composed.picture, 140)
    second = placed.to_refine(picture, composed, painted, native=64)
    assert second is not None
    assert (second.picture[:, : second.picture.shape[1] // 4] == 90).all()
    assert (second.picture[:, -40:] == 140).all()


@pytest.mark.parametrize("missed", [(0, 0, 0), (30, -20, 10)])
def test_colours_are_shifted_by_what_the_painting_misses_at_the_border(
    missed: tuple[int, int, int],
) -> None:
    known = np.zeros((100, 200), np.bool_)
    known[:, 100:] = True
    before = np.full((100, 200, 3), 120, np.uint8)
    after = (before.astype(int) - missed).astype(np.uint8)
    shift = colour_shift(before, after, known)
    np.testing.assert_allclose(shift[50, 98], missed, atol=1)
    np.testing.assert_allclose(shift[50, 40], (0, 0, 0), atol=0.5)


def test_the_border_itself_is_closed_and_what_is_far_from_it_stays() -> None:
    canvas = np.full((400, 600, 3), 100, np.uint8)
    picture = np.random.default_rng(0).integers(60, 140, (400, 300, 3), dtype=np.uint8)
    picture[:, 1:-1] = 90
    box = Box(left=150, top=0, right=450, bottom=400)
    closed = canvas.copy()
    close_border(closed, picture, box)
    for outside, inside in ((149, 0), (450, -1)):
        step = np.abs(closed[:, outside].astype(int) - picture[:, inside])
        assert step.mean() < 2
    np.testing.assert_array_equal(closed[:, :120], canvas[:, :120])
    np.testing.assert_array_equal(closed[box.slices], canvas[box.slices])


def test_the_first_pixels_beyond_each_border_are_those_within() -> None:
    rng = np.random.default_rng(1)
    canvas = rng.integers(40, 200, (700, 500, 3), dtype=np.uint8)
    picture = rng.integers(40, 200, (400, 300, 3), dtype=np.uint8)
    box = Box(left=120, top=150, right=420, bottom=550)
    close_border(canvas, picture, box)
    rows, columns = box.slices
    np.testing.assert_array_equal(canvas[149, columns], picture[0])
    np.testing.assert_array_equal(canvas[550, columns], picture[-1])
    np.testing.assert_array_equal(canvas[rows, 119], picture[:, 0])
    np.testing.assert_array_equal(canvas[rows, 420], picture[:, -1])


@pytest.mark.parametrize("missed", [0, 25])
def test_a_finished_canvas_has_no_step_at_the_border(missed: int) -> None:
    placed = canvas("left-center", (640, 320), (320, 320))
    rows = np.random.default_rng(0).integers(60, 140, (320, 1, 3), dtype=np.uint8)
    picture = np.repeat(rows, 320, axis=1)
    given = placed.to_compose(picture, native=64)
    finished = placed.finish(picture, given, np.full_like(given.picture, 100 + missed))
    np.testing.assert_array_equal(finished[:, :320], picture)
    across = np.abs(finished[:, 320].astype(int) - picture[:, 319])
    assert across.mean() < 3
    beyond = finished[:, 345:360].mean() - 100  # where the colours' shift still reaches
    assert beyond < 0.7 * missed + 4


# --- jobs ---------------------------------------------------------------------------------------


def painted(studio: Studio, picture: Photo, **fields: object) -> Result:
    return result_of(studio.paint(picture, halved(studio, picture, **fields)))


@pytest.mark.parametrize("anchor", ["top-left", "center", "bottom-right", "left-center"])
@pytest.mark.parametrize("stages", [{}, {"film_grain": True, "color_grading": "Ektar"}], ids=str)
def test_what_is_kept_is_the_photos_and_all_that_is_new_is_repainted(
    studio: Studio, anchor: str, stages: dict[str, object]
) -> None:
    picture = photo(96, 120)
    result = painted(studio, picture, **(WIDE | stages | {"outpaint": anchor}))
    placed = canvas(anchor, (200, 120), (96, 120))
    assert result.images[0].shape == (120, 200, 3)
    assert result.kept_pixels_changed == 0
    assert (result.mask[placed.is_new()] == 255).all()
    plain = painted(studio, picture)
    np.testing.assert_array_equal(result.mask[placed.box.slices], plain.mask)
    np.testing.assert_array_equal(result.original[placed.box.slices], picture.pixels)
    if not stages:
        np.testing.assert_array_equal(result.images[0][placed.box.slices], plain.images[0])


def test_at_strength_0_the_photo_stays_and_only_what_is_new_is_painted(studio: Studio) -> None:
    picture = photo(96, 120)
    recipe = Recipe(seed=4, steps=4, denoising_strength=0, mask_prompt="no such word", **WIDE)
    events = list(studio.paint(picture, recipe))
    result = events[-1]
    assert isinstance(result, Result)
    placed = canvas("center", (200, 120), (96, 120))
    np.testing.assert_array_equal(result.images[0][placed.box.slices], picture.pixels)
    assert result.kept_pixels == 96 * 120
    assert result.kept_pixels_changed == 0
    stages = {event.stage for event in events if isinstance(event, Progress)}
    assert {Stage.OUTPAINTING, Stage.REFINING} <= stages
    assert Stage.PAINTING not in stages


def test_each_picture_gets_its_own_surroundings_and_the_same_seed_the_same(studio: Studio) -> None:
    picture = photo(96, 120)
    fields = {"denoising_strength": 0, "num_images": 2, **WIDE}
    first, again = (painted(studio, picture, **fields) for _ in range(2))
    assert (first.images[0] != first.images[1]).any()
    np.testing.assert_array_equal(first.images[1], again.images[1])


def test_the_prompt_around_is_used_around(studio: Studio) -> None:
    picture = photo(96, 120)
    placed = canvas("center", (200, 120), (96, 120))
    plain, other = (
        painted(studio, picture, **WIDE, outpaint_prompt=text) for text in ("", "a beach at noon")
    )
    inside = placed.box.slices
    np.testing.assert_array_equal(plain.images[0][inside], other.images[0][inside])
    assert (plain.images[0] != other.images[0]).any()


def test_the_pose_of_the_photos_person_stands_on_the_canvas_at_the_picture(
    studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    maps: list[np.ndarray] = []
    paint = Painter.paint

    def noting(self: Painter, patch: InpaintInput, recipe: Recipe) -> Painting:
        maps.extend(guide.map for guide in patch.guides)
        return paint(self, patch, recipe)

    monkeypatch.setattr(Painter, "paint", noting)
    picture = photo(96, 120, seed=11)
    fields = {"denoising_strength": 0, "outpaint_width": 192, "outpaint_height": 120}
    for anchor in ("left-center", "right-center"):
        painted(studio, picture, controlnet="pose", outpaint=anchor, **fields)
    left, right = (np.flatnonzero(one.any(axis=(0, 2))) for one in maps)
    half = maps[0].shape[1] // 2
    np.testing.assert_array_equal(right, left + half)
    maps.clear()
    painted(studio, picture, controlnet="canny", outpaint="center", **fields)
    assert not maps


def test_an_enlarged_picture_lies_on_an_enlarged_canvas(studio: Studio) -> None:
    result = painted(
        studio, photo(96, 120), super_resolution=True, w=64, h=64,
        outpaint="top-left", outpaint_width=128, outpaint_height=64,
    )  # fmt: skip
    assert result.images[0].shape[1::-1] == (256, 128)
    assert result.kept_pixels_changed == 0


def test_a_canvas_that_is_too_small_is_refused_before_anything_is_painted(studio: Studio) -> None:
    picture = photo(96, 120)
    seen: list[Progress | Result] = []
    recipe = halved(studio, picture, outpaint="center", outpaint_width=80, outpaint_height=300)
    with pytest.raises(InvalidRecipe, match="the picture itself has 96 pixels"):
        seen.extend(studio.paint(picture, recipe))
    assert not [one for one in seen if isinstance(one, Progress) and one.stage is Stage.PAINTING]


BLOCK = """--outpaint top-center --outpaint_width 864 --outpaint_height 1296
--outpaint_prompt "fields"
denoising_strength=0
w=576
h=864"""


def test_a_block_of_the_hosted_service_is_read() -> None:
    recipe = parse(BLOCK).recipe
    assert recipe.only_outpaints
    assert (recipe.outpaint, recipe.outpaint_prompt) == ("top-center", "fields")
    assert (recipe.outpaint_width, recipe.outpaint_height) == (864, 1296)
