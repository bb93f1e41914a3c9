"""Tests that a recipe's lengths mean the same for every size at which a model paints."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from inference import Photo, Recipe, Result, Studio
from inference.catalog.catalog import Catalog
from inference.mask.heatmap import Floats
from inference.mask.heatmap_finder import HeatmapFinder
from inference.mask.selector import Selector
from inference.picture.geometry import Size
from inference.recipe.prompt_block import parse

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "assets" / "examples" / "beach.png"
NATIVES = (64, 192, 512, 768)
# A head and shoulders by two strokes; no word detector is asked.
HEAD, SHOULDERS = "+1800:5000,3500", "+2500:3000,9000 7000,9000"
DRAWN = {"mask_prompt": "", "mask_negative": "", "mask_strokes": f"{HEAD}; {SHOULDERS}"}
RADIUS = 0.18  # of HEAD, in the short side
LENGTHS = [
    {"mask_dilate": "-20", "mask_feather": 0},
    {"mask_dilate": "-20", "mask_feather": 6},
    {"mask_dilate": "-4%", "mask_feather": 6},
    {"mask_dilate": "0", "mask_feather": 0},
    {"mask_dilate": "0", "mask_feather": 2},
    {"mask_dilate": "0", "mask_feather": 64},
    {"mask_dilate": "2.5", "mask_feather": 6},
    {"mask_dilate": "0.5%", "mask_feather": 6},
    {"mask_dilate": "40", "mask_feather": 20},
    {"mask_dilate": "-20", "mask_feather": 6, "mask_invert": False},
    {"mask_dilate": "-20", "mask_feather": 6, "ar": "1:1"},
    {"mask_dilate": "-20", "mask_feather": 6, "ar": "16:9"},
    {"mask_dilate": "-20", "mask_feather": 6, "w": 512, "h": 768},
]


def photo(size: Size = (480, 600)) -> Photo:
    return Photo.of(np.full((size[1], size[0], 3), 128, dtype=np.uint8))


def mask(fields: dict[str, object], native: int, picture: Photo | None = None) -> Floats:
    """The mask at the resolution of the picture that is made, for a model of this size."""
    recipe = Recipe.parse(DRAWN | fields)
    selector = Selector(finder=HeatmapFinder(segmenter=lambda _family: pytest.fail("asked")))
    return selector.select(picture or photo(), recipe, "pack", native).alpha(recipe)


@pytest.mark.parametrize("fields", LENGTHS, ids=repr)
def test_models_of_every_size_get_the_same_mask(fields: dict[str, object]) -> None:
    first, *others = (mask(fields, native) for native in NATIVES)
    assert 0.05 < first.mean() < 0.95
    for other in others:
        np.testing.assert_array_equal(first, other)


@pytest.mark.parametrize("size", [(240, 300), (480, 600), (1280, 1600), (3456, 4320)], ids=str)
@pytest.mark.parametrize("dilate", ["-20", "-4%", "0", "0.5%", "30"])
def test_photos_of_every_size_get_the_same_mask(dilate: str, size: Size) -> None:
    """Measured at the height of the head's middle: from the left side to the first kept pixel."""
    alpha = mask({"mask_dilate": dilate, "mask_feather": 0}, 192, photo(size))
    row = alpha[round(0.35 * size[1])]
    repainted = np.argmax(row < 0.5) / size[0] * 512
    value = float(dilate.removesuffix("%")) * (5.12 if dilate.endswith("%") else 1)
    # Half a pixel of the grid and one of the picture, in pixels at 512.
    grid = min(768 / size[1], 1) * size[0]
    off = 512 * (0.5 / grid + 1 / size[0])
    assert repainted == pytest.approx((0.5 - RADIUS) * 512 + value, abs=off)


@pytest.mark.parametrize("size", [(240, 300), (480, 600), (1280, 1600)], ids=str)
@pytest.mark.parametrize("feather", [2, 6, 20, 64])
def test_a_soft_edge_is_as_wide_in_photos_of_every_size(feather: float, size: Size) -> None:
    alpha = mask({"mask_dilate": "0", "mask_feather": feather}, 192, photo(size))
    row = alpha[round(0.35 * size[1])][: size[0] // 2]
    # Of a slope from 0 to 1, the smaller of alpha and 1 - alpha has a quarter of its width as area.
    softness = 4 * np.minimum(row, 1 - row).sum() / size[0] * 512
    pixel = 512 / size[0]
    assert softness == pytest.approx(feather, abs=0.05 * feather + pixel)


def test_styles_that_paint_at_different_sizes_repaint_the_same(tiny_catalog: Path) -> None:
    text = tiny_catalog.read_text(encoding="utf-8")
    ink = text.index("[styles.ink]")
    larger = text[:ink] + text[ink:].replace("native_size = 64", "native_size = 128", 1)
    path = tiny_catalog.with_name("two-sizes.toml")
    path.write_text(larger, encoding="utf-8")
    catalog = Catalog.load(path)
    assert [catalog.style(key).native_size for key in ("drawn", "ink")] == [64, 128]
    studio = Studio(catalog=catalog, style="drawn")
    masks = []
    for style in ("drawn", "ink"):
        recipe = Recipe.parse({**DRAWN, "prompt": "space", "style": style, "mask_dilate": "-20",
                               "steps": 1, "seed": 1, "controlnet": None})  # fmt: skip
        *_, result = studio.paint(photo((240, 300)), recipe)
        assert isinstance(result, Result)
        assert result.kept_pixels_changed == 0
        masks.append(result.mask)
    np.testing.assert_array_equal(*masks)


BLOCK = """\
realistic digital painting, astronaut in a garden on a spring day --mask_prompt foreground \
--mask_negative clothes --mask_invert --mask_dilate -20 --hires_denoising_strength 0.2
steps=30
controlnet=pose
ar=1:1
"""


def test_the_block_of_the_hosted_feature_leaves_the_rim_that_it_leaves_there() -> None:
    """With the pack, which paints at 384: a rim of 20 of 512 pixels round head and skin."""
    studio, picture = Studio(style="drawn"), Photo.open(EXAMPLE)
    recipe = parse(BLOCK).recipe.model_copy(update={"mask_feather": 0})
    selection = studio.select(picture, recipe)
    bare = recipe.model_copy(update={"mask_dilate": Recipe.parse({"mask_dilate": 0}).mask_dilate})
    person, kept = (selection.alpha(one) < 0.5 for one in (bare, recipe))
    distance = distance_to(person) * 512 / min(person.shape)
    rim = kept & ~person
    assert rim.any()
    assert distance[rim].max() == pytest.approx(20, abs=2)
    assert distance[~kept].min() == pytest.approx(20, abs=2)


def distance_to(inside: np.ndarray) -> np.ndarray:
    """Distance of each pixel outside to the nearest one inside, in pixels."""
    return np.asarray(cv2.distanceTransform((~inside).astype(np.uint8), cv2.DIST_L2, 5))
