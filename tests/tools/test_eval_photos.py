"""Tests of the measurements on photographs, with a folder of two drawings and tiny models."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from inference import Studio
from inference.catalog.catalog import Catalog
from inference.people.part_words import PARTS
from tools.evaluation.bench import Bench
from tools.evaluation.photos import (
    ABSENT_PER_PHOTO,
    GOALS,
    LABELS,
    LEAST,
    LabelledPhoto,
    Measured,
    labelled_photos,
    measure,
    rows,
)
from tools.portraits.draw import Portrait, draw
from tools.portraits.spec import sample_spec, solo

SIZE = (160, 200)
SEEDS = {"a": 9, "b": 11}
# The label of each word's pixels, the later ones on top.
PAINT = {"clothes": 16, "skin": 14, "hair": 17, "face": 1, "glasses": 6, "hat": 18}


def portrait(name: str) -> Portrait:
    return draw(solo(sample_spec(SEEDS[name]), "soft"), SIZE)


def labels_of(drawing: Portrait) -> np.ndarray:
    labels = np.zeros(SIZE[::-1], np.uint8)
    for word, label in PAINT.items():
        labels[drawing.masks[word]] = label
    for joint, label in ((0, 10), (1, 5), (2, 4)):
        x, y = (int(one) for one in drawing.keypoints[joint, :2])
        labels[y - 1 : y + 2, x - 1 : x + 2] = label
    return labels


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    for name in SEEDS:
        drawing = portrait(name)
        cv2.imwrite(str(folder / f"{name}.jpg"), cv2.cvtColor(drawing.image, cv2.COLOR_RGB2BGR))
        cv2.imwrite(str(folder / f"{name}-labels.png"), labels_of(drawing))
    (folder / "ABOUT.txt").write_text("no photograph")
    return folder


@pytest.fixture(scope="module")
def photos(folder: Path) -> list[LabelledPhoto]:
    return list(labelled_photos(folder))


def test_photographs_come_with_the_masks_of_their_labels(photos: list[LabelledPhoto]) -> None:
    assert [one.name for one in photos] == list(SEEDS)
    for one in photos:
        drawing = portrait(one.name)
        assert one.photo.size == SIZE
        assert set(one.masks) == set(LABELS) == set(PARTS) == set(GOALS)
        for word in ("person", "clothes", "hair", "head"):
            differ = (one.masks[word] != drawing.masks[word]).mean()
            assert differ < 0.01, word
        np.testing.assert_array_equal(one.masks["background"], ~one.masks["person"])


def test_a_mask_of_the_person_gives_three_words_and_none_gives_none(tmp_path: Path) -> None:
    picture = np.full((40, 30, 3), 90, np.uint8)
    person = np.zeros((40, 30), np.uint8)
    person[10:] = 255
    for name in ("one", "two"):
        cv2.imwrite(str(tmp_path / f"{name}.png"), picture)
    cv2.imwrite(str(tmp_path / "one-person.png"), person)
    first, second = labelled_photos(tmp_path)
    assert set(first.masks) == {"person", "foreground", "background"}
    np.testing.assert_array_equal(first.masks["person"], person > 0)
    np.testing.assert_array_equal(first.masks["background"], person == 0)
    assert second.masks == {}
    assert first.labels is second.labels is None


def test_each_photograph_counts_once(photos: list[LabelledPhoto], tiny_catalog: Path) -> None:
    bench = Bench(Studio(catalog=Catalog.load(tiny_catalog), style="drawn"))
    found = measure(bench, photos, drawings=2)
    for word in PARTS:
        large = {one.name for one in photos if one.masks[word].mean() >= LEAST}
        assert set(found.overlaps.get(word, {})) == large
        assert all(0 <= one <= 1 for one in found.overlaps.get(word, {}).values())
    empty = sum(not mask.any() for one in photos for mask in one.masks.values())
    assert len(found.absent) == empty > 0
    assert len(found.strange) == 2 * ABSENT_PER_PHOTO
    assert len(found.near) == 6  # two eyes and a nose each
    # The tiny segmenter is a general one, for which all pictures are photographs.
    assert found.photographs == [True, True]
    assert found.drawings == [False, False]
    lines = {row.what: row for row in rows(found)}
    assert "mean IoU of “person” (2)" in lines
    assert "lowest IoU of “person”" in lines
    assert lines["read as photographs (2)"].passed
    assert lines["drawings read as drawings (2)"].value == "0.0 %"
    assert all(row.part == "Photographs" for row in lines.values())


def test_the_rows_say_the_mean_the_lowest_and_the_shares() -> None:
    found = Measured(
        overlaps={"person": {"a": 1.0, "b": 0.8}, "hat": {"b": 0.9}},
        absent=[True] * 19 + [False],
        strange=[True, False],
        near=[True] * 9 + [False],
        photographs=[True],
    )
    assert [(row.what, row.value, row.passed) for row in rows(found)] == [
        ("mean IoU of “person” (2)", "0.900", False),
        ("mean IoU of “hat” (1)", "0.900", True),
        ("lowest IoU of “person”", "0.800", False),
        ("absent hats, glasses and other parts that peak under 0.2", "95.0 %", True),
        ("absent things that peak under 0.2", "50.0 %", None),
        ("eyes and noses within 0.15 face widths", "90.0 %", False),
        ("read as photographs (1)", "100.0 %", True),
    ]
