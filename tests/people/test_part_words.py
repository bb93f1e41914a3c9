"""Tests of words for people and their parts, on people made without any model."""

from __future__ import annotations

import numpy as np
import pytest

from inference.people.part_words import (
    FAINT,
    PARTS,
    Which,
    means_people,
    one_person,
    probability,
    word_of,
)
from inference.people.parts import Part
from inference.people.photo_reader import People

SIDE = 100
HEAD, BODY = (slice(10, 40), slice(40, 60)), (slice(40, 100), slice(20, 80))


def people(*places: tuple[Part, tuple[slice, slice]], sure: float = 1.0) -> People:
    """People whose parts are rectangles, each `sure`; the ground is everywhere else."""
    parts = np.zeros((len(Part), SIDE, SIDE), np.float32)
    parts[Part.BACKGROUND] = 1
    for part, place in places:
        parts[(slice(None), *place)] = 0
        parts[(Part.BACKGROUND, *place)] = 1 - sure
        parts[(part, *place)] = sure
    return People(faces=(), bodies=(), size=(SIDE, SIDE), parts=parts)


def at(rows: slice, columns: slice) -> tuple[slice, slice]:
    return rows, columns


@pytest.mark.parametrize(
    ("phrase", "word"),
    [
        *((word, word) for word in PARTS),
        ("HAIR", "hair"),
        ("the hair", "hair"),
        ("a hat", "hat"),
        ("An outfit", "clothes"),
        ("  the   face ", "face"),
        ("woman", "person"),
        ("a man", "person"),
        ("people", "person"),
        ("subject", "foreground"),
        ("backdrop", "background"),
        ("clothing", "clothes"),
        ("cap", "hat"),
        ("sunglasses", "glasses"),
        ("hairstyle", "hair"),
        ("", None),
        ("the", None),
        ("dog", None),
        ("red hat", None),
        ("hair and face", None),
        ("face the", None),
        ("hats", None),
    ],
)
def test_a_phrase_means_a_word_or_none(phrase: str, word: str | None) -> None:
    assert word_of(phrase) == word


@pytest.mark.parametrize(
    ("phrase", "noun", "which"),
    [
        ("person 2", "person", 2),
        ("PERSON  02", "person", 2),
        ("the woman 1", "woman", 1),
        ("foreground 3", "foreground", 3),
        ("sunglasses 12", "sunglasses", 12),
        ("person 0", "person", 0),
        ("left person", "person", "left"),
        ("the right  Man", "man", "right"),
        ("largest face", "face", "largest"),
        ("left hat", "hat", "left"),
    ],
)
def test_a_phrase_means_one_person_or_a_part_of_one(phrase: str, noun: str, which: Which) -> None:
    found = one_person(phrase)
    assert found is not None
    assert (found.noun, found.which) == (noun, which)
    assert means_people(noun)


@pytest.mark.parametrize(
    "phrase",
    ["person", "left", "2", "person two", "person 100", "person 1.5", "person -1", "person2",
     "person ²", "dog 2", "left dog", "left background", "background 2", "smallest person",
     "left person 2", "left hand", "red hat 2", ""],
)  # fmt: skip
def test_other_phrases_mean_all_people_or_none(phrase: str) -> None:
    assert one_person(phrase) is None


@pytest.mark.parametrize(
    ("word", "parts"),
    [
        ("person", set(Part) - {Part.BACKGROUND}),
        ("foreground", set(Part) - {Part.BACKGROUND}),
        ("background", {Part.BACKGROUND}),
        ("head", {Part.FACE, Part.EAR, Part.HAIR, Part.HAT, Part.GLASSES}),
        ("face", {Part.FACE, Part.EAR, Part.GLASSES}),
        ("hair", {Part.HAIR}),
        ("skin", {Part.FACE, Part.EAR, Part.SKIN}),
        ("clothes", {Part.CLOTHES}),
        ("hat", {Part.HAT}),
        ("glasses", {Part.GLASSES}),
    ],
)
def test_a_word_covers_its_parts(word: str, parts: set[Part]) -> None:
    for part in Part:
        found = probability(people((part, HEAD)), word)
        assert found.shape == (SIDE, SIDE)
        assert found.dtype == np.float32
        assert found[25, 50] == pytest.approx(float(part in parts)), part


def test_where_two_parts_are_unsure_their_union_is_sure() -> None:
    some = people((Part.FACE, HEAD))
    some.parts[Part.FACE, 20:30, 45:55] = 0.45
    some.parts[Part.EAR, 20:30, 45:55] = 0.45
    some.parts[Part.HAIR, 20:30, 45:55] = 0.1
    found = probability(some, "face")
    np.testing.assert_allclose(found[20:30, 45:55], 0.9, atol=1e-6)
    np.testing.assert_allclose(probability(some, "head")[HEAD], 1, atol=1e-6)


# The head has 600 pixels, so that a part of less than 12 is a mistake.
@pytest.mark.parametrize(("pixels", "kept"), [(4, False), (11, False), (12, True), (30, True)])
def test_specks_are_cut(pixels: int, kept: bool) -> None:
    speck = at(slice(5, 6), slice(10, 10 + pixels))
    found = probability(people((Part.FACE, HEAD), (Part.HAT, speck)), "hat")
    assert found[speck] == pytest.approx(1.0 if kept else FAINT)


# Without a head, a part of less than 1 in 2000 of the picture is one.
@pytest.mark.parametrize(("pixels", "kept"), [(4, False), (5, True)])
def test_specks_are_cut_without_a_head_too(pixels: int, kept: bool) -> None:
    speck = at(slice(5, 6), slice(10, 10 + pixels))
    found = probability(people((Part.CLOTHES, speck)), "clothes")
    assert found[speck] == pytest.approx(1.0 if kept else FAINT)


def test_what_is_faint_everywhere_is_no_part() -> None:
    found = probability(people((Part.FACE, HEAD), (Part.HAT, BODY), sure=0.19), "hat")
    assert found.max() == pytest.approx(FAINT)


def test_the_background_is_as_it_was_read() -> None:
    hole = at(slice(70, 71), slice(50, 53))
    some = people((Part.FACE, HEAD), (Part.CLOTHES, BODY), (Part.BACKGROUND, hole))
    found = probability(some, "background")
    np.testing.assert_array_equal(found, some.parts[Part.BACKGROUND])
    assert (found[hole] == 1).all()


@pytest.mark.parametrize("word", [word for word in PARTS if word != "background"])
def test_nobody_is_found_where_nobody_is(word: str) -> None:
    nobody = people()
    assert not nobody.anybody
    assert not probability(nobody, word).any()
    assert (probability(nobody, "background") == 1).all()


@pytest.mark.parametrize(("pixels", "anybody"), [(0, False), (19, False), (20, True)])
def test_a_person_large_enough_to_be_meant_is_somebody(pixels: int, anybody: bool) -> None:
    place = at(slice(0, 1), slice(0, pixels))
    assert people((Part.CLOTHES, place)).anybody == anybody
