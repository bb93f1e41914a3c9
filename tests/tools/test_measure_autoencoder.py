"""Tests of the measures of sharpness and of what passes through an autoencoder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tools import measure_autoencoder
from tools.evaluation.sharpness import sharpness_of
from tools.portraits import draw_seed

FLAT = np.full((48, 64, 3), 90, np.uint8)


def test_a_blurred_drawing_is_less_sharp_and_a_flat_picture_not_at_all() -> None:
    drawn = draw_seed(3, (96, 120), with_masks=False).image
    coarse = drawn.reshape(60, 2, 48, 2, 3).mean((1, 3)).astype(np.uint8)
    share = sharpness_of(coarse.repeat(2, 0).repeat(2, 1)).share_of(sharpness_of(drawn))
    assert share.laplacian < 1
    assert share.energy < 1
    assert sharpness_of(drawn).share_of(sharpness_of(drawn)).gradient == 1
    assert sharpness_of(FLAT).gradient == sharpness_of(FLAT).laplacian == 0


def test_a_step_of_one_level_is_one_gradient_on_one_column_of_pixels() -> None:
    step = FLAT.copy()
    step[:, 32:] += 10
    assert sharpness_of(step).gradient == pytest.approx(10 / 64)
    assert sharpness_of(step).laplacian == pytest.approx(2 * 10 / 64)
    assert sharpness_of(step).energy == pytest.approx(10**2 / 64)
    beside = np.zeros(step.shape[:2], bool)
    beside[:, :20] = True
    assert sharpness_of(step, beside).gradient == 0


def test_the_measure_misses_its_goals_at_half_the_size(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    sheet = tmp_path / "eyes.png"
    arguments = ["--count", "16", "--threads", "1", "--at", "192", "--sheet", str(sheet)]
    assert measure_autoencoder.main(arguments) == 1
    assert "| PSNR, dB |" in capsys.readouterr().out
    assert sheet.stat().st_size > 0


def test_a_table_passes_only_within_its_goals() -> None:
    def found(decibels: float, share: float) -> measure_autoencoder.Passed:
        shares = measure_autoencoder.Sharpness(gradient=share, laplacian=share, energy=0.5)
        return measure_autoencoder.Passed(decibels=decibels, shares=shares, deviation=1.0)

    for decibels, share, missed in ((31, 1.0, False), (29, 1.0, True), (31, 0.8, True)):
        assert measure_autoencoder.table([found(decibels, share)])[1] is missed
