"""Tests of drawn pairs and of measuring which of two people is found, with the embedded pack."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from inference import Studio
from tools.evaluation.bench import Bench
from tools.measure_persons import HEIGHT, SIZE, WORDS, Answers, Two, drawn, measure, photographed
from tools.portraits.draw import draw
from tools.portraits.figure import WORDS as DRAWN_WORDS
from tools.portraits.pairs import draw_pair
from tools.portraits.spec import sample_spec, solo


@pytest.mark.parametrize("close", [False, True])
@pytest.mark.parametrize("seed", [2_000_000, 2_000_006])
def test_a_pair_is_two_people_each_with_masks_of_its_own(seed: int, close: bool) -> None:
    pair = draw_pair(seed, (288, 240), close)
    assert pair.image.shape == (240, 288, 3)
    left, right = pair.masks
    assert left.keys() == right.keys() == DRAWN_WORDS.keys()
    shared = left["person"] & right["person"]  # pixels half covered by both
    assert shared.mean() < 0.005
    for masks in pair.masks:
        assert masks["person"].mean() > 0.04
        assert (masks["face"] & ~masks["head"]).mean() < 0.005
        assert not (masks["head"] & ~masks["person"]).any()
    columns = [np.nonzero(one["head"])[1].mean() for one in pair.masks]
    assert columns[0] < columns[1]


def test_pairs_that_stand_close_touch_and_the_others_mostly_do_not() -> None:
    touching = {
        close: sum(draw_pair(2_000_000 + 2 * k, (144, 120), close).touching for k in range(8))
        for close in (False, True)
    }
    assert touching[True] >= 7
    assert touching[False] <= 4


def box(left: int, right: int) -> np.ndarray:
    mask = np.zeros((10, 100), np.bool_)
    mask[:, left:right] = True
    return mask


@pytest.mark.parametrize(
    ("mask", "right"),
    [
        (box(0, 40), True),
        (box(0, 30), True),
        (box(0, 28), False),
        (box(0, 90), False),
        (box(50, 90), False),
        (box(0, 0), False),
    ],
)
def test_an_answer_is_right_if_it_covers_the_person_meant(mask: np.ndarray, right: bool) -> None:
    answers = Answers()
    answers.add("apart", "person n", mask, box(0, 40), box(50, 90))
    assert answers.right == {("apart", "person n"): [right]}
    assert f"{1.0 if right else 0.0:.1%}" in answers.table()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    for name, seed in (("a", 9), ("b", 11)):
        portrait = draw(solo(sample_spec(seed), "soft"), (160, 200))
        cv2.imwrite(str(folder / f"{name}.png"), cv2.cvtColor(portrait.image, cv2.COLOR_RGB2BGR))
        cv2.imwrite(str(folder / f"{name}-person.png"), portrait.masks["person"] * np.uint8(255))
    cv2.imwrite(str(folder / "c.png"), np.full((50, 50, 3), 90, np.uint8))
    return folder


def test_two_photographs_with_masks_become_two_people_who_touch(folder: Path) -> None:
    pairs = list(photographed(folder))
    assert len(pairs) == 2
    for two in pairs:
        left, right = (one["person"] for one in two.masks)
        assert two.image.shape == (HEIGHT, left.shape[1], 3)
        assert not (left & right).any()
        assert np.nonzero(left)[1].mean() < np.nonzero(right)[1].mean()
        near = cv2.dilate(left.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
        assert (near & right).any()


# Measured on 100 pairs: `docs/mask.md`.
def test_the_pack_finds_the_right_one_of_two() -> None:
    answers = Answers()
    pairs = list(drawn(4))
    assert all(two.image.shape[1::-1] == SIZE for two in pairs)
    sheet = measure(Bench(Studio(style="drawn")), iter(pairs), answers)
    assert len(sheet) == 4
    for first, _, word in WORDS:
        said = first.replace("1", "n")
        right = [
            one for (_, phrase), all_right in answers.right.items() if phrase == said
            for one in all_right
        ]  # fmt: skip
        assert right, said
        if word in ("person", "foreground"):
            assert np.mean(right) >= 0.85, said


def test_a_picture_without_a_word_is_left_out() -> None:
    nothing = np.zeros((60, 80), np.bool_)
    plain = Two(
        name="plain",
        image=np.full((60, 80, 3), 120, np.uint8),
        masks=({"person": nothing}, {"person": nothing}),
    )
    answers = Answers()
    measure(Bench(Studio(style="drawn")), iter([plain]), answers)
    assert not answers.right
