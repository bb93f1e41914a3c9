"""Tests of the evaluation's measures on known good and bad input."""

from __future__ import annotations

from itertools import chain
from pathlib import Path

import cv2
import numpy as np
import pytest

from tools.evaluation import control, crispness, knobs, prompt, table
from tools.evaluation.bench import overlap, sitter
from tools.evaluation.judge import to_input
from tools.portraits.spec import CLOTHES, COLOURS, SCENES

WIDTH = 100.0  # of a head, in pixels


def keypoints(left: tuple[float, float, float], right: tuple[float, float, float]) -> np.ndarray:
    points = np.zeros((17, 3), dtype=np.float32)
    points[5], points[6] = left, right
    return points


SKELETON = keypoints((300, 200, 0.9), (100, 200, 0.9))


@pytest.mark.parametrize(
    ("painted", "expected"),
    [
        (SKELETON, [0, 0, 0]),
        (keypoints((310, 200, 0.9), (100, 220, 0.9)), [0.1, 0.2, 0.1118]),
        (keypoints((300, 200, 0.9), (100, 200, 0.1)), [0, np.inf, np.inf]),
        (keypoints((0, 0, 0), (0, 0, 0)), [np.inf, np.inf, np.inf]),
    ],
)
def test_joints_are_measured_in_head_widths_and_a_lost_one_is_missed(
    painted: np.ndarray, expected: list[float]
) -> None:
    assert control.misses(SKELETON, painted, WIDTH) == pytest.approx(expected, abs=1e-4)


def test_a_joint_that_the_skeleton_lacks_is_not_asked_for() -> None:
    lone = keypoints((300, 200, 0.9), (100, 200, 0.1))
    assert control.misses(lone, SKELETON, WIDTH) == [0]


def test_the_head_width_is_that_of_the_drawing() -> None:
    portrait = sitter(0)
    columns = np.flatnonzero(portrait.masks["face"].any(axis=0))
    assert np.ptp(columns) == pytest.approx(control.head_width(portrait), rel=0.15)


@pytest.mark.parametrize("name", COLOURS)
def test_a_named_colour_is_nearest_to_itself_also_in_half_light(name: str) -> None:
    colour = np.array(COLOURS[name], dtype=np.float64)
    assert prompt.nearest_colour(colour) == name
    assert prompt.nearest_colour(colour * 0.9 + 6) == name


def test_no_clothes_have_no_colour() -> None:
    assert prompt.nearest_colour(None) == ""


def test_every_combination_is_asked_for_once_before_any_comes_again() -> None:
    total = len(COLOURS) * len(CLOTHES) * len(SCENES)
    wishes = [prompt.wish(k) for k in range(total)]
    assert len(set(wishes)) == total
    assert prompt.wish(total) == wishes[0]
    assert len({one.colour for one in wishes[:20]}) >= 8


@pytest.mark.parametrize(
    ("agreements", "expected"),
    [
        ([0.5, 0.7, 0.9, 0.95], True),
        ([0.5, 0.9, 0.88, 0.9], False),
        ([0.9, 0.9, 0.9, 0.9], False),
        ([0.95, 0.9, 0.8, 0.7], False),
    ],
)
def test_agreement_has_to_rise_with_every_step(agreements: list[float], expected: bool) -> None:
    by_scale = {str(scale): one for scale, one in zip(knobs.SCALES, agreements, strict=True)}
    measured = {
        "agreement halfway": by_scale,
        "agreement": by_scale,
        "agreement as styled": by_scale,
        "distance": {"0.3": 1.0, "1.0": 2.0},
        "seeds": {"same": 1.0, "different": 1.0},
    }
    row, *others = knobs.rows(measured)
    assert row.passed is expected
    assert all(one.passed in (True, None) for one in others)


def test_overlap_is_intersection_over_union() -> None:
    one, other = np.zeros((2, 4, 4), dtype=bool)
    one[:2], other[1:3] = True, True
    assert overlap(one, other) == pytest.approx(1 / 3)


