"""Tests of training the human parser and of fitting what the segmenter knows."""

from __future__ import annotations

import importlib
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from inference.mask.familiarity import Familiarity
from inference.mask.segmenter import Segmenter
from inference.people.human_parser import HumanParser, ParsingNetwork
from inference.people.part_features import CHANNELS
from inference.people.parts import Part
from tests.support.hub_repositories import save_segmenter
from tools.train_pack import STAGE_MINUTES
from tools.training import familiarity, parser, parsing_lessons
from tools.training.common import Job
from tools.training.parsing_lessons import SIDE, Lesson, Sketches, sample_lesson
from tools.training.textures import TextureBank

CPU = torch.device("cpu")
WIDTHS = (8, 8, 16, 16, 24)
FACE_CHANNELS = slice(4, 10)
COUNT = 8


@pytest.fixture(scope="module")
def bank() -> TextureBank:
    return TextureBank.make(3)


@pytest.fixture(scope="module")
def sketches() -> Sketches:
    return Sketches(4)


def lessons_of(sketches: Sketches, bank: TextureBank, seed: int = 0) -> list[Lesson]:
    rng = np.random.default_rng(seed)
    return [sample_lesson(sketches, bank, rng) for _ in range(COUNT)]


@pytest.fixture(scope="module")
def lessons(sketches: Sketches, bank: TextureBank) -> list[Lesson]:
    return lessons_of(sketches, bank)


@pytest.mark.parametrize("stage", STAGE_MINUTES)
def test_every_stage_can_be_started(stage: str) -> None:
    assert callable(importlib.import_module(f"tools.training.{stage}").train)


# --- lessons ------------------------------------------------------------------------------------


def test_a_lesson_is_an_input_of_the_parser_with_the_part_of_each_pixel(
    lessons: list[Lesson],
) -> None:
    for lesson in lessons:
        assert lesson.picture.shape == (SIDE, SIDE, 3)
        assert lesson.picture.dtype == np.uint8
        assert lesson.features.shape == (CHANNELS, SIDE, SIDE)
        assert lesson.features.dtype == np.float32
        assert np.abs(lesson.features).max() <= 1
        assert lesson.labels.shape == (SIDE, SIDE)
        assert set(np.unique(lesson.labels)) <= set(Part)
    seen = {Part(one) for lesson in lessons for one in np.unique(lesson.labels)}
    assert {Part.BACKGROUND, Part.FACE, Part.SKIN, Part.HAIR, Part.CLOTHES} <= seen


def test_a_seed_gives_the_same_lessons_and_another_one_others(
    sketches: Sketches, bank: TextureBank, lessons: list[Lesson]
) -> None:
    for one, again in zip(lessons, lessons_of(sketches, bank), strict=True):
        np.testing.assert_array_equal(one.picture, again.picture)
        np.testing.assert_array_equal(one.features, again.features)
        np.testing.assert_array_equal(one.labels, again.labels)
    other = lessons_of(sketches, bank, seed=1)[0]
    assert (other.picture != lessons[0].picture).mean() > 0.3


