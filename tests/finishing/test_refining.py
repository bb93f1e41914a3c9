"""Tests of refining by tiles and of enlarging a photo alone, with real classes at tiny size."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from inference import Progress, Recipe, Result, Studio
from inference.catalog.catalog import Catalog
from inference.errors import InvalidRecipe
from inference.picture.compositing import resize
from inference.picture.progress import Stage
from tests.studio.test_studio import RECIPE, halved, photo, result_of

ALL_REPAINTED = {"mask_prompt": "", "mask_invert": True}  # nothing is found, so nothing is kept


@pytest.fixture(scope="module")
def catalog(tiny_catalog: Path) -> Catalog:
    return Catalog.load(tiny_catalog)


@pytest.fixture(scope="module")
def studio(catalog: Catalog) -> Studio:
    return Studio(catalog=catalog, style="drawn")


def painted(studio: Studio, **fields: object) -> Result:
    picture = photo()
    return result_of(studio.paint(picture, halved(studio, picture, **fields)))


@pytest.mark.parametrize(
    ("first", "second", "is_same"),
    [
        ({"hires_fix": True}, {"tiled_upscale": True}, False),
        ({"tiled_upscale": True}, {"tiled_upscale": True, "hires_fix": True}, True),
        ({"tiled_upscale": True}, {"tiled_upscale": True, "resemblance": 0.1}, False),
        ({"tiled_upscale": True}, {"tiled_upscale": True, "hires_cfg_scale": 9.0}, False),
        ({"hires_fix": True}, {"hires_fix": True, "hires_cfg_scale": 9.0}, False),
        ({"hires_fix": True}, {"hires_fix": True, "resemblance": 0.1}, True),
        ({}, {"hires_cfg_scale": 9.0, "resemblance": 0.1}, True),
    ],
    ids=str,
)
def test_a_field_acts_where_its_pass_runs(
    studio: Studio, first: dict[str, object], second: dict[str, object], is_same: bool
) -> None:
    one, other = (painted(studio, **fields) for fields in (first, second))
    assert np.array_equal(one.images[0], other.images[0]) is is_same
    assert other.kept_pixels_changed == 0


# --- only enlarging -----------------------------------------------------------------------------


def only_upscaled(studio: Studio, **fields: object) -> tuple[set[Stage], Result]:
    recipe = Recipe.parse({**RECIPE, **ALL_REPAINTED, "only_upscale": True, **fields})
    events = list(studio.paint(photo(56, 72), recipe))
    stages = {event.stage for event in events if isinstance(event, Progress)}
    return stages, result_of(events)


def test_a_photo_is_enlarged_and_refined_and_no_new_scene_is_painted(studio: Studio) -> None:
    stages, result = only_upscaled(studio)
    assert Stage.REFINING in stages
    assert not stages & {Stage.PAINTING, Stage.CONTROL}
    assert result.images[0].shape == (144, 112, 3)
    assert not np.array_equal(result.images[0], resize(photo(56, 72).pixels, (112, 144)))


@pytest.mark.parametrize(
    ("fields", "steps"),
    [
        ({"steps": 10}, 4),
        ({"steps": 10, "denoising_strength": 0.2}, 2),
        ({"steps": 10, "hires_denoising_strength": 0.9}, 9),
        ({"steps": 10, "denoising_strength": 0.1, "hires_denoising_strength": 0.9}, 1),
        ({"steps": 10, "denoising_strength": 0}, 0),
    ],
    ids=str,
)
def test_its_strength_is_the_denoising_strength_or_else_that_of_refining(
    studio: Studio, fields: dict[str, object], steps: int
) -> None:
    recipe = Recipe.parse({**RECIPE, **ALL_REPAINTED, "only_upscale": True, **fields})
    events = [one for one in studio.paint(photo(56, 72), recipe) if isinstance(one, Progress)]
    refining = [event for event in events if event.stage is Stage.REFINING]
    assert max((event.step for event in refining), default=0) == steps


def test_at_strength_0_a_photo_is_only_enlarged_by_the_model_that_enlarges(studio: Studio) -> None:
    plain, modelled = (
        only_upscaled(studio, denoising_strength=0, super_resolution=by_model)[1].images[0]
        for by_model in (False, True)
    )
    np.testing.assert_array_equal(plain, resize(photo(56, 72).pixels, (112, 144)))
    assert plain.shape == modelled.shape
    assert not np.array_equal(plain, modelled)


@pytest.mark.parametrize(
    ("fields", "is_all"),
    [
        ({"only_upscale": True, "mask_prompt": ""}, True),
        ({"only_upscale": True, "mask_prompt": "foreground"}, False),
        ({"mask_prompt": ""}, False),
    ],
    ids=str,
)
def test_all_of_a_photo_is_enlarged_only_where_no_words_say_what_to_keep(
    fields: dict[str, object], is_all: bool
) -> None:
    assert Recipe.parse(fields).enlarges_all is is_all


def test_what_is_kept_is_only_enlarged(studio: Studio) -> None:
    result = painted(studio, only_upscale=True)
    kept = result.mask == 0
    assert 0 < kept.sum() < kept.size
    np.testing.assert_array_equal(result.images[0][kept], result.original[kept])


def test_a_large_photo_is_refined_at_four_times_the_style_s_own_size_at_most(
    studio: Studio,
) -> None:
    recipe = Recipe.parse({**RECIPE, **ALL_REPAINTED, "only_upscale": True, "steps": 3})
    result = result_of(studio.paint(photo(480, 600), recipe))
    assert result.images[0].shape == (600, 480, 3)


@pytest.mark.parametrize("field", ["tiled_upscale", "only_upscale"])
def test_a_style_without_the_control_tile_says_so(catalog: Catalog, field: str) -> None:
    family = catalog.family("pack")
    controls = {name: one for name, one in family.controls.items() if name != "tile"}
    bare = family.model_copy(update={"controls": controls})
    families = {**catalog.family_by_key, "pack": bare}
    without_tile = catalog.model_copy(update={"family_by_key": families})
    studio = Studio(catalog=without_tile, style="drawn")
    with pytest.raises(InvalidRecipe, match=rf"{field}\): the style .* has no model for it"):
        painted(studio, **{field: True})
