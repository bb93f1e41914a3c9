"""Tests of progress events as a line of text."""

from __future__ import annotations

import pytest

from inference.picture.progress import Progress, Stage, duration


@pytest.mark.parametrize(
    ("progress", "text"),
    [
        (Progress(stage=Stage.MASK), "Finding the words"),
        (Progress(stage=Stage.LOADING, detail="Photo"), "Loading models · Photo"),
        (
            Progress(stage=Stage.LOADING, detail="Photo: 5 of 9 MB", seconds_left=240),
            "Loading models · Photo: 5 of 9 MB · 4 min left",
        ),
        (
            Progress(stage=Stage.PAINTING, step=2, steps=5, seconds_left=3.6),
            "Painting · step 2 of 5 · 4 s left",
        ),
    ],
)
def test_all_that_is_known_is_said(progress: Progress, text: str) -> None:
    assert progress.text == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"), (3.6, "4 s"), (99, "99 s"), (99.6, "2 min"), (90 * 60, "90 min"),
        (99.4 * 60, "99 min"), (100 * 60, "1 h 40 min"), (26 * 3600, "26 h 0 min"),
    ],
)  # fmt: skip
def test_times_have_one_unit_or_two(seconds: float, text: str) -> None:
    assert duration(seconds) == text
