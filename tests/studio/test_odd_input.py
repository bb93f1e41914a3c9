"""Tests of unusual sizes, masks, prompts and settings, from recipe to result or error."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from inference import Photo, Progress, Recipe, Result, Studio
from inference.catalog.catalog import Catalog
from inference.errors import EmptyMask, InvalidPhoto, InvalidRecipe, MasqueradeError
from inference.recipe.prompt_block import parse
from tests.support.picture_files import saved

MAX_TEXT = 10_000
# Random weights find every word; the stroke leaves something to keep.
RECIPE: dict[str, Any] = {
    "prompt": "a garden", "steps": 1, "seed": 5, "mask_negative": "", "mask_threshold": 0.05,
    "mask_strokes": "-2000:5000,5000", "controlnet": None,
}  # fmt: skip
DRAWN = {**RECIPE, "mask_prompt": "", "mask_invert": False, "mask_strokes": "", "mask_dilate": 0}


@pytest.fixture(scope="module")
def studio(tiny_catalog: Path) -> Studio:
    return Studio(catalog=Catalog.load(tiny_catalog), style="drawn")


def pixels(width: int, height: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def result_of(events: Iterable[Progress | Result]) -> Result:
    *_, last = events
    assert isinstance(last, Result)
    return last


def outcome_of(work: Callable[[], Any]) -> Any:
    """The return value of some work, or its `MasqueradeError`, whose message must be short."""
    try:
        return work()
    except MasqueradeError as error:
        refused = error
    assert re.fullmatch(r"[^\n]{10,300}\.", str(refused))
    assert "Error" not in str(refused)
    return refused


def sentence_of(work: Callable[[], Any], kind: type[MasqueradeError] = MasqueradeError) -> str:
    """The message with which something is refused."""
    refused = outcome_of(work)
    assert isinstance(refused, kind)
    return str(refused)


# --- sizes --------------------------------------------------------------------------------------

SIDES = (1, 7, 15, 16, 17, 63, 64, 65, 129, 511, 777, 1025, 2049)
SIZES = [(side, side) for side in SIDES] + [
    (16, 128), (128, 16), (17, 135), (16, 129), (129, 16), (64, 512), (100, 101), (101, 333),
    (333, 101), (255, 2), (1, 2049), (2049, 1), (10, 1000), (1000, 10), (20, 2000), (2000, 20),
    (2049, 257), (257, 2049), (600, 599), (1999, 333),
]  # fmt: skip


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
def test_every_size_of_photo_is_painted_at_that_size_or_refused(
    studio: Studio, size: tuple[int, int]
) -> None:
    data = saved(Image.fromarray(pixels(*size)), "BMP")
    if min(size) < 16 or max(size) > 8 * min(size):
        assert f"{size[0]}×{size[1]}" in sentence_of(lambda: Photo.open(data), InvalidPhoto)
        return
    result = result_of(studio.paint(Photo.open(data), Recipe(**RECIPE)))
    assert result.images[0].shape == (size[1], size[0], 3)
    assert result.kept_pixels_changed == 0
    assert result.kept_pixels > 0


@pytest.mark.parametrize("size", [(1, 1), (3, 2), (1, 300), (300, 1), (7, 1000), (15, 15)])
def test_pixels_that_no_file_gave_are_painted_or_refused_too(
    studio: Studio, size: tuple[int, int]
) -> None:
    photo = Photo.of(pixels(*size))
    outcome = outcome_of(lambda: result_of(studio.paint(photo, Recipe(**RECIPE))))
    if isinstance(outcome, Result):
        assert outcome.images[0].shape == (size[1], size[0], 3)


@pytest.mark.parametrize(
    ("fields", "size"),
    [
        ({"w": 64, "h": 64}, (64, 64)),
        ({"w": 72, "h": 1000}, (72, 1000)),
        ({"w": 2048, "h": 64}, (2048, 64)),
        ({"w": 65, "h": 64}, "Width (w): takes a multiple of 8 from 64 to 4096"),
        ({"w": 56, "h": 64}, "Width (w): takes a multiple of 8 from 64 to 4096"),
        ({"w": 64, "h": 4104}, "Height (h): takes a multiple of 8 from 64 to 4096"),
        ({"w": 64}, "both width and height"),
        ({"ar": "21:9"}, (101, 43)),
        ({"ar": "9:21"}, (39, 90)),
    ],
    ids=str,
)
def test_every_size_that_is_asked_for_is_given_or_refused(
    studio: Studio, fields: dict[str, object], size: tuple[int, int] | str
) -> None:
    def painted() -> tuple[int, ...]:
        recipe = Recipe.parse({**RECIPE, **fields})
        images = result_of(studio.paint(Photo.of(pixels(101, 90)), recipe)).images
        return images[0].shape[1::-1]

    if isinstance(size, str):
        assert size in sentence_of(painted, InvalidRecipe)
    else:
        assert painted() == size


# --- masks --------------------------------------------------------------------------------------


def mask(fill: int, size: tuple[int, int] = (96, 120)) -> Photo:
    return Photo.of(np.full((size[1], size[0], 3), fill, dtype=np.uint8))


def half(fill: int = 255, size: tuple[int, int] = (96, 120)) -> Photo:
    """The upper half masked."""
    image = mask(fill, size).pixels.copy()
    image[size[1] // 2 :] = 0
    return Photo.of(image)


def one_pixel() -> Photo:
    image = np.zeros((120, 96, 3), dtype=np.uint8)
    image[60, 48] = 255
    return Photo.of(image)


@pytest.mark.parametrize(
    ("image", "fields", "expected"),
    [
        (mask(0), {}, "Nothing is left of what was found"),
        (mask(0), {"mask_dilate": "20"}, "Nothing is left of what was found"),
        (mask(0), {"mask_invert": True}, "Nothing is left of what was found"),
        (mask(100), {"mask_threshold": 0.5}, "Nothing is left of what was found"),
        (mask(255), {}, "The mask covers all"),
        (mask(255), {"mask_invert": True}, "The mask is empty"),
        (mask(255), {"mask_dilate": "-20%"}, "The mask covers all"),
        (mask(200), {"mask_threshold": 0.5}, "The mask covers all"),
        (half(), {}, 0.5),
        (half(), {"mask_invert": True}, 0.5),
        (half(100), {"mask_threshold": 0.3}, 0.5),
        (half(100), {"mask_threshold": 0.5}, "Nothing is left of what was found"),
        (half(size=(192, 240)), {}, 0.5),
        (half(size=(24, 30)), {}, 0.5),
        (one_pixel(), {"mask_dilate": "-256"}, "The mask is empty"),
        (mask(255, (120, 96)), {}, "give a mask of the photo's shape"),
        (mask(255, (96, 96)), {}, "give a mask of the photo's shape"),
        (one_pixel(), {}, 0.0),
        (one_pixel(), {"mask_dilate": "10%"}, 0.01),
    ],
)
def test_every_mask_image_is_painted_or_refused_before_the_unet_starts(
    studio: Studio, image: Photo, fields: dict[str, object], expected: float | str
) -> None:
    photo = Photo.of(pixels(96, 120))
    list(studio.warm_up())
    painter = studio.models().checkpoints.loaded
    assert painter is not None
    calls: list[int] = []
    handle = painter._pipe.unet.register_forward_hook(lambda *_: calls.append(1))
    recipe = Recipe.parse({**DRAWN, **fields})
    outcome = outcome_of(lambda: result_of(studio.paint(photo, recipe, image)))
    handle.remove()
    if isinstance(expected, str):
        assert not calls
        assert isinstance(outcome, EmptyMask | InvalidPhoto)
        assert expected in str(outcome)
    else:
        assert len(calls) == 1
        assert outcome.kept_pixels_changed == 0
        assert (outcome.mask > 127).mean() == pytest.approx(expected, abs=0.03)
        assert (outcome.mask > 0).any()


# --- prompts ------------------------------------------------------------------------------------

ODD = {
    "nothing": "",
    "spaces": " \t\n ",
    "77 words": "a " * 77,
    "78 words": "a " * 78,
    "77 characters": "a" * 77,
    "78 characters": "a" * 78,
    "all that fit": "rain, " * (MAX_TEXT // 6),
    "one character more": "a" * (MAX_TEXT + 1),
    "five million": "a" * 5_000_000,
    "five million parentheses": "(" * 5_000_000,
    "ten thousand parentheses": "(" * MAX_TEXT,
    "ten thousand weights": "(a:1.1)" * (MAX_TEXT // 7),
    "ten thousand flags": "--mask " * (MAX_TEXT // 7),
    "ten thousand loras": "<lora:" * (MAX_TEXT // 6),
    "control characters": "a\0b\x07c\x1b[31md\x7f",
    "right to left": "a \u202egarden\u202c \u2066b\u2069 \u200f",
    "joined": "a\u200d\ufeff\u0301" * 50,
    "emoji": "👩‍👩‍👧‍👦" * 20,
    "a lone surrogate": "a \ud800 garden",
    "another": "\udfff",
    "no characters": "\uffff\ufffe\U0010ffff",
    "quotes": "\"'`\\" * 100,
}


@pytest.mark.parametrize("name", ODD)
def test_every_prompt_is_painted_or_refused(studio: Studio, name: str) -> None:
    prompt = ODD[name]
    recipe = outcome_of(lambda: Recipe.parse({**RECIPE, "prompt": prompt}))
    allowed = len(prompt) <= MAX_TEXT and not any(0xD800 <= ord(one) < 0xE000 for one in prompt)
    assert isinstance(recipe, Recipe) is allowed
    if not allowed:
        told = "of at most 10000 characters" if len(prompt) > MAX_TEXT else "of whole characters"
        assert str(recipe).startswith(f"Prompt (prompt): takes text {told}")
        return
    outcome = outcome_of(lambda: result_of(studio.paint(Photo.of(pixels(96, 120)), recipe)))
    assert isinstance(outcome, Result) or "lora" in prompt


@pytest.mark.parametrize("name", ODD)
def test_every_text_of_a_recipe_is_taken_or_refused(name: str) -> None:
    for field in ("negative_prompt", "mask_prompt", "mask_negative"):
        outcome = outcome_of(lambda field=field: Recipe.parse({field: ODD[name]}))
        if isinstance(outcome, Recipe):
            assert len(repr(outcome)) < 40_000
        else:
            assert outcome.field == field


@pytest.mark.parametrize("name", ODD)
def test_every_block_is_read_or_refused(name: str) -> None:
    text = f"{ODD[name]}\nsteps=3\nprompt={ODD[name]}"
    outcome = outcome_of(lambda: parse(text))
    assert isinstance(outcome, InvalidRecipe) or outcome.recipe.steps == 3


# --- settings -----------------------------------------------------------------------------------

ODD_VALUES: dict[str, object] = {
    "NaN": math.nan,
    "infinity": math.inf,
    "minus infinity": -math.inf,
    "a word": "perhaps",
    "NaN as text": "NaN",
    "infinity as text": "-Infinity",
    "a list": [1, 2, 3],
    "a list of lists": [[[[]]]],
    "a dictionary": {"a": 1},
    "nothing": None,
    "bytes": b"\xff\xfe",
    "far too much": 10**400,
    "far too little": -(10**400),
    "far too much as text": "9" * 5_000,
    "a fraction": 0.123456789,
    "minus one": -1,
    "a million": 1_000_000,
    "five million characters": "9" * 5_000_000,
    "a lone surrogate": "\ud800",
    "an object": object(),
    "true": True,
}


@pytest.mark.parametrize("field", Recipe.model_fields)
def test_every_field_takes_a_value_or_names_itself_and_its_range(field: str) -> None:
    limits = {type(one).__name__ for one in Recipe.model_fields[field].metadata}
    for name, odd in ODD_VALUES.items():
        outcome = outcome_of(lambda odd=odd: Recipe.parse({field: odd}))
        if isinstance(outcome, InvalidRecipe):
            assert outcome.field in (field, "w", "h"), name
            assert "Le" not in limits or outcome.field != field or " from " in str(outcome), name
            continue
        value = getattr(outcome, field)
        for one in value if isinstance(value, tuple) else (value,):
            assert not isinstance(one, float) or math.isfinite(one), name
        assert Recipe.parse(outcome.model_dump()) == outcome, name


@pytest.mark.parametrize(
    "fields", [{}, {"no such field": 1}, {"": 1}, {"\ud800": 1}, {"x" * 5_000_000: 1}], ids=len
)
def test_unknown_fields_are_named(fields: dict[str, object]) -> None:
    if fields:
        assert "field" in sentence_of(lambda: Recipe.parse(fields), InvalidRecipe)
    else:
        assert Recipe.parse(fields) == Recipe()
