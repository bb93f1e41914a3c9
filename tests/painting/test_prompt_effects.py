"""Tests of the prompt's effect on the picture, from recipe to result at tiny size."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

from inference import Photo, Progress, Recipe, Result, Studio
from inference.catalog.catalog import Catalog
from inference.errors import InvalidRecipe

# Random weights find every word; the stroke leaves something to keep.
RECIPE = {"steps": 2, "seed": 5, "mask_negative": "", "mask_threshold": 0.05, "controlnet": None}
HOLE = "-2000:5000,5000"


@pytest.fixture(scope="module")
def studio(tiny_catalog: Path) -> Studio:
    return Studio(catalog=Catalog.load(tiny_catalog), style="drawn")


def photo() -> Photo:
    random = np.random.default_rng(0)
    return Photo.of(random.integers(0, 256, (120, 96, 3), dtype=np.uint8))


def result_of(events: Iterable[Progress | Result]) -> Result:
    *_, last = events
    assert isinstance(last, Result)
    return last


def painted(studio: Studio, prompt: str, **fields: object) -> bytes:
    recipe = Recipe(**RECIPE, prompt=prompt, mask_strokes=HOLE, **fields)
    return result_of(studio.paint(photo(), recipe)).images[0].tobytes()


# --- LoRAs --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("prompt", "style", "same_as"),
    [
        ("a garden <lora:ink:1>", "drawn", ("a garden", "ink")),
        ("a garden <lora:ink>", "drawn", ("a garden", "ink")),
        ("a <lora:ink:0.5> garden", "ink", ("<lora:ink:0.5>, a garden", "drawn")),
        ("a garden <lora:ink:0>", "ink", ("a garden", "drawn")),
        ("a garden <lora:words:0.8><lora:ink:0.2>", "drawn", ("a garden", "words")),
        ("a garden <lora:words:0.8>", "drawn", ("in words, a garden <lora:words:0.8>", "silent")),
    ],
)
def test_a_lora_in_the_prompt_does_what_it_does_in_a_style(
    studio: Studio, prompt: str, style: str, same_as: tuple[str, str]
) -> None:
    known = studio
    if same_as[1] == "silent":  # the same LoRA, whose trigger words the prompt has to say
        same_as, known = (same_as[0], "drawn"), without_trigger_words(studio)
    assert painted(studio, prompt, style=style) == painted(known, same_as[0], style=same_as[1])
    assert painted(studio, prompt, style=style) != painted(studio, "a garden", style=style)


def without_trigger_words(studio: Studio) -> Studio:
    pack = studio.catalog.family("pack")
    mute = pack.loras["words"].model_copy(update={"trigger_words": ""})
    pack = pack.model_copy(update={"loras": {**pack.loras, "words": mute}})
    families = {**studio.catalog.family_by_key, "pack": pack}
    return Studio(catalog=studio.catalog.model_copy(update={"family_by_key": families}))


def test_the_recipe_keeps_the_prompt_as_it_was_written(studio: Studio) -> None:
    prompt = "a garden <lora:ink:0.5>"
    recipe = Recipe(**RECIPE, prompt=prompt, mask_strokes=HOLE)
    assert result_of(studio.paint(photo(), recipe)).recipe.prompt == prompt


def test_an_unknown_lora_is_refused_before_anything_runs(studio: Studio) -> None:
    with pytest.raises(InvalidRecipe, match=r"no LoRA 'oil' .* Drawn: choose one of ") as caught:
        painted(studio, "a garden <lora:oil:1>")
    assert caught.value.field == "prompt"