def test_a_judge_does_not_see_what_is_hidden() -> None:
    picture, hidden = sitter(0).image, sitter(0).masks["head"]
    altered = np.where(hidden[..., None], np.uint8(255) - picture, picture)
    assert (to_input(picture) != to_input(altered)).any()
    assert (to_input(picture, hidden) == to_input(altered, hidden)).all()


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (table.at_least("2 Prompt", "colour", 0.9, 0.9), ("≥ 90 %", "90.0 %", True)),
        (table.at_least("2 Prompt", "colour", 0.899, 0.9), ("≥ 90 %", "89.9 %", False)),
        (table.at_least("1 Words", "IoU", 0.85, 0.8, unit=""), ("≥ 0.8", "0.850", True)),
        (table.at_least("6 Enlarging", "gain", 1.99, 2, unit="dB"), ("≥ 2 dB", "1.99 dB", False)),
        (table.at_most("7 Cost", "pack", 30.1, 30, "MB"), ("≤ 30 MB", "30.1 MB", False)),
    ],
)
def test_a_row_shows_goal_value_and_verdict(
    row: table.Row, expected: tuple[str, str, bool]
) -> None:
    assert (row.goal, row.value, row.passed) == expected


def test_the_cards_table_is_replaced_and_the_rest_stays(tmp_path: Path) -> None:
    card = tmp_path / "README.md"
    card.write_text(f"before\n{table.START}\nold\n{table.END}\nafter\n")
    for text in ("first", "second"):
        table.put_into_card(card, text)
    assert card.read_text() == f"before\n{table.START}\n\nsecond\n\n{table.END}\nafter\n"
    card.write_text("no markers")
    with pytest.raises(ValueError, match="lacks the markers"):
        table.put_into_card(card, "x")


# --- paintings beside drawings ------------------------------------------------------------------


def _drawn(count: int, first: int = 0) -> list[list[np.ndarray]]:
    pictures = [sitter(first + k).image for k in range(count)]
    return [crispness._crops(one, np.random.default_rng(k)) for k, one in enumerate(pictures)]


def _blurred(pictures: list[list[np.ndarray]]) -> list[list[np.ndarray]]:
    return [[cv2.GaussianBlur(one, (0, 0), 2.0) for one in crops] for crops in pictures]


def test_blurred_pictures_are_farther_from_drawings_than_other_drawings_are() -> None:
    sets = (_drawn(10), _drawn(10, 100), _blurred(_drawn(10, 100)))
    one, other, blurred = (
        crispness.features(list(chain.from_iterable(pictures))) for pictures in sets
    )
    assert crispness.kid(one, blurred) > 2 * abs(crispness.kid(one, other))


def test_a_judge_knows_blurred_pictures_and_not_one_half_of_the_drawings_from_the_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(crispness, "LESSONS", 50)
    drawn = _drawn(24)
    assert crispness.judged(drawn, _blurred(drawn)) > 0.9
    assert crispness.judged(drawn, drawn) == pytest.approx(0.5)


def test_the_drawing_beside_a_painting_is_what_the_prompt_says() -> None:
    spec = crispness.prompted(sitter(3).spec, 3)
    asked = prompt.wish(3)
    assert (spec.scene, spec.clothes, spec.clothes_colour) == (
        asked.scene, asked.clothes, asked.colour
    )  # fmt: skip
    assert spec.hair == sitter(3).spec.hair
    assert spec.companion is None


@pytest.mark.parametrize(
    ("share", "kid", "judge", "passed"),
    [
        (1.0, 0.1, 0.6, True),
        (0.8, 0.1, 0.6, False),
        (1.2, 0.1, 0.6, False),
        (1.0, 0.7, 0.6, False),
        (1.0, 0.1, 0.8, False),
    ],
)
def test_paintings_are_to_be_as_sharp_as_drawings_and_not_to_be_told_from_them(
    share: float, kid: float, judge: float, passed: bool
) -> None:
    energies = {"gradient": share, "laplacian": 1.0, "energy": 1.0}
    rows = crispness.rows({"energies": energies, "kid": kid, "judge": judge})
    assert all(row.passed for row in rows if row.passed is not None) is passed
