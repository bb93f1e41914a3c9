"""Tests of recipe and mask embedded in a PNG: writing and reading."""

from __future__ import annotations

import io
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from inference.errors import InvalidRecipe
from inference.picture.photo import Photo
from inference.picture.png_metadata import KEYWORD, SIGNATURE, TEXT, embed, read
from inference.recipe.prompt_block import parse
from inference.recipe.recipe import Length, Recipe

RECIPE = Recipe(
    prompt="a portrait, «space», 宇宙 --not a flag",
    seed=7,
    style="drawn",
    mask_dilate=Length(value=-20),
    mask_feather=5,
)


def png(width: int = 40, height: int = 32) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return cv2.imencode(".png", pixels)[1].tobytes()


def mask(width: int = 40, height: int = 32) -> bytes:
    drawn = np.zeros((height, width), dtype=np.uint8)
    drawn[8:20, 10:30] = 255
    drawn[7, 10:30] = 90
    return cv2.imencode(".png", drawn)[1].tobytes()


def chunk(kind: bytes, body: bytes) -> bytes:
    return len(body).to_bytes(4) + kind + body + zlib.crc32(kind + body).to_bytes(4)


def with_chunks(*chunks: bytes) -> bytes:
    file = png()
    return file[:33] + b"".join(chunks) + file[33:]


def test_what_goes_in_comes_out() -> None:
    found = read(embed(png(), RECIPE, mask()))
    assert found is not None
    assert found.recipe == RECIPE
    assert found.mask == mask()
    assert found.unknown == ()


def test_the_picture_is_the_same_to_every_reader() -> None:
    file = embed(png(), RECIPE, mask())
    assert (Photo.open(file).pixels == Photo.open(png()).pixels).all()
    plain = np.frombuffer(file, dtype=np.uint8)
    assert (cv2.imdecode(plain, 1) == cv2.imdecode(np.frombuffer(png(), np.uint8), 1)).all()


def test_other_programs_see_the_recipe_as_a_prompt_block() -> None:
    with Image.open(io.BytesIO(embed(png(), RECIPE, mask()))) as image:
        assert parse(image.text[KEYWORD]).recipe == RECIPE


def test_the_mask_alone_brings_the_painted_region_back() -> None:
    found = read(embed(png(), RECIPE, mask()))
    assert found is not None
    again = found.masked_recipe
    assert (again.mask_prompt, again.mask_negative, again.mask_invert) == ("", "", False)
    assert again.mask_dilate == Length(value=0)
    assert (again.prompt, again.seed, again.mask_feather) == (RECIPE.prompt, 7, 5)


def test_addresses_are_left_out() -> None:
    recipe = RECIPE.model_copy(update={"input_image_url": "https://example.org/?key=secret"})
    file = embed(png(), recipe, mask())
    assert b"secret" not in file
    found = read(file)
    assert found is not None
    assert found.recipe == RECIPE


@pytest.mark.parametrize(
    "file",
    [
        b"",
        b"\xff\xd8\xff\xe0 no PNG",
        SIGNATURE,
        png(),
        embed(png(), RECIPE, mask())[:60],
        with_chunks(chunk(TEXT, b"parameters\0\0\0\0\0steps: 20")),
        with_chunks(chunk(TEXT, b"masquerade\0\0\0\0\0steps=3")[:-1] + b"?"),
        SIGNATURE + b"\xff\xff\xff\xff" + TEXT + b"masquerade\0",
    ],
    ids=[
        "nothing", "another format", "a signature", "no recipe", "cut off", "another's text",
        "a wrong checksum", "an endless chunk",
    ],
)  # fmt: skip
def test_what_is_not_ours_says_nothing(file: bytes) -> None:
    assert read(file) is None


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"masquerade\0", "damaged"),
        (b"masquerade\0\0\0\0\0\xff\xfe", "damaged"),
        (b"masquerade\0\0\0\0\0a prompt\nsteps=3000", r"\(steps\): takes a whole number"),
    ],
)
def test_a_wrong_recipe_is_a_sentence(body: bytes, message: str) -> None:
    with pytest.raises(InvalidRecipe, match=message):
        read(with_chunks(chunk(TEXT, body)))


def test_fields_of_a_later_version_are_named() -> None:
    found = read(with_chunks(chunk(TEXT, b"masquerade\0\0\0\0\0a prompt\nsteps=3\nglow=2")))
    assert found is not None
    assert (found.recipe.steps, found.unknown, found.mask) == (3, ("glow",), None)