def test_most_lessons_have_a_face_and_those_from_behind_have_none(
    sketches: Sketches, bank: TextureBank, lessons: list[Lesson], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert sum(lesson.features[FACE_CHANNELS].any() for lesson in lessons) >= COUNT / 2
    monkeypatch.setattr(parsing_lessons, "BEHIND", 1.0)
    for lesson in lessons_of(sketches, bank):
        assert not lesson.features[FACE_CHANNELS].any()
        assert (lesson.labels == Part.FACE).mean() < 0.01
        assert not np.isin(lesson.labels, (Part.EAR, Part.GLASSES)).any()


# --- the parser ---------------------------------------------------------------------------------


def test_a_step_lowers_the_loss_of_its_batch(lessons: list[Lesson]) -> None:
    torch.manual_seed(0)
    network = ParsingNetwork(WIDTHS)
    features, shares = parser._batch(lessons[:2])
    assert shares.shape == (2, len(Part), SIDE // 2, SIDE // 2)
    torch.testing.assert_close(shares.sum(1), torch.ones(2, SIDE // 2, SIDE // 2))
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01)
    before = parser._loss(network(features), shares)
    before.backward()
    optimizer.step()
    with torch.no_grad():
        assert parser._loss(network(features), shares) < before


def test_a_perfect_answer_has_the_lowest_loss_and_is_measured_as_such(
    lessons: list[Lesson],
) -> None:
    _, shares = parser._batch(lessons)
    perfect, wrong = parser._loss(40 * shares, shares), parser._loss(-40 * shares, shares)
    assert perfect < 1.0
    assert wrong > 10 * perfect

    class Knowing(ParsingNetwork):
        """Answers with the shares of the lesson that it is given."""

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            one = next(k for k, it in enumerate(lessons) if np.array_equal(it.features, x[0]))
            return shares[one : one + 1]

    found = parser.measure(Knowing(WIDTHS), lessons)
    assert set(found) == {part.name.lower() for part in Part}
    assert found["background"] == found["clothes"] == found["face"] == 1


def test_the_stage_goes_on_where_it_ended_and_its_network_is_loaded_by_the_product(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    bank: TextureBank,
) -> None:  # fmt: skip
    for name, value in (("SKETCHES", 4), ("HELD_OUT", 2), ("BATCH", 1), ("WIDTHS", WIDTHS)):
        monkeypatch.setattr(parser, name, value)
    monkeypatch.setattr(parser, "ParsingNetwork", partial(ParsingNetwork, WIDTHS))
    monkeypatch.setattr(TextureBank, "make", lambda _seed: bank)

    def steps(minutes: float) -> int:
        job = Job(minutes=minutes, threads=1, work=tmp_path, out=tmp_path / "pack")
        parser.train(job)
        assert "parser IoU" in capsys.readouterr().out
        state = torch.load(tmp_path / "parser.pt", weights_only=True)
        assert state["seconds"] >= 60 * minutes
        return int(state["step"])

    first = steps(0.005)
    assert 0 < first < steps(0.05) == steps(0.05)
    job = Job(minutes=0, threads=1, work=tmp_path, out=tmp_path / "pack")
    parser.save(job)
    folder = tmp_path / "pack" / "parser"
    HumanParser.load(folder, CPU)
    trained, kept = parser.load(job).state_dict(), parser.restored(folder).state_dict()
    for name, value in kept.items():
        torch.testing.assert_close(value, trained[name].half().float(), rtol=0, atol=0)


# --- what the segmenter knows -------------------------------------------------------------------


def test_drawings_are_known_after_the_fit_and_noise_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.manual_seed(0)
    folder = tmp_path / "segmenter"
    folder.mkdir()
    save_segmenter(folder)
    monkeypatch.setattr(familiarity, "DRAWINGS", 24)
    monkeypatch.setattr(familiarity, "UNSEEN", 8)
    monkeypatch.setattr(familiarity, "SIZES", ((96, 96), (96, 120)))
    familiarity.train(Job(minutes=0, threads=1, work=tmp_path, out=tmp_path))
    fitted = Familiarity.load(folder)
    assert fitted is not None
    assert f"limits {fitted.limit:.2f} and {fitted.grain_limit:.2f}" in capsys.readouterr().out
    segmenter = Segmenter.load(folder, CPU)
    assert not segmenter.is_general
    known = [segmenter.knows(segmenter.encode_image(familiarity.drawing(k))) for k in range(24)]
    assert sum(known) >= 18  # the limits come from eight others
    grain = np.random.default_rng(0).normal(120, 5, (96, 96, 1)).round().astype(np.uint8)
    noise = np.repeat(grain, 3, axis=2)
    assert not segmenter.knows(segmenter.encode_image(noise))


def test_a_drawing_is_the_same_for_a_seed() -> None:
    for seed in range(4):
        first, again = familiarity.drawing(seed), familiarity.drawing(seed)
        np.testing.assert_array_equal(first, again)
        assert first.dtype == np.uint8
