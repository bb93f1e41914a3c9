"""Tests of reading people: the real models and the pack's parser on drawings in soft style."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from inference.catalog.catalog import Catalog
from inference.catalog.hub import fetch
from inference.errors import MissingModel
from inference.people.part_words import PARTS, probability
from inference.people.parts import Part
from inference.people.photo_reader import GRID, LONGEST, People, PhotoReader
from inference.picture.photo import Pixels
from tools.portraits.draw import Portrait, draw
from tools.portraits.spec import sample_spec, solo

SIZE = (384, 512)
WORDS = frozenset(PARTS)


def parser_folder() -> Path:
    photo = Catalog.load().family("pack").photo
    assert photo is not None
    return fetch(photo.parser)


@pytest.fixture(scope="module")
def reader(photo_models: Path) -> PhotoReader:
    return PhotoReader.load(photo_models, parser_folder(), torch.device("cpu"), WORDS)


@cache
def portrait(seed: int) -> Portrait:
    return draw(solo(sample_spec(seed), "soft"), SIZE, with_masks=True)


@pytest.fixture(scope="module")
def read(reader: PhotoReader) -> People:
    """What is read in one drawing."""
    return reader.read(portrait(9).image)


def overlap(people: People, word: str, drawing: Portrait) -> float:
    """IoU of a word with its mask in the drawing."""
    found = probability(people, word) > 0.5
    mask = drawing.masks[word].astype(np.float32)
    truth = cv2.resize(mask, found.shape[::-1], interpolation=cv2.INTER_AREA) > 0.5
    return float((found & truth).sum() / (found | truth).sum())


def row_of(mask: np.ndarray) -> float:
    return float(np.nonzero(mask)[0].mean())


def test_the_parts_of_each_pixel_sum_to_one(read: People) -> None:
    assert read.parts.shape == (len(Part), GRID, GRID * SIZE[0] // SIZE[1])
    assert read.parts.dtype == np.float32
    assert (read.parts >= 0).all()
    np.testing.assert_allclose(read.parts.sum(axis=0), 1, atol=1e-5)
    np.testing.assert_allclose(read.person, read.parts[1:].sum(axis=0), atol=1e-5)
    assert read.anybody


def test_the_head_is_above_the_clothes_and_holds_face_and_hair(read: People) -> None:
    found = {word: probability(read, word) > 0.5 for word in PARTS}
    assert row_of(found["hair"]) < row_of(found["face"]) < row_of(found["clothes"])
    assert row_of(found["head"]) < row_of(found["clothes"])
    assert (found["face"] & ~found["head"]).mean() < 0.001
    assert not (found["person"] & found["background"]).any()


# Measured, in this order: 0.98, 0.97, 0.92, 0.92, 0.97.
@pytest.mark.parametrize(
    ("word", "least"),
    [("person", 0.95), ("head", 0.9), ("face", 0.8), ("hair", 0.8), ("clothes", 0.9)],
)
def test_words_are_found_where_they_are_drawn(read: People, word: str, least: float) -> None:
    assert overlap(read, word, portrait(9)) > least


def test_two_people_are_both_read(reader: PhotoReader) -> None:
    row = np.concatenate([portrait(9).image, portrait(11).image], axis=1)
    people = reader.read(np.asarray(row, np.uint8))
    assert len(people.faces) == len(people.bodies) == 2
    head = probability(people, "head") > 0.5
    for half in np.split(head, 2, axis=1):
        assert 0.05 < half.mean() < 0.5
    assert people.faces[0].width >= people.faces[1].width


def test_a_large_photograph_is_read_at_the_same_places(reader: PhotoReader, read: People) -> None:
    large = cv2.resize(portrait(9).image, (1920, 2560), interpolation=cv2.INTER_CUBIC)
    people = reader.read(np.asarray(large, np.uint8))
    assert people.size == (960, LONGEST)
    assert people.parts.shape == read.parts.shape
    agree = (people.parts.argmax(axis=0) == read.parts.argmax(axis=0)).mean()
    assert agree > 0.95


@pytest.mark.parametrize("shape", [(480, 360), (1, 1), (1, 900), (900, 2), (30, 20_000)], ids=str)
def test_an_empty_picture_has_nobody(reader: PhotoReader, shape: tuple[int, int]) -> None:
    grey: Pixels = np.full((*shape, 3), 128, dtype=np.uint8)
    people = reader.read(grey)
    assert people.faces == people.bodies == ()
    assert not people.anybody
    np.testing.assert_allclose(people.parts.sum(axis=0), 1, atol=1e-5)
    assert (probability(people, "background") > 0.5).all()


@pytest.mark.parametrize("missing", ["detectors", "parser"])
def test_without_its_files_it_does_not_load(
    photo_models: Path, tmp_path: Path, missing: str
) -> None:
    folders = {"detectors": photo_models, "parser": parser_folder(), missing: tmp_path}
    with pytest.raises(MissingModel, match=r"is missing: .*\.$"):
        PhotoReader.load(**folders, device=torch.device("cpu"), words=WORDS)
