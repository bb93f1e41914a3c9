"""Tests of where people are: the ways of looking, and what the models find in drawings."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest

from inference.people.body_landmarks import Body, BodyEstimator
from inference.people.face_mesh import FaceMeshEstimator
from inference.people.person_segmenter import CLOSE_UP, PersonSegmenter
from inference.people.turned_square import Floats, TurnedSquare
from inference.picture.geometry import Size
from inference.picture.photo import Pixels
from tests.support.made_people import body_of, face_at
from tools.portraits.draw import Portrait, draw
from tools.portraits.spec import sample_spec, solo

SEEDS = range(10)
SIZE = (384, 512)


@pytest.fixture(scope="module")
def segmenter(photo_models: Path) -> PersonSegmenter:
    return PersonSegmenter.load(photo_models)


@cache
def portrait(seed: int) -> Portrait:
    return draw(solo(sample_spec(seed), "soft"), SIZE, with_masks=True)


def overlap(found: Floats, truth: np.ndarray) -> float:
    return float(((found > 0.5) & truth).sum() / ((found > 0.5) | truth).sum())


def hidden_body(square: TurnedSquare, canvas: Size) -> Body:
    """A body in a square of the picture, whose shoulders are guesses."""
    points = body_of().points.copy()
    points[:, 3] = 0
    return replace(body_of(points, canvas), square=square)


def test_drawn_people_are_found(segmenter: PersonSegmenter, photo_models: Path) -> None:
    faces, bodies = FaceMeshEstimator.load(photo_models), BodyEstimator.load(photo_models)
    overlaps = []
    for seed in SEEDS:
        picture = portrait(seed).image
        seen = faces.find(picture)
        found = segmenter.find(picture, seen, bodies.find(picture, seen), SIZE)
        assert found.shape == SIZE[::-1]
        assert found.dtype == np.float32
        assert found.min() >= 0
        assert found.max() <= 1
        overlaps.append(overlap(found, portrait(seed).masks["person"]))
    # Measured: 0.86 in the middle, and one drawing, of long white hair, far below the others.
    assert np.median(overlaps) >= 0.83
    assert np.sum(np.array(overlaps) > 0.74) >= 9


@pytest.mark.parametrize("size", [(384, 512), (96, 128), (17, 40)], ids=str)
def test_the_map_has_the_size_that_is_asked_for(segmenter: PersonSegmenter, size: Size) -> None:
    found = segmenter.find(portrait(9).image, (), (), size)
    assert found.shape == size[::-1]
    small = cv2.resize(segmenter.find(portrait(9).image, (), (), SIZE), size)
    assert np.abs(found - small).mean() < 0.03


@pytest.mark.parametrize(("share", "is_close"), [(0.9, False), (1.1, True), (2.0, True)])
def test_of_a_close_up_the_padded_picture_is_read_too(
    segmenter: PersonSegmenter, share: float, is_close: bool
) -> None:
    picture = portrait(9).image
    face = face_at(192, 150, width=share * CLOSE_UP * SIZE[0])
    alone, found = (segmenter.find(picture, faces, (), SIZE) for faces in ((), (face,)))
    assert (np.abs(found - alone).max() > 0.05) == is_close


def small_figure() -> tuple[Pixels, np.ndarray, TurnedSquare]:
    """A person of a fifth of a wide picture's height, with mask and region."""
    small = cv2.resize(portrait(9).image, (108, 144), interpolation=cv2.INTER_AREA)
    wide = np.full((720, 960, 3), (120, 150, 130), dtype=np.uint8)
    wide[500:644, 700:808] = small
    mask = np.zeros((720, 960), dtype=bool)
    drawn = portrait(9).masks["person"].astype(np.uint8)
    mask[500:644, 700:808] = cv2.resize(drawn, (108, 144), interpolation=cv2.INTER_NEAREST) > 0
    return wide, mask, TurnedSquare(x=754, y=572, side=190)


def test_a_small_figure_is_looked_at_alone(segmenter: PersonSegmenter) -> None:
    picture, mask, square = small_figure()
    size = (960, 720)
    body = hidden_body(square, size)
    without, found = (segmenter.find(picture, (), bodies, size) for bodies in ((), (body,)))
    assert overlap(found, mask) > overlap(without, mask) + 0.02
    assert overlap(found, mask) > 0.7
    far = np.ones((720, 960), dtype=bool)
    far[572 - 100 : 572 + 100, 754 - 100 : 754 + 100] = False
    np.testing.assert_array_equal(found[far], without[far])


@pytest.mark.parametrize(("side", "is_alone"), [(0.8, True), (0.9, False)])
def test_a_figure_as_large_as_the_picture_is_not(
    segmenter: PersonSegmenter, side: float, is_alone: bool
) -> None:
    square = TurnedSquare(x=192, y=256, side=side * SIZE[1])
    bodies = (hidden_body(square, SIZE),)
    picture = portrait(9).image
    alone, found = (segmenter.find(picture, (), seen, SIZE) for seen in ((), bodies))
    assert (np.abs(found - alone).max() > 0.02) == is_alone


def test_the_mask_of_a_body_counts_half_in_its_region_and_nothing_outside(
    segmenter: PersonSegmenter,
) -> None:
    picture = portrait(9).image
    square = TurnedSquare(x=192, y=384, side=SIZE[1] * 0.9)
    body = replace(body_of(canvas=SIZE), square=square)  # its mask is 1 everywhere
    alone, found = (segmenter.find(picture, (), seen, SIZE) for seen in ((), (body,)))
    np.testing.assert_allclose(found[300:], (alone[300:] + 1) / 2, atol=0.01)
    np.testing.assert_array_equal(found[:140], alone[:140])
    hidden = hidden_body(square, SIZE)
    np.testing.assert_array_equal(segmenter.find(picture, (), (hidden,), SIZE), alone)


@pytest.mark.parametrize("shape", [(1, 1), (1, 900), (900, 1), (3, 20_000)], ids=str)
def test_odd_shapes_are_no_trouble(segmenter: PersonSegmenter, shape: tuple[int, int]) -> None:
    grey = np.full((*shape, 3), 128, dtype=np.uint8)
    canvas = (shape[1], shape[0])
    square = TurnedSquare(x=0, y=0, side=1)
    face = replace(face_at(0, 0), canvas=canvas)
    for faces, bodies in (((), ()), ((face,), ()), ((), (hidden_body(square, canvas),))):
        found = segmenter.find(grey, faces, bodies, (12, 7))
        assert found.shape == (7, 12)
        assert np.isfinite(found).all()


def test_the_mirrored_picture_has_the_mirrored_mask(segmenter: PersonSegmenter) -> None:
    picture = np.ascontiguousarray(portrait(9).image[:, 40:])  # not symmetric
    found = segmenter.find(picture, (), (), SIZE)
    other = segmenter.find(np.ascontiguousarray(picture[:, ::-1]), (), (), SIZE)
    np.testing.assert_allclose(other[:, ::-1], found, atol=0.02)
    assert np.abs(other - found).max() > 0.5
