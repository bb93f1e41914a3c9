"""Tests of who answers a phrase: the segmenter, or the photo reader for people in photographs.

The segmenter is CLIPSeg at tiny size; the photo reader is one whose people are made.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
import torch

from inference.control.photo_pose import largest_person
from inference.control.pose_estimator import PoseEstimator
from inference.errors import WordsNotFound
from inference.mask.browser_view import mask_view
from inference.mask.familiarity import Familiarity
from inference.mask.heatmap import Heatmap
from inference.mask.heatmap_finder import EPSILON, HeatmapFinder
from inference.mask.segmenter import Segmenter
from inference.mask.selection import Selection
from inference.mask.selector import Selector, _largest_blob, _union
from inference.people.part_words import PARTS, probability
from inference.people.parts import Part
from inference.people.photo_reader import People
from inference.picture.photo import Photo, Pixels
from inference.recipe.mask_settings import Phrase
from inference.recipe.recipe import Recipe
from tests.support import tiny_detectors
from tests.support.hub_repositories import save_segmenter
from tests.support.made_people import body_of, face_at

CPU = torch.device("cpu")
COARSE, FINE = (32, 32), (96, 72)  # of the segmenter and of the reader
FACE = (slice(20, 40), slice(10, 30))


def photo(seed: int = 0) -> Photo:
    pixels = np.random.default_rng(seed).integers(0, 256, (120, 90, 3), dtype=np.uint8)
    return Photo.of(pixels)


def people(anybody: bool = True) -> People:
    """A face, hair above it, clothes below; or nobody."""
    parts = np.zeros((len(Part), *FINE), np.float32)
    parts[Part.BACKGROUND] = 1
    if anybody:
        for part, rows in (
            (Part.HAIR, slice(10, 20)),
            (Part.FACE, FACE[0]),
            (Part.CLOTHES, slice(40, 96)),
        ):
            parts[:, rows, FACE[1]] = 0
            parts[part, rows, FACE[1]] = 1
    return People(faces=(), bodies=(body_of(),) if anybody else (), size=(400, 600), parts=parts)


@dataclass(kw_only=True)
class MadeReader:
    """In the place of a `PhotoReader`; counts the photographs that it is given."""

    anybody: bool = True
    words: frozenset[str] = frozenset(PARTS)
    read_ones: list[Pixels] = field(default_factory=list)

    def read(self, pixels: Pixels) -> People:
        self.read_ones.append(pixels)
        return people(self.anybody)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("segmenter")
    save_segmenter(folder)
    return folder


def segmenter_with(folder: Path, limit: float | None) -> Segmenter:
    """The tiny segmenter; with a limit, one that knows only what is as near."""
    segmenter = Segmenter.load(folder, CPU)
    if limit is not None:
        width = 2 * segmenter._model.config.vision_config.hidden_size
        segmenter._familiarity = Familiarity(
            mean=np.zeros(width, np.float32),
            whitening=np.eye(width, dtype=np.float32),
            limit=limit,
        )
    return segmenter


GENERAL, PHOTOGRAPHS, DRAWINGS = None, 0.0, np.inf  # limits: what a picture is taken for


def finder_with(
    folder: Path, limit: float | None, reader: MadeReader | None = None
) -> HeatmapFinder:
    segmenter, made = segmenter_with(folder, limit), reader
    given: Any = {} if made is None else {"reader": lambda _family: made}
    return HeatmapFinder(segmenter=lambda _family: segmenter, **given)


def answer(finder: HeatmapFinder, phrase: str) -> str:
    """Who answers a phrase."""
    shape = finder.heatmaps(photo(), (phrase,), "pack")[0].logits.shape
    return {COARSE: "segmenter", FINE: "reader"}[shape]


# --- who answers --------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [GENERAL, PHOTOGRAPHS, DRAWINGS], ids=str)
def test_without_a_reader_the_segmenter_answers_all(folder: Path, limit: float | None) -> None:
    finder, segmenter = finder_with(folder, limit), segmenter_with(folder, limit)
    words = ("face", "person", "dog")
    expected = segmenter.segment(segmenter.encode_image(photo().pixels), words)
    for one, other in zip(finder.heatmaps(photo(), words, "pack"), expected, strict=True):
        assert one.phrase == other.phrase
        np.testing.assert_allclose(one.logits, other.logits, atol=1e-5)
    assert finder.people(photo(), "pack") is None


@pytest.mark.parametrize(
    ("limit", "phrase", "expected"),
    [
        (PHOTOGRAPHS, "face", "reader"),
        (PHOTOGRAPHS, "the woman", "reader"),
        (PHOTOGRAPHS, "background", "reader"),
        (PHOTOGRAPHS, "sunglasses", "reader"),
        (PHOTOGRAPHS, "dog", "segmenter"),
        (PHOTOGRAPHS, "red hat", "segmenter"),
        (GENERAL, "face", "reader"),
        (GENERAL, "dog", "segmenter"),
        (DRAWINGS, "face", "segmenter"),
        (DRAWINGS, "background", "segmenter"),
        (DRAWINGS, "dog", "segmenter"),
    ],
)
def test_people_in_photographs_are_the_readers_and_all_else_the_segmenters(
    folder: Path, limit: float | None, phrase: str, expected: str
) -> None:
    assert answer(finder_with(folder, limit, MadeReader()), phrase) == expected


@pytest.mark.parametrize(
    ("limit", "phrase", "expected"),
    [
        (PHOTOGRAPHS, "face", "reader"),
        (PHOTOGRAPHS, "person", "reader"),
        (PHOTOGRAPHS, "foreground", "segmenter"),
        (PHOTOGRAPHS, "scenery", "segmenter"),
        (PHOTOGRAPHS, "dog", "segmenter"),
        (GENERAL, "face", "segmenter"),
        (GENERAL, "foreground", "segmenter"),
        (DRAWINGS, "face", "segmenter"),
    ],
)
def test_of_a_photograph_of_nobody_only_a_segmenter_of_drawings_is_not_asked_for_people(
    folder: Path, limit: float | None, phrase: str, expected: str
) -> None:
    reader = MadeReader(anybody=False)
    finder = finder_with(folder, limit, reader)
    assert answer(finder, phrase) == expected
    if expected == "reader":
        assert finder.heatmaps(photo(), (phrase,), "pack")[0].peak < 0.01


def test_a_word_that_the_reader_does_not_answer_is_the_segmenters(folder: Path) -> None:
    finder = finder_with(folder, PHOTOGRAPHS, MadeReader(words=frozenset({"face"})))
    answers = {word: answer(finder, word) for word in ("face", "hair", "person")}
    assert answers == {"face": "reader", "hair": "segmenter", "person": "segmenter"}


def test_the_readers_heatmap_has_the_probability_as_its_score(folder: Path) -> None:
    finder = finder_with(folder, PHOTOGRAPHS, MadeReader())
    heat = finder.heatmaps(photo(), ("face",), "pack")[0]
    assert heat.phrase == "face"
    expected = np.clip(probability(people(), "face"), EPSILON, 1 - EPSILON)
    np.testing.assert_allclose(1 / (1 + np.exp(-heat.logits)), expected, atol=1e-5)


def test_heatmaps_come_in_the_order_of_the_phrases(folder: Path) -> None:
    finder = finder_with(folder, PHOTOGRAPHS, MadeReader())
    for phrases in (("dog", "face", "cat", "hair"), ("hair", "dog"), ()):
        found = finder.heatmaps(photo(), phrases, "pack")
        assert tuple(heat.phrase for heat in found) == phrases


def test_a_photograph_is_read_once_and_a_drawing_never(folder: Path) -> None:
    reader = MadeReader()
    finder = finder_with(folder, PHOTOGRAPHS, reader)
    for words in (("face",), ("hair", "dog"), ("face", "hat")):
        finder.heatmaps(photo(), words, "pack")
    assert len(reader.read_ones) == 1
    finder.heatmaps(photo(1), ("face",), "pack")
    assert len(reader.read_ones) == 2
    never = MadeReader()
    finder_with(folder, DRAWINGS, never).heatmaps(photo(), ("face",), "pack")
    assert not never.read_ones


@pytest.mark.parametrize(
    ("limit", "reader", "expected"),
    [
        (PHOTOGRAPHS, MadeReader(), "photograph"),
        (PHOTOGRAPHS, MadeReader(anybody=False), ""),
        (PHOTOGRAPHS, None, ""),
        (DRAWINGS, MadeReader(), "drawing"),
        (DRAWINGS, None, "drawing"),
        (GENERAL, MadeReader(), "photograph"),
        (GENERAL, MadeReader(anybody=False), ""),
        (GENERAL, None, ""),
    ],
)
def test_the_page_is_told_which_reader_looked(
    folder: Path, limit: float | None, reader: MadeReader | None, expected: str
) -> None:
    selector = Selector(finder=finder_with(folder, limit, reader))
    recipe = Recipe(mask_prompt="face", mask_negative="")
    detection = selector.select(photo(), recipe, "pack", 64).detection
    assert detection.reader == expected
    assert mask_view(detection, recipe)["reader"] == expected


def test_without_words_nobody_looks(folder: Path) -> None:
    reader = MadeReader()
    selector = Selector(finder=finder_with(folder, PHOTOGRAPHS, reader))
    recipe = Recipe(mask_prompt="", mask_negative="")
    assert selector.select(photo(), recipe, "pack", 64).detection.reader == ""
    assert not reader.read_ones


# --- both together ------------------------------------------------------------------------------


def test_the_union_has_the_finest_resolution_and_the_higher_score() -> None:
    coarse = Heatmap(phrase="dog", logits=np.full((4, 3), -1, np.float32))
    coarse.logits[:, 0] = 2
    fine = Heatmap(phrase="hair", logits=np.full((16, 12), -3, np.float32))
    fine.logits[:, 8:] = 4
    heats = {"dog": coarse, "hair": fine}
    for order in (("dog", "hair"), ("hair", "dog")):
        found = _union(heats, tuple(Phrase(text=one, threshold=None) for one in order))
        assert found.shape == (16, 12)
        np.testing.assert_allclose(found[:, :2], 2, atol=1e-6)
        np.testing.assert_allclose(found[:, 6:8], -1, atol=1e-6)
        np.testing.assert_allclose(found[:, 8:], 4, atol=1e-6)


@pytest.mark.parametrize("words", ["hair, dog", "dog, hair", "dog", "hair"])
def test_words_of_both_are_selected_together(folder: Path, words: str) -> None:
    selector = Selector(finder=finder_with(folder, PHOTOGRAPHS, MadeReader()))
    recipe = Recipe(mask_prompt=words, mask_negative="face", mask_threshold=0.9)
    selection = selector.select(photo(), recipe, "pack", 64)
    assert [word.phrase for word in selection.words] == [*words.split(", "), "face"]
    inside = selection.field.distance > 0
    assert inside[16:22, 18:30].all() == ("hair" in words)  # the middle of the hair
    assert not inside[30:45, 18:30].any()


def test_key_points_are_those_of_the_largest_person_in_a_photograph(folder: Path) -> None:
    estimator = PoseEstimator(tiny_detectors.vitpose(), tiny_detectors.vitpose_processor(), CPU)
    read = largest_person(people(), photo().size)
    for limit, reader, is_read in (
        (PHOTOGRAPHS, MadeReader(), True),
        (PHOTOGRAPHS, MadeReader(anybody=False), False),
        (DRAWINGS, MadeReader(), False),
        (GENERAL, MadeReader(), False),
    ):
        selector = Selector(finder=finder_with(folder, limit, reader))
        found = selector.keypoints(photo(), "pack", estimator)
        assert np.array_equal(found, read) == is_read


# --- one person of several ----------------------------------------------------------------------


def two_people(size: tuple[int, int] = FINE) -> People:
    """A small person on the left and a large one on the right, each with hair, face, clothes."""
    parts = np.zeros((len(Part), *size), np.float32)
    parts[Part.BACKGROUND] = 1
    for columns, top in ((slice(8, 24), 40), (slice(40, 64), 10)):
        for part, rows in (
            (Part.HAIR, slice(top, top + 10)),
            (Part.FACE, slice(top + 10, top + 25)),
            (Part.CLOTHES, slice(top + 25, size[0])),
        ):
            parts[:, rows, columns] = 0
            parts[part, rows, columns] = 1
    faces = (face_at(260, 120, 80), face_at(80, 270, 60))
    looked = (360, 480)
    return People(
        faces=tuple(replace(one, canvas=looked) for one in faces),
        bodies=(), size=looked, parts=parts,
    )  # fmt: skip


@dataclass(kw_only=True)
class ReaderOfTwo(MadeReader):
    """In the place of a `PhotoReader`; sees two people."""

    def read(self, pixels: Pixels) -> People:
        self.read_ones.append(pixels)
        return two_people()


LEFT, RIGHT = slice(0, 32), slice(32, 72)


@pytest.mark.parametrize(
    ("phrase", "word", "columns"),
    [
        ("person 1", "person", LEFT),
        ("person 2", "person", RIGHT),
        ("left person", "person", LEFT),
        ("the right woman", "person", RIGHT),
        ("largest person", "person", RIGHT),
        ("face 1", "face", LEFT),
        ("largest hair", "hair", RIGHT),
        ("left clothes", "clothes", LEFT),
        ("foreground 2", "foreground", RIGHT),
        ("person 3", "person", slice(0, 0)),
        ("face 0", "face", slice(0, 0)),
    ],
)
def test_a_phrase_for_one_person_is_the_words_heatmap_within_that_person(
    folder: Path, phrase: str, word: str, columns: slice
) -> None:
    finder = finder_with(folder, PHOTOGRAPHS, ReaderOfTwo())
    heat = finder.heatmaps(photo(), (phrase,), "pack")[0]
    assert heat.phrase == phrase
    expected = np.full(FINE, EPSILON, np.float32)
    expected[:, columns] = np.clip(probability(two_people(), word), EPSILON, 1 - EPSILON)[
        :, columns
    ]
    np.testing.assert_allclose(1 / (1 + np.exp(-heat.logits)), expected, atol=1e-5)


@pytest.mark.parametrize("limit", [GENERAL, DRAWINGS], ids=str)
def test_without_a_reader_people_are_told_apart_by_the_segmenters_words(
    folder: Path, limit: float | None
) -> None:
    finder = finder_with(folder, limit)
    person = finder.heatmaps(photo(), ("person",), "pack")[0]
    regions = finder.regions(photo(), "pack")
    assert regions.owner.shape == photo().pixels.shape[:2]
    for k in range(1, len(regions.places) + 1):
        heat = finder.heatmaps(photo(), (f"person {k}",), "pack")[0]
        assert heat.logits.shape == photo().pixels.shape[:2]
        inside = regions.within(k - 1, photo().size)
        assert (heat.logits[~inside] < -9).all()
        assert heat.logits.max() <= person.logits.max() + 1e-5


class MadeHeatmaps(HeatmapFinder):
    """A finder whose heatmaps are boxes: of each word, columns of 32 that are sure to show it."""

    shown: Mapping[str, tuple[slice, ...]] = MappingProxyType({})

    def heatmaps(self, photo: Photo, phrases: Sequence[str], family: str) -> tuple[Heatmap, ...]:
        made = []
        for phrase in phrases:
            logits = np.full(COARSE, -4, np.float32)
            for columns in self.shown.get(phrase, ()):
                logits[8:28, columns] = 4
            made.append(Heatmap(phrase=phrase, logits=logits))
        return tuple(made)


@pytest.mark.parametrize(
    ("shown", "middles"),
    [
        ({"person": (slice(2, 10), slice(20, 30))}, (6, 25)),
        ({"person": (slice(2, 10),), "foreground": (slice(2, 10), slice(20, 30))}, (6,)),
        ({"foreground": (slice(2, 10), slice(20, 30))}, (6, 25)),
        ({}, ()),
    ],
)
def test_where_nobody_is_things_are_counted(
    folder: Path, shown: Mapping[str, tuple[slice, ...]], middles: tuple[float, ...]
) -> None:
    segmenter = segmenter_with(folder, GENERAL)
    finder = MadeHeatmaps(segmenter=lambda _family: segmenter)
    finder.shown = shown
    places = finder.regions(photo(), "sd15").places
    np.testing.assert_allclose([32 * one.x for one in places], middles, atol=0.5)


def test_people_are_divided_once(folder: Path) -> None:
    reader = ReaderOfTwo()
    finder = finder_with(folder, PHOTOGRAPHS, reader)
    first = finder.regions(photo(), "pack")
    finder.heatmaps(photo(), ("person 1", "hair 2", "left face"), "pack")
    assert finder.regions(photo(), "pack") is first
    assert len(reader.read_ones) == 1


def selected(folder: Path, **fields: object) -> tuple[Selection, Recipe]:
    recipe = Recipe.parse({"mask_negative": "", "mask_dilate": 0, **fields})
    selector = Selector(finder=finder_with(folder, PHOTOGRAPHS, ReaderOfTwo()))
    return selector.select(photo(), recipe, "pack", 64), recipe


def test_one_person_is_kept_and_the_other_repainted(folder: Path) -> None:
    for words, negative in (("person 2", ""), ("person", "person 1"), ("right man", "left hat")):
        selection, _ = selected(folder, mask_prompt=words, mask_negative=negative)
        inside = selection.field.distance > 0
        assert inside[60:110, 55:75].all(), words
        assert not inside[:, :35].any(), words


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("person 3", "Only 2 people found: try other words, or lower the threshold."),
        ("person 3, face 9", "Only 2 people found: try other words, or lower the threshold."),
        ("person 0", "Only 2 people found: "),
        ("hat 1", r"No hat 1 found \(0.00\): "),
    ],
)
def test_a_number_beyond_the_people_says_how_many_there_are(
    folder: Path, words: str, sentence: str
) -> None:
    selection, recipe = selected(folder, mask_prompt=words)
    with pytest.raises(WordsNotFound, match=f"^{sentence}"):
        selection.check(recipe)


def test_where_nobody_is_it_says_so(folder: Path) -> None:
    finder = finder_with(folder, PHOTOGRAPHS, MadeReader(anybody=False))
    recipe = Recipe(mask_prompt="person 1", mask_negative="", mask_threshold=0.95)
    selection = Selector(finder=finder).select(photo(), recipe, "pack", 64)
    with pytest.raises(WordsNotFound, match=r"^(Nobody|Only \d people|No person 1) found"):
        selection.check(recipe)


@pytest.mark.parametrize(
    ("words", "noun", "person", "absence"),
    [
        ("person", "person", None, "no person found (1.00)"),
        ("the man", "the man", None, "no the man found (1.00)"),
        ("face 1", "face", 1, "no face 1 found (1.00)"),
        ("right hair", "hair", 2, "no right hair found (1.00)"),
        ("person 3", "person", None, "only 2 people found"),
        ("background", "", None, "no background found (1.00)"),
    ],
)
def test_the_page_is_told_whose_a_word_is(
    folder: Path, words: str, noun: str, person: int | None, absence: str
) -> None:
    selection, recipe = selected(folder, mask_prompt=words)
    view = mask_view(selection.detection, recipe)
    word = view["words"][0]
    assert (word["noun"], word["person"], word["absence"]) == (noun, person, absence)
    if words != "background":
        places = np.array(view["people"]) * (72, 96)
        np.testing.assert_allclose(places, [(16, 40), (52, 10)], atol=0.6)
    else:
        assert view["people"] == []


@pytest.mark.parametrize("shape", ["1:1", "9:16"])
def test_places_are_those_on_the_canvas(folder: Path, shape: str) -> None:
    selection, recipe = selected(folder, mask_prompt="person 2", ar=shape)
    left, right = mask_view(selection.detection, recipe)["people"]
    box = selection.canvas.box
    assert (box.left if shape == "9:16" else box.top) > 0
    assert right[0] == pytest.approx((52 / 72 * 90 - box.left) / box.size[0], abs=0.01)
    assert left[1] == pytest.approx((40 / 96 * 120 - box.top) / box.size[1], abs=0.01)


@pytest.mark.parametrize(
    ("words", "negative", "nose"),
    [
        ("person", "", 260),
        ("person 1", "", 80),
        ("right face", "", 260),
        ("person 1, person 2", "", 260),
        ("person", "person 2", 80),
        ("person", "largest person", 80),
        ("person", "clothes 2", 260),
        ("person 1", "person 1", 260),
        ("person 5", "", 260),
    ],
)
def test_key_points_are_those_of_the_person_that_is_named(
    folder: Path, words: str, negative: str, nose: int
) -> None:
    estimator = PoseEstimator(tiny_detectors.vitpose(), tiny_detectors.vitpose_processor(), CPU)
    selector = Selector(finder=finder_with(folder, PHOTOGRAPHS, ReaderOfTwo()))
    recipe = Recipe(mask_prompt=words, mask_negative=negative)
    points = selector.keypoints(photo(), "pack", estimator, recipe)
    assert points[0, 0] == pytest.approx(nose / 360 * 90, abs=0.5)


def test_an_estimator_looks_at_the_person_that_is_named(folder: Path) -> None:
    estimator = PoseEstimator(tiny_detectors.vitpose(), tiny_detectors.vitpose_processor(), CPU)
    selector = Selector(finder=finder_with(folder, GENERAL, ReaderOfTwo()))
    found = [
        selector.keypoints(photo(), "sd15", estimator, Recipe(mask_prompt=f"person {k}"))
        for k in (1, 2)
    ]
    heats = selector.finder.heatmaps(photo(), ("person 1", "person 2"), "sd15")
    for points, heat in zip(found, heats, strict=True):
        box = _largest_blob(heat.logits, photo())
        np.testing.assert_array_equal(points, estimator.find(photo().pixels, box))
    assert not np.array_equal(*found)


# --- the first look of another process ------------------------------------------------------------


@pytest.mark.parametrize("limit", [None, 0.0, 1e9], ids=["general", "photograph", "drawing"])
def test_what_another_finder_saw_needs_no_model_here(folder: Path, limit: float | None) -> None:
    def nobody(_: str) -> Any:
        raise AssertionError("a model is asked")

    words = ("hair", "a red hat", "person 1")
    one = HeatmapFinder(
        segmenter=lambda _: segmenter_with(folder, limit), reader=lambda _: MadeReader()
    )
    expected = one.heatmaps(photo(), words, "any")
    look = pickle.loads(pickle.dumps(one.first_look(photo(), words, "any")))
    other = HeatmapFinder(segmenter=nobody, reader=nobody)
    other.take(look)
    assert other.is_photograph(photo(), "any") == one.is_photograph(photo(), "any")
    assert (other.people(photo(), "any") is None) == (limit == 1e9)
    for found, wanted in zip(other.heatmaps(photo(), words, "any"), expected, strict=True):
        assert found.phrase == wanted.phrase
        assert np.array_equal(found.logits, wanted.logits)
    with pytest.raises(AssertionError, match="a model is asked"):
        other.heatmaps(photo(1), words, "any")


def test_several_photos_are_looked_at_as_each_alone(folder: Path) -> None:
    segmenter = segmenter_with(folder, None)
    pictures = [photo(seed).pixels for seed in range(4)]
    for seen, picture in zip(segmenter.encode_images(pictures), pictures, strict=True):
        alone = segmenter.encode_image(picture)
        assert seen.grain == alone.grain
        for one, other in zip(seen.layers, alone.layers, strict=True):
            torch.testing.assert_close(one, other, atol=1e-5, rtol=0)
    calls: list[int] = []
    finder = HeatmapFinder(segmenter=lambda _: segmenter)
    finder.look_ahead([photo(seed) for seed in (0, 1, 1)], "any")
    encode = segmenter.encode_images
    segmenter.encode_images = lambda given: calls.append(len(given)) or encode(given)  # type: ignore[method-assign]
    finder.heatmaps(photo(0), ("hair",), "any")
    assert calls == []
    finder.heatmaps(photo(2), ("hair",), "any")
    assert calls == [1]
