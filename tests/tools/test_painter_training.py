"""Tests of training the painter: latents, UNet and ControlNet, LoRAs, IP-Adapter."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import ControlNetModel, UNet2DConditionModel

from tests.support.tiny_training import job_of
from tools.training import adapter, drawings, inpaint, joint, latents, lora, plain, vae, wider
from tools.training.lessons import KINDS


def test_latents_are_those_of_the_lesson(trained: Path) -> None:
    job = job_of(trained)
    sizes = {"close-up": (10, 8), "flat": (8, 8), "whole": (10, 8), "wider": (8, 10)}
    assert {one.kind: tuple(one.goals.shape[-2:]) for one in latents.load(job, KINDS)} == sizes
    for data in latents.load(job, KINDS):
        assert data.seeds.shape == (2,)
        assert data.goals.shape == (2, 4, *sizes[data.kind])
        assert data.uploads.shape == (2, 2, 4, *sizes[data.kind])
        assert data.masks.shape == (2, 2, *sizes[data.kind])
        assert set(data.masks.unique().tolist()) <= {0, 1}


@pytest.mark.parametrize("size", [(128, 72), (72, 128), (96, 96)])
def test_a_wider_scene_keeps_a_box_that_holds_the_head(size: tuple[int, int]) -> None:
    head = np.zeros(size[::-1], bool)
    head[20:40, 30:44] = True
    for seed in range(30):
        mask = wider.beyond_box(head, np.random.default_rng(seed))
        assert not mask[head].any()
        rows, columns = np.nonzero(mask == 0)
        assert (mask == 0).sum() == (np.ptp(rows) + 1) * (np.ptp(columns) + 1)
        assert mask.any()


def test_only_along_skeletons_the_loss_weighs_more() -> None:
    maps = torch.zeros(2, 3, 64, 64)
    maps[:, 0, 20:28, 20] = 1.0
    weights = joint.body_weight(maps, [True, False])
    assert weights.shape == (2, 1, 8, 8)
    assert weights[0, 0, 2:4, 2].tolist() == [3.0, 3.0]
    assert weights[0, 0, 6:].unique().tolist() == [1.0]
    assert weights[1].unique().tolist() == [1.0]
    assert joint.body_weight(maps[:0], []).shape == (0, 1, 8, 8)


def test_painter_and_controlnet_learn_together(trained: Path) -> None:
    job = job_of(trained, 0.2)
    before = joint.load(job).state_dict()
    joint.train(job)
    after = joint.load(job).state_dict()
    assert all(not torch.equal(value, after[weight]) for weight, value in before.items())


def test_a_lora_learns_a_style_further_on_the_unet_as_it_is_by_now(trained: Path) -> None:
    job = job_of(trained, 0.05)
    joint.train(job)
    lora.train(job)
    for style in ("ink", "soft"):
        weights = lora.load(job, style)
        assert all(weight.isfinite().all() for weight in weights.values())
        assert any(weight.any() for name, weight in weights.items() if "lora_B" in name)
        model = torch.load(trained / f"lora-{style}.pt", weights_only=True)["model"]
        for name, value in joint.unet(job).state_dict().items():
            layer, _, kind = name.rpartition(".")
            same = name if name in model else f"{layer}.base_layer.{kind}"
            torch.testing.assert_close(model[same], value)


def test_an_adapter_learns_further_with_its_encoder_on_the_unet_as_it_is_by_now(
    trained: Path,
) -> None:
    job = job_of(trained, 0.1)
    joint.train(job)
    before = adapter.build(job).state_dict()
    adapter.train(job)
    after = adapter.load(job).state_dict()
    moved = {name for name, value in before.items() if not torch.equal(value, after[name])}
    learned = [name for name in before if name.startswith("encoder.") or "_ip." in name]
    assert moved >= {name for name in learned if "position_ids" not in name}
    painter = joint.unet(job).state_dict()
    assert not moved & {f"unet.{name}" for name in painter}
    for name, value in painter.items():
        torch.testing.assert_close(after[f"unet.{name}"], value)


def test_with_minutes_given_there_is_a_file_of_latents_of_each_kind_and_size(
    tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(latents, "GOALS", {"square": {"flat": 6, "ink": 4}, "wide": {"wider": 2}})
    job = job_of(tiny)
    drawings.train(job)
    vae.train(replace(job, minutes=0.001))
    for minutes, files in ((1e-6, 3), (0, 6)):
        latents.train(replace(job, minutes=minutes))
        assert len(list((tiny / "latents").glob("*.npz"))) == files
        assert len(latents.load(job, ("flat", "ink", "wider"))) == 3


def test_a_four_channel_unet_and_an_inpaint_controlnet_learn_from_whole_drawings(
    trained: Path,
) -> None:
    for path in (trained / "latents").glob("whole-*.npz"):
        path.unlink()
    job = job_of(trained, 0.05)
    plain.train(job)
    assert list((trained / "latents").glob("whole-*.npz"))
    before = inpaint.build(job).state_dict()
    inpaint.train(job)
    after = torch.load(trained / "inpaint.pt", weights_only=True)["average"]
    moved = {name for name, value in before.items() if not torch.equal(value, after[name])}
    assert moved
    assert all(name.startswith("controlnet.") for name in moved)
    unet = UNet2DConditionModel.from_pretrained(trained / "inpainting/unet")
    assert unet.config.in_channels == 4
    ControlNetModel.from_pretrained(trained / "inpainting/controlnet")
