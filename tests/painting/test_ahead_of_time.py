"""Tests of steps compiled ahead of time: output, kinds of inputs, use in another process."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import UNet2DConditionModel

from inference.painting.ahead_of_time import AheadOfTimeCompiler
from inference.painting.checkpoints import run_first_step
from inference.painting.denoiser import Denoiser
from inference.painting.inpainting import InpaintInput, InpaintOutput
from inference.painting.painter import Painter
from inference.picture.photo import Pixels
from inference.recipe.recipe import Recipe
from tests.support import tiny_models

CPU = torch.device("cpu")
BASE: dict[str, Any] = {"prompt": "a garden", "steps": 3, "seed": 7, "cfg_scale": 3.0}
# Less optimization by the C++ compiler, to save time.
QUICK = {"aot_inductor.compile_wrapper_opt_level": "O0"}


def picture(width: int, height: int) -> Pixels:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def painted(one: Painter, width: int = 64, height: int = 64, **settings: Any) -> Pixels:
    repaint = np.zeros((height, width), dtype=bool)
    repaint[8:50, 20:60] = True
    patch = InpaintInput(picture=picture(width, height), repaint=repaint, guides=())
    *_, last = one.paint(patch, Recipe(**BASE | settings))
    assert isinstance(last, InpaintOutput)
    return last.pictures[0]


def painter(folder: Path, run: Any, channels: int = 4) -> Painter:
    """A painter whose UNet has attention only in its middle block, which compiles faster."""
    pipe = tiny_models.pipeline(folder, channels)
    blocks = {"down_block_types": ["DownBlock2D"] * 2, "up_block_types": ["UpBlock2D"] * 2}
    torch.manual_seed(0)
    pipe.unet = UNet2DConditionModel.from_config({**pipe.unet.config, **blocks})
    return Painter(pipe, CPU, run)


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one package: with guidance, without controls, for one picture."""
    folder = tmp_path_factory.mktemp("packages")
    ahead = AheadOfTimeCompiler(folder, QUICK)
    with ahead.compiling():
        maker = painter(tmp_path_factory.mktemp("maker"), ahead)
        run_first_step(maker, Recipe(**BASE, controlnet=""), 72)
    assert ahead.ready == 1
    return folder


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"width": 72, "height": 64},
        {"width": 88, "height": 104},
        {"cfg_scale": 7.5},
        {"denoising_strength": 0.5, "steps": 6},
        {"scheduler": "euler_a"},
        {"seed": 8, "prompt": "a city at night"},
    ],
    ids=str,
)
def test_a_package_runs_what_it_was_made_for_at_any_size_and_setting(
    packages: Path, tmp_path: Path, settings: dict[str, Any]
) -> None:
    ahead = AheadOfTimeCompiler(packages)
    ours = painted(painter(tmp_path, ahead), **settings)
    plain = painted(painter(tmp_path, Denoiser.__call__), **settings)
    assert ahead.ready == 1
    assert np.abs(ours.astype(int) - plain).max() <= 1


@pytest.mark.parametrize(
    ("channels", "settings"), [(4, {"num_images": 2}), (4, {"cfg_scale": 1.0}), (9, {})], ids=str
)
def test_what_has_no_package_runs_as_it_is(
    packages: Path, tmp_path: Path, channels: int, settings: dict[str, Any]
) -> None:
    ahead = AheadOfTimeCompiler(packages)
    ours = painted(painter(tmp_path, ahead, channels), **settings)
    plain = painted(painter(tmp_path, Denoiser.__call__, channels), **settings)
    assert ahead.ready == 0
    np.testing.assert_array_equal(ours, plain)


def test_a_package_runs_on_the_weights_of_the_checkpoint_at_hand(
    packages: Path, tmp_path: Path
) -> None:
    ahead = AheadOfTimeCompiler(packages)
    one, other, plain = (painter(tmp_path, run) for run in (ahead, ahead, Denoiser.__call__))
    for changed in (other, plain):
        torch.manual_seed(3)
        for weight in changed._pipe.unet.parameters():
            weight.data += 0.02 * torch.randn_like(weight)
    first, second = painted(one), painted(other)
    assert (first != second).any()
    assert np.abs(second.astype(int) - painted(plain)).max() <= 1
    np.testing.assert_array_equal(painted(one), first)


def test_weights_that_were_moved_are_found_again(packages: Path, tmp_path: Path) -> None:
    one = painter(tmp_path, AheadOfTimeCompiler(packages))
    before = painted(one)
    for weight in one._pipe.unet.parameters():
        weight.data = weight.data.clone()
    np.testing.assert_array_equal(painted(one), before)


def test_packages_hold_no_weights(packages: Path, tmp_path: Path) -> None:
    (package,) = packages.iterdir()
    held = package.read_bytes()  # not compressed
    unet = painter(tmp_path, Denoiser.__call__)._pipe.unet
    assert not [
        name
        for name, one in unet.named_parameters()
        if one.dim() > 1 and one.detach().numpy().tobytes() in held
    ]


@pytest.mark.parametrize("damage", [b"", b"no package"], ids=["empty", "text"])
def test_a_damaged_package_is_passed_over(packages: Path, tmp_path: Path, damage: bytes) -> None:
    (package,) = packages.iterdir()
    (tmp_path / package.name).write_bytes(damage)
    ahead = AheadOfTimeCompiler(tmp_path)
    ours = painted(painter(tmp_path, ahead))
    np.testing.assert_array_equal(ours, painted(painter(tmp_path, Denoiser.__call__)))
    assert ahead.ready == 0


def test_nothing_of_an_unpacked_package_stays_on_the_disk(packages: Path, tmp_path: Path) -> None:
    def unpacked() -> set[Path]:
        return set(Path(tempfile.gettempdir()).glob("*/data/aotinductor"))

    before = unpacked()
    painted(painter(tmp_path, AheadOfTimeCompiler(packages)))
    assert unpacked() <= before
