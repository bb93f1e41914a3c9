"""Tests of tiling: tiles cover the whole side, and their weights add up to 1."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from inference.painting.multi_diffusion import covered, windows_of
from inference.picture.tiling import Tiling

TILING = Tiling(tile=24, overlap=8, margin=1)


@pytest.mark.parametrize(
    ("length", "starts"),
    [(1, [0]), (23, [0]), (24, [0]), (25, [0, 1]), (40, [0, 16]), (41, [0, 16, 17]),
     (56, [0, 16, 32]), (100, [0, 16, 32, 48, 64, 76])],
)  # fmt: skip
def test_a_side_is_cut_into_tiles_of_one_length(length: int, starts: list[int]) -> None:
    spans = TILING.spans(length)
    assert [span.start for span in spans] == starts
    assert {span.stop - span.start for span in spans} == {min(length, 24)}
    assert spans[-1].stop == length


@pytest.mark.parametrize("scale", [1, 2, 4])
@pytest.mark.parametrize("length", [20, 24, 25, 41, 56, 119])
def test_everywhere_some_tile_has_its_say(length: int, scale: int) -> None:
    total = np.zeros(length * scale)
    for span in TILING.spans(length):
        ramp = TILING.ramp(span, length, scale)
        assert ramp.min() >= 0
        assert ramp.max() == 1
        total[scale * span.start : scale * span.stop] += ramp
    assert total.min() > 0.5


def test_a_tile_is_silent_at_its_inner_ends_and_speaks_up_at_the_outer_ones() -> None:
    first, last = TILING.spans(40)
    assert TILING.ramp(first, 40)[0] == 1
    assert TILING.ramp(first, 40)[-1] == 0
    assert TILING.ramp(last, 40)[0] == 0
    assert TILING.ramp(last, 40)[-1] == 1


@pytest.mark.parametrize(("side", "count"), [(None, 1), (240, 1), (192, 2), (96, 6)])
def test_windows_cover_the_latents(side: int | None, count: int) -> None:
    latents = torch.zeros(2, 4, 20, 28)
    windows = windows_of(latents, side, 8)
    assert len(windows) == count
    for window in windows:
        window.cut(latents).add_(window.weight)
    assert latents.min() > 0
    assert (
        windows[0].cut(torch.zeros(1, 3, 160, 224), 8).shape[-1] == 8 * windows[0].weight.shape[1]
    )


@pytest.mark.parametrize(
    ("painted", "count"),
    [
        (np.s_[:, :, :, :], 6),
        (np.s_[:, :, :2, :2], 1),
        (np.s_[:, :, 10:12, 10:12], 4),
        (np.s_[:, :, :, 27:], 2),
        (np.s_[:, :, 30:, :], 6),  # nowhere
    ],
)
def test_windows_in_which_nothing_is_painted_are_left_out(
    painted: tuple[slice, ...], count: int
) -> None:
    latents, mask = torch.zeros(1, 4, 20, 28), torch.zeros(1, 1, 20, 28)
    mask[painted] = 1
    windows = windows_of(latents, 96, 8, mask)
    assert len(windows) == count
    sums = covered(windows, latents)
    assert sums.isfinite().all()
    assert sums[mask > 0].allclose(torch.ones(1))
    assert ((sums > 0.999) | (sums == 0)).all()
