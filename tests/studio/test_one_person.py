"""Tests of one person of several from block to job, on drawn pairs, with the embedded pack."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from inference import Photo, Recipe, Studio
from inference.catalog.hub import fetch
from inference.errors import WordsNotFound
from inference.finishing.face_regions import portrait_of
from inference.mask.browser_view import mask_report
from inference.picture.png_metadata import read
from inference.recipe.prompt_block import parse
from tools.evaluation.bench import overlap
from tools.portraits.pairs import Pair, draw_pair

BLOCK = """a portrait --mask_prompt {words} --mask_negative {negative} --mask_dilate 0
steps=1
seed=3"""


@pytest.fixture(scope="module")
def studio() -> Studio:
    return Studio(style="drawn")


@pytest.fixture(scope="module")
def pair() -> Pair:
    return draw_pair(2_000_000, (384, 320), close=True)


@pytest.mark.parametrize(
    ("words", "negative", "kept"),
    [
        ("person 1", "", 0),
        ("right person", "", 1),
        ("person", "left person", 1),
        ("person, background", "background person 2", 0),
    ],
)
def test_a_pasted_block_names_one_of_two(
    studio: Studio, pair: Pair, words: str, negative: str, kept: int
) -> None:
    recipe = parse(BLOCK.format(words=words, negative=negative)).recipe
    selection = studio.select(Photo.of(pair.image), recipe)
    picture, report = mask_report(selection, recipe)
    assert report["people"] == 2
    mask = picture[..., 0] > 127
    assert pair.touching
    meant, other = (pair.masks[k]["person"] for k in (kept, 1 - kept))
    assert overlap(mask, meant) > 0.7
    assert overlap(mask, meant) > overlap(mask, other) + 0.5


@pytest.mark.parametrize(("words", "which"), [("person 1", 0), ("largest face, face 2", 1)])
def test_pose_and_likeness_are_those_of_the_person_that_is_named(
    studio: Studio, pair: Pair, words: str, which: int
) -> None:
    photo = Photo.of(pair.image)
    recipe = Recipe(mask_prompt=words.split(", ")[-1], mask_negative="")
    studio.select(photo, recipe)
    estimator = studio.models().pose("pack", fetch)
    nose = studio._selector.keypoints(photo, "pack", estimator, recipe)[0]
    assert pair.masks[which]["head"][round(float(nose[1])), round(float(nose[0]))]
    faces = [
        portrait_of(
            studio._selector.finder.heatmaps(photo, (f"face {k}",), "pack")[0], photo.pixels
        )
        for k in (1, 2)
    ]
    likeness = studio._job(photo, recipe, None)._likeness()
    for k, face in enumerate(faces):
        assert face is not None
        assert np.array_equal(face, likeness) == (k == which)


def test_the_map_of_a_pose_follows_the_name(studio: Studio, pair: Pair) -> None:
    """Both paint the same part of the photo: all of it."""
    photo, maps = Photo.of(pair.image), []
    for words in ("person 1, background", "person 2, background"):
        recipe = Recipe(mask_prompt=words, mask_negative="", mask_invert=False, controlnet="pose")
        maps.append(studio.control_maps(photo, recipe)["pose"])
    first, second = (np.flatnonzero(one.any(axis=(0, 2))).mean() for one in maps)
    left, right = (np.flatnonzero(pair.masks[k]["person"].any(axis=0)).mean() for k in (0, 1))
    assert (first < second) == (left < right)
    assert abs(first - second) > pair.image.shape[1] / 5


def test_the_command_keeps_the_person_that_is_named(pair: Pair, tmp_path: Path) -> None:
    Image.fromarray(pair.image).save(tmp_path / "two.png")
    (tmp_path / "block.txt").write_text(BLOCK.format(words="person 2", negative=""))
    command = [sys.executable, "-m", "inference", tmp_path / "block.txt", tmp_path / "two.png",
               "-o", tmp_path / "out", "--style", "drawn"]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    embedded = read(next((tmp_path / "out").glob("*.png")).read_bytes())
    assert embedded is not None
    assert embedded.recipe.mask_prompt == "person 2"


def test_a_number_beyond_the_people_is_refused_before_any_painting(
    studio: Studio, pair: Pair
) -> None:
    with pytest.raises(WordsNotFound, match=r"^Only 2 people found"):
        list(studio.paint(Photo.of(pair.image), Recipe(mask_prompt="face 3")))
