"""Tests of the measures of joints between photo and painting, and of the training for them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel

from tools import measure_inpainting as measured
from tools.portraits import draw
from tools.training import inpaint, plain

PACK = Path(__file__).parents[2] / "assets" / "pack"
SIDE = 64


def halves(left: int, right: int, blur: int = 0) -> np.ndarray:
    """Two grays that meet at the middle, or pass into each other over `blur` columns."""
    ramp = np.clip((np.arange(SIDE) - (SIDE - 1) / 2) / max(blur, 1e-6) + 0.5, 0, 1)
    levels = np.rint(left + (right - left) * ramp).astype(np.uint8)
    return np.repeat(np.tile(levels, (SIDE, 1))[..., None], 3, axis=2)


RIGHT = measured.signed_distance(np.tile(np.arange(SIDE) >= SIDE // 2, (SIDE, 1)))
# The lightness of these grays: 0 and 100.
BLACK, WHITE = 0, 255


@pytest.mark.parametrize(
    ("picture", "step"),
    [
        (halves(WHITE, WHITE), 0),
        (halves(BLACK, WHITE), 100),
        (halves(WHITE, BLACK), 100),
        (halves(119, 119), 0),
        (np.roll(halves(BLACK, WHITE), 8, axis=1), 0),
    ],
    ids=["even", "step", "step down", "even gray", "a step elsewhere"],
)
def test_a_step_is_the_difference_of_colour_across_the_edge(
    picture: np.ndarray, step: float
) -> None:
    assert measured.steps_across(picture, RIGHT).mean() == pytest.approx(step, abs=0.5)


def test_a_step_that_is_spread_is_smaller() -> None:
    steps = [measured.steps_across(halves(60, 200, blur), RIGHT).mean() for blur in (0, 8, 16, 32)]
    assert steps == sorted(steps, reverse=True)
    assert steps[-1] < steps[0] / 4


def test_the_distance_is_zero_between_the_pixels_at_the_edge() -> None:
    np.testing.assert_allclose(RIGHT[0, SIDE // 2 - 3 : SIDE // 2 + 3], np.arange(-2.5, 3))


def test_a_perfect_painting_has_the_steps_of_the_goal_and_no_difference() -> None:
    shapes, head = measured.case_of(0), measured.case_of(1)
    assert (shapes.whole, head.whole) == (False, True)
    np.testing.assert_array_equal(shapes.upload, shapes.goal.image)
    kept = head.distance < -3
    assert kept.any()
    apart = np.abs(head.upload.astype(int) - head.goal.image.astype(int)).max(axis=2)
    assert (apart[kept] <= 1).mean() > 0.99, "both drawings show the same head"
    assert (apart[~kept] > 30).mean() > 0.3, "in another scene"


def test_the_four_channel_unet_starts_as_the_nine_channel_one_that_repaints_everything() -> None:
    unet = UNet2DConditionModel.from_pretrained(PACK / "painter" / "unet").float()
    vae = AutoencoderKL.from_pretrained(PACK / "painter" / "vae").float()
    weights = plain.repainting_everything(unet, vae)
    first = torch.nn.Conv2d(4, unet.conv_in.out_channels, 3, padding=1)
    first.load_state_dict({name: weights[f"conv_in.{name}"] for name in ("weight", "bias")})
    noisy = torch.randn(2, 4, 24, 24, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        gray = vae.encode(torch.zeros(1, 3, *plain.SQUARE)).latent_dist.mode()
        held = gray.mean((2, 3), keepdim=True) * vae.config.scaling_factor
        extra = torch.cat([torch.ones(1, 1, 1, 1), held], 1).expand(2, -1, 24, 24)
        whole = unet.conv_in(torch.cat([noisy, extra], 1))
        four = first(noisy)
    inside = slice(1, -1), slice(1, -1)
    assert (whole - four)[..., *inside].abs().max() < 1e-4


@pytest.mark.parametrize("seed", range(4))
def test_the_map_is_the_drawing_with_minus_one_where_it_is_repainted(seed: int) -> None:
    size = (64, 64)
    shown = inpaint.map_of(seed, size, np.random.default_rng(seed))
    hidden = (shown == inpaint.HIDDEN).all(0)
    drawn = draw(inpaint.solo(inpaint.sample_spec(seed)), size).image
    picture = torch.from_numpy(drawn).permute(2, 0, 1).float() / 255
    assert 0 < hidden.float().mean() < 1
    assert torch.equal(shown[:, ~hidden], picture[:, ~hidden])
