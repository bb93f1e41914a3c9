"""Tests of the selector, from words and a photo to a selection, with a tiny segmenter."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from transformers import CLIPSegForImageSegmentation

from inference.control.pose_estimator import PoseEstimator
from inference.errors import EmptyMask, InvalidPhoto, WordsNotFound
from inference.mask.guided_upsampling import GuidedFilter
from inference.mask.heatmap import (
    Heatmap,
    Scores,
    at_least,
    binarize,
    centre,
    combine,
    logit,
    to_scores,
)
from inference.mask.heatmap_finder import HeatmapFinder
from inference.mask.segmenter import Segmenter
from inference.mask.selection import DRAWING, PHOTOGRAPH, Selection
from inference.mask.selector import GRID, Selector, _largest_blob
from inference.matting.matte import Matte
from inference.picture.geometry import Box, Size, View, crop_to_aspect
from inference.picture.photo import Photo, Pixels
from inference.picture.resampling import resample
from inference.recipe.recipe import Recipe
from inference.runtime.cache import Cache
from tests.support import tiny_detectors

CPU = torch.device("cpu")
NATIVE = 128


def picture(seed: int = 0, size: Size = (90, 70)) -> Pixels:
    noise = np.random.default_rng(seed).integers(0, 128, (size[1], size[0], 3))
    return (noise + np.linspace(0, 127, size[0])[None, :, None]).astype(np.uint8)


class Bench:
    """A selector with a tiny model, whose runs are counted."""

    def __init__(self, folder: Path) -> None:
        model = tiny_detectors.clipseg(spread=0.5)
        self.looks = self._counter(model.clip.vision_model.embeddings)
        self.finds = self._counter(model.decoder)
        self.model: CLIPSegForImageSegmentation = model
        self.segmenter = Segmenter(model, tiny_detectors.clipseg_processor(folder), CPU)
        self.asked: list[str] = []
        self.selector = Selector(finder=HeatmapFinder(segmenter=self._get))

    def _get(self, family: str) -> Segmenter:
        self.asked.append(family)
        return self.segmenter

    @staticmethod
    def _counter(module: nn.Module) -> list[int]:
        calls: list[int] = []

        def count(_module: object, _inputs: object, _output: object) -> None:
            calls.append(threading.get_ident())

        module.register_forward_hook(count)
        return calls

    @property
    def counts(self) -> tuple[int, int]:
        """(passes of the vision tower, passes of the decoder)."""
        return len(self.looks), len(self.finds)

    def select(self, photo: Photo | None = None, **fields: object) -> Selection:
        fields = {"mask_prompt": "face", "mask_negative": ""} | fields
        return self.selector.select(
            photo or Photo.of(picture()), Recipe.parse(fields), "pack", NATIVE
        )


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def recipe(**fields: object) -> Recipe:
    return Recipe.parse({"mask_prompt": "face", "mask_negative": "", **fields})


# --- looking things up once ---------------------------------------------------------------------


def test_a_photo_is_looked_at_once_and_each_phrase_is_found_once(bench: Bench) -> None:
    photo = Photo.of(picture())
    bench.select(photo)
    assert bench.counts == (1, 1)
    bench.select(photo, mask_prompt="face, hair")
    assert bench.counts == (1, 2)
    bench.select(photo, mask_prompt="hair, face", mask_negative="face")
    assert bench.counts == (1, 2)
    bench.select(photo, mask_prompt="hat", mask_negative="shoes clothes")
    assert bench.counts == (1, 3)


@pytest.mark.parametrize(
    "fields",
    [
        {"mask_dilate": "12px"},
        {"mask_feather": 9},
        {"mask_invert": False},
        {"prompt": "a fox", "seed": 4, "steps": 9},
        {"mask_prompt": " FACE ,face"},
    ],
    ids=repr,
)
def test_what_does_not_move_the_edge_costs_nothing(bench: Bench, fields: dict[str, object]) -> None:
    photo = Photo.of(picture())
    first = bench.select(photo)
    assert bench.select(photo, **fields) is first


@pytest.mark.parametrize(
    "fields", [{"mask_threshold": 0.6}, {"ar": "1:1"}, {"w": 64, "h": 96}], ids=repr
)
def test_another_threshold_or_shape_makes_a_new_field_without_the_model(
    bench: Bench, fields: dict[str, object]
) -> None:
    photo = Photo.of(picture())
    first = bench.select(photo)
    assert bench.select(photo, **fields) is not first
    assert bench.counts == (1, 1)


def test_another_photo_is_looked_at_anew_and_an_equal_one_is_not(bench: Bench) -> None:
    first = bench.select(Photo.of(picture(0)))
    other = bench.select(Photo.of(picture(1)))
    assert bench.counts == (2, 2)
    assert first.words != other.words
    assert bench.select(Photo.of(picture(0))) is first
    assert bench.counts == (2, 2)


def test_another_family_of_models_looks_anew(bench: Bench) -> None:
    photo = Photo.of(picture())
    bench.selector.select(photo, recipe(), "pack", NATIVE)
    bench.selector.select(photo, recipe(), "sd15", NATIVE)
    assert list(dict.fromkeys(bench.asked)) == ["pack", "sd15"]
    assert bench.counts == (2, 2)


def test_the_segmenter_is_not_asked_for_before_it_is_needed(bench: Bench) -> None:
    assert bench.asked == []
    bench.select(mask_prompt="", mask_negative="")
    assert bench.asked == []


def test_words_that_push_others_out_of_a_full_cache_are_no_trouble(bench: Bench) -> None:
    photo = Photo.of(picture())
    selector = Selector(
        finder=HeatmapFinder(segmenter=lambda _family: bench.segmenter, _heat=Cache(2))
    )
    selector.finder.heatmaps(photo, ("old", "b"), "pack")
    for words in (("new", "old"), ("c", "d", "e", "old"), ("old", "e", "d")):
        found = selector.finder.heatmaps(photo, words, "pack")
        assert [heat.phrase for heat in found] == list(words)
        alone = bench.segmenter.segment(bench.segmenter.encode_image(photo.pixels), words)
        for heat, expected in zip(found, alone, strict=True):
            np.testing.assert_allclose(heat.logits, expected.logits, atol=1e-5)


def test_many_threads_with_one_photo_look_at_it_once(bench: Bench) -> None:
    photo = Photo.of(picture())
    start = threading.Barrier(8)
    selections: list[Selection] = []

    def work() -> None:
        start.wait(5)
        selections.append(bench.select(photo, mask_prompt="face, hair", mask_negative="hat"))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(selections) == 8
    assert bench.counts == (1, 1)
    for selection in selections:
        assert selection.words == selections[0].words
        np.testing.assert_array_equal(selection.field.distance, selections[0].field.distance)


# --- what is selected ---------------------------------------------------------------------------


def test_the_selection_is_where_the_words_are_and_the_negative_ones_are_not(bench: Bench) -> None:
    photo = Photo.of(np.full((64, 64, 3), 90, dtype=np.uint8))
    words = {"mask_prompt": "face, hair", "mask_negative": "hat:0.7"}
    selection = bench.select(photo, **words)
    detection = selection.detection

    def sharp(*phrases: str) -> Scores:
        heats = bench.selector.finder.heatmaps(photo, phrases, "pack")
        union = np.max([heat.logits for heat in heats], axis=0)
        return to_scores(
            GuidedFilter.of(detection.preview).sharpen(resample(union, detection.view))
        )

    wanted = combine([sharp("face", "hair")], [binarize(sharp("hat"), 0.7)])
    np.testing.assert_array_equal(detection.scores, wanted)
    inside = selection.field.distance > 0
    assert 0 < inside.sum() < inside.size
    repainted = selection.preview_alpha(recipe(mask_dilate=0, mask_feather=0, mask_invert=False))
    np.testing.assert_array_equal(repainted == 1, inside)
    kept = selection.preview_alpha(recipe(mask_dilate=0, mask_feather=0, mask_invert=True))
    np.testing.assert_array_equal(kept == 0, inside)


def test_a_threshold_of_its_own_makes_a_word_deaf_to_the_slider(bench: Bench) -> None:
    photo = Photo.of(picture())
    fields = [
        bench.select(photo, mask_prompt="face:0.6", mask_threshold=threshold).field.distance
        for threshold in (0.1, 0.5, 0.9)
    ]
    np.testing.assert_array_equal(fields[0], fields[1])
    np.testing.assert_array_equal(fields[0], fields[2])
    alone = bench.select(photo, mask_threshold=0.6)
    np.testing.assert_array_equal(fields[0], alone.field.distance)
    assert bench.counts == (1, 1)


def test_a_stroke_is_found_by_hand_and_stays_where_the_words_go(bench: Bench) -> None:
    photo = Photo.of(picture(size=(200, 100)))
    for words in ("face", "hair", "face, hat"):
        selection = bench.select(
            photo, mask_prompt=words, mask_strokes="+1000:2500,5000; -1000:7500,5000"
        )
        distance = selection.field.distance
        assert distance[50, 50] >= 7
        assert distance[50, 150] <= -7


def test_only_the_strokes_that_are_drawn_make_a_new_field(bench: Bench) -> None:
    photo = Photo.of(picture())
    first = bench.select(photo, mask_strokes="+100:0,0")
    assert bench.select(photo, mask_strokes=" +100:0,0;") is first
    other = bench.select(photo, mask_strokes="+100:0,1")
    assert other is not first
    assert other.detection is first.detection


def test_a_mask_image_is_a_starting_point_as_words_are(bench: Bench) -> None:
    photo = Photo.of(picture(size=(120, 80)))
    half = np.zeros((160, 240, 3), dtype=np.uint8)
    half[:, 120:] = 255
    mask = Photo.of(half)

    def select(**fields: object) -> Selection:
        chosen = Recipe.parse({"mask_prompt": "", "mask_negative": "", **fields})
        return bench.selector.select(photo, chosen, "pack", NATIVE, mask)

    drawn = select()
    expected = np.zeros((80, 120), dtype=bool)
    expected[:, 60:] = True
    np.testing.assert_array_equal(drawn.field.distance > 0, expected)
    drawn.check(recipe(mask_prompt=""))
    assert bench.asked == []
    with_words = select(mask_prompt="face")
    face = bench.select(photo).detection.scores
    np.testing.assert_array_equal(
        with_words.detection.scores, np.maximum(face, drawn.detection.scores)
    )
    brushed = select(mask_strokes="-2000:7500,5000")
    assert brushed.field.distance[40, 90] < 0


@pytest.mark.parametrize("size", [(120, 120), (80, 120), (126, 80)])
def test_a_mask_image_of_another_shape_is_refused(bench: Bench, size: Size) -> None:
    mask = Photo.of(np.zeros((size[1], size[0], 3), dtype=np.uint8))
    with pytest.raises(InvalidPhoto, match=r"give a mask of the photo's shape\.$"):
        bench.selector.select(Photo.of(picture(size=(120, 80))), recipe(), "pack", NATIVE, mask)


@pytest.mark.parametrize(
    ("strokes", "invert", "words"),
    [
        ("", False, ""),
        (
            "-5000:2500,2500 7500,7500 7500,2500 2500,7500; +400:5000,5000",
            False,
            "Only 0.5% would be repainted",
        ),
        (
            "+5000:2500,2500 7500,7500 7500,2500 2500,7500; -400:5000,5000",
            False,
            "Only 0.5% would be kept",
        ),
        (
            "-5000:2500,2500 7500,7500 7500,2500 2500,7500; +400:5000,5000",
            True,
            "Only 0.5% would be kept",
        ),
    ],
)
def test_an_unusually_small_or_large_mask_is_warned_of(
    bench: Bench, strokes: str, invert: bool, words: str
) -> None:
    photo = Photo.of(picture(size=(120, 120)))
    fields = {"mask_strokes": strokes, "mask_dilate": 0, "mask_invert": invert}
    warning = bench.select(photo, **fields).warning(recipe(**fields))
    assert warning.startswith(words)
    assert bool(warning) is bool(words)


def test_each_word_has_its_plain_score(bench: Bench) -> None:
    photo = Photo.of(picture())
    selection = bench.select(
        photo, mask_prompt="face, hair", mask_negative="hat", mask_threshold=0.7
    )
    assert [(word.phrase, word.negative) for word in selection.words] == [
        ("face", False),
        ("hair", False),
        ("hat", True),
    ]
    seen = bench.segmenter.encode_image(photo.pixels)
    for word in selection.words:
        peak = bench.segmenter.segment(seen, [word.phrase])[0].peak
        assert word.score == pytest.approx(peak, abs=1e-6)
        assert word.found is (word.score >= 0.7)
        heat = next(one.heat for one in selection.detection.words if one.phrase == word.phrase)
        assert word.share == pytest.approx(at_least(heat, 0.7).mean())


@pytest.mark.parametrize(
    ("fields", "size"),
    [
        ({}, (300, 200)),
        ({"ar": "1:1"}, (200, 200)),
        ({"ar": "9:16"}, (112, 200)),
        ({"w": 128, "h": 96}, (128, 96)),
        ({"w": 1024, "h": 1024}, (1024, 1024)),
    ],
    ids=repr,
)
def test_the_canvas_is_what_the_recipe_asks_for(
    bench: Bench, fields: dict[str, object], size: Size
) -> None:
    photo = Photo.of(picture(size=(300, 200)))
    selection = bench.select(photo, **fields)
    width, height = size
    box = selection.canvas.box
    assert selection.canvas.size == size
    assert selection.picture().shape == (height, width, 3)
    assert selection.alpha(recipe(**fields)).shape == (height, width)
    preview = selection.detection.preview
    assert max(preview.shape) == min(GRID, max(size))
    assert preview.shape[:2] == selection.preview_alpha(recipe(**fields)).shape
    if "w" not in fields:
        np.testing.assert_array_equal(selection.picture(), photo.pixels[box.slices])


def test_heatmaps_of_two_sizes_are_combined(bench: Bench) -> None:
    finder = bench.selector.finder

    class TwoReaders(HeatmapFinder):
        def heatmaps(
            self, photo: Photo, phrases: Sequence[str], family: str
        ) -> tuple[Heatmap, ...]:
            face, *others = finder.heatmaps(photo, phrases, family)
            fine = np.kron(face.logits, np.ones((2, 2), np.float32))
            return Heatmap(phrase=face.phrase, logits=fine), *others

    fields = {"mask_prompt": "face", "mask_negative": "hair"}
    selector = Selector(finder=TwoReaders(segmenter=bench._get))
    found = selector.select(Photo.of(picture()), Recipe.parse(fields), "pack", NATIVE)
    apart = found.detection.scores.astype(int) - bench.select(**fields).detection.scores
    assert np.abs(apart).mean() < 12


def test_a_crop_is_centred_on_what_was_found(bench: Bench) -> None:
    photo = Photo.of(picture(size=(300, 200)))
    face = bench.selector.finder.heatmaps(photo, ("face",), "pack")[0]
    focus = centre(to_scores(face.logits))
    assert bench.select(photo, ar="1:1").canvas.box == crop_to_aspect((300, 200), 1.0, focus)


def test_the_mask_of_a_part_is_the_part_of_the_mask(bench: Bench) -> None:
    selection = bench.select(Photo.of(picture(size=(300, 200))))
    chosen = recipe(mask_feather=8)
    box = Box(left=40, top=30, right=200, bottom=190)
    view = View(whole=(300, 200), box=box, size=box.size)
    np.testing.assert_allclose(
        selection.alpha(chosen, view), selection.alpha(chosen)[box.slices], atol=1e-4
    )


# --- edges --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("edges", "reader", "matted"),
    [
        (None, PHOTOGRAPH, True),
        (None, DRAWING, False),
        (None, "", False),
        ("matte", DRAWING, True),
        ("soft", PHOTOGRAPH, False),
    ],
)
def test_where_nothing_is_said_people_in_photographs_are_matted(
    bench: Bench, edges: str | None, reader: str, matted: bool
) -> None:
    selection = bench.select()
    seen = replace(selection, detection=replace(selection.detection, reader=reader))
    assert seen.is_matted(recipe(mask_edges=edges)) == matted


def test_a_matte_is_solved_once_for_each_edge(bench: Bench, monkeypatch: Any) -> None:
    solved: list[object] = []
    solve = Matte.solve

    def counted(*given: Any) -> Matte:
        solved.append(given)
        return solve(*given)

    monkeypatch.setattr(Matte, "solve", counted)
    selection = bench.select()
    for fields, count in (
        ({}, 1),
        ({"mask_feather": 20}, 1),
        ({"prompt": "a beach", "seed": 3}, 1),
        ({"mask_dilate": 3}, 2),
        ({"mask_matte_width": 10}, 3),
        ({"mask_invert": False}, 4),
    ):
        selection.alpha(recipe(mask_edges="matte", **fields))
        assert len(solved) == count, fields


def test_a_second_picture_with_the_same_matte_costs_nothing(bench: Bench) -> None:
    view = View(whole=(90, 70), box=Box.whole((90, 70)), size=(90, 70))
    matted = recipe(mask_edges="matte")
    first = bench.select().cutout(matted, view)
    assert bench.select().cutout(matted, view) is first


def test_a_soft_edge_shows_the_uploads_colours(bench: Bench) -> None:
    view = View(whole=(90, 70), box=Box.whole((90, 70)), size=(90, 70))
    cutout = bench.select().cutout(recipe(mask_edges="soft"), view)
    np.testing.assert_array_equal(cutout.colours, picture())


# --- what is refused ----------------------------------------------------------------------------


def test_words_that_are_not_in_the_picture_are_named_with_their_scores(bench: Bench) -> None:
    chosen = {"mask_prompt": "face, hair", "mask_negative": "hat", "mask_threshold": 0.95}
    selection = bench.select(**chosen)
    scores = {word.phrase: word.score for word in selection.words}
    with pytest.raises(WordsNotFound) as caught:
        selection.check(recipe(**chosen))
    assert str(caught.value) == (
        f"No face found ({scores['face']:.2f}), no hair found ({scores['hair']:.2f}): "
        "try other words, or lower the threshold."
    )
    assert caught.value.scores == {key: scores[key] for key in ("face", "hair")}


def test_one_word_that_is_found_is_enough(bench: Bench) -> None:
    photo = Photo.of(picture(size=(64, 64)))
    probe = bench.select(photo, mask_prompt="face, hair")
    low, high = sorted(word.score for word in probe.words)
    threshold = round((low + high) / 2, 4)
    assert low < threshold < high
    chosen = {"mask_prompt": "face, hair", "mask_threshold": threshold, "mask_dilate": 0}
    selection = bench.select(photo, **chosen)
    assert sorted(word.found for word in selection.words) == [False, True]
    selection.check(recipe(**chosen))


@pytest.mark.parametrize("words", ["", " , ", "|"])
def test_a_recipe_without_words_is_refused(bench: Bench, words: str) -> None:
    selection = bench.select(mask_prompt=words, mask_negative="hat")
    with pytest.raises(WordsNotFound, match=r"^No words given: try other words") as caught:
        selection.check(recipe(mask_prompt=words))
    assert caught.value.scores == {}


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"mask_invert": False, "mask_dilate": -256}, "nothing would be repainted"),
        ({"mask_invert": True, "mask_dilate": -256}, "nothing would be repainted"),
        ({"mask_invert": False, "mask_dilate": 256}, "nothing would be kept"),
        ({"mask_invert": True, "mask_dilate": 256}, "nothing would be kept"),
        ({"mask_negative": "face"}, "Nothing is left of what was found"),
        ({"mask_negative": "face", "mask_invert": False}, "Nothing is left of what was found"),
    ],
    ids=repr,
)
def test_a_mask_of_nothing_or_all_is_refused(
    bench: Bench, fields: dict[str, object], words: str
) -> None:
    chosen = {"mask_feather": 3} | fields
    selection = bench.select(**chosen)
    with pytest.raises(EmptyMask, match=words) as caught:
        selection.check(recipe(**chosen))
    assert not isinstance(caught.value, WordsNotFound)
    assert str(caught.value).endswith(".")


@pytest.mark.parametrize("invert", [False, True])
def test_a_mask_of_a_part_is_accepted(bench: Bench, invert: bool) -> None:
    chosen = {"mask_invert": invert, "mask_dilate": 0}
    bench.select(**chosen).check(recipe(**chosen))


# --- where the person is ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cells", "size", "expected"),
    [
        ([(2, 3, 6, 8)], (100, 80), (20, 24, 60, 64)),
        ([(0, 0, 1, 1), (4, 4, 9, 10)], (100, 80), (40, 32, 90, 80)),
        ([(0, 0, 10, 10)], (100, 80), (0, 0, 100, 80)),
        ([], (100, 80), (0, 0, 100, 80)),
        ([(3, 3, 4, 4)], (16, 16), (4, 4, 7, 7)),
        ([(3, 3, 4, 4)], (5, 4), (1, 1, 2, 2)),
    ],
)
def test_the_person_is_the_largest_connected_part(
    cells: list[tuple[int, int, int, int]], size: Size, expected: tuple[int, int, int, int]
) -> None:
    logits = np.full((10, 10), logit(0.4), dtype=np.float32)
    for left, top, right, bottom in cells:
        logits[top:bottom, left:right] = logit(0.6)
    box = _largest_blob(logits, Photo.of(np.zeros((size[1], size[0], 3), dtype=np.uint8)))
    assert (box.left, box.top, box.right, box.bottom) == expected


def test_key_points_are_looked_for_once_per_photo_where_the_person_is(bench: Bench) -> None:
    model = tiny_detectors.vitpose()
    calls = Bench._counter(model.head)
    estimator = PoseEstimator(model, tiny_detectors.vitpose_processor(), CPU)
    bench.model.decoder.transposed_convolution.bias.data.fill_(-1.0)
    photo = Photo.of(picture())
    points = bench.selector.keypoints(photo, "pack", estimator)
    assert bench.selector.keypoints(photo, "pack", estimator) is points
    assert len(calls) == 1
    person = bench.selector.finder.heatmaps(photo, ("person",), "pack")[0]
    box = _largest_blob(person.logits, photo)
    assert box != Box.whole(photo.size)
    np.testing.assert_array_equal(points, estimator.find(photo.pixels, box))
    bench.selector.keypoints(Photo.of(picture(1)), "pack", estimator)
    assert len(calls) == 3
