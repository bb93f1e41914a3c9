"""Tests of training the finer painter: its stages at tiny size."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, ControlNetModel, UNet2DConditionModel

from tools import train_pack
from tools.portraits import draw_seed
from tools.training import (
    drawings,
    fine_adapter,
    fine_decoder,
    fine_joint,
    fine_latents,
    fine_lora,
    fine_painter,
    fine_sharpener,
    fine_vae,
    keep,
    restore,
    wider,
)
from tools.training.common import Job
from tools.training.fine_painter import KINDS

PACK = Path(__file__).parents[2] / "assets" / "pack"


# --- the stages ---------------------------------------------------------------------------------


def restored(work: Path) -> None:
    """Restore text encoder, tokenizer, painter and what is kept; other models take long."""
    stages = json.loads((PACK / "training.json").read_text(encoding="utf-8"))
    others = [
        work / f"{stage}.pt"
        for stage in stages
        if stage not in ("text", "joint", "encoder", "adapter")
    ]
    for path in others:
        path.touch()
    restore.train(Job(minutes=0, threads=1, work=work, out=PACK))
    for path in others:
        path.unlink()


def shrink(monkeypatch: pytest.MonkeyPatch, work: Path) -> None:
    """Make stages take seconds, in this process, and keep their models in a folder of work."""
    small, tall = (64, 64), (64, 80)
    for module in (drawings, fine_vae, fine_sharpener):
        monkeypatch.setattr(module, "TALL", tall)
    for module in (fine_vae, fine_decoder, fine_painter, fine_joint, fine_sharpener):
        monkeypatch.setattr(module, "SQUARE", small)
    values = {
        drawings: {"COUNT": 4, "CHUNK": 2},
        fine_vae: {"WIDTHS": (8, 8, 8, 16), "CROP": 32, "HELD_OUT": 4},
        fine_decoder: {"BATCH": 2, "CROP": 32, "HELD_OUT": 2},
        fine_sharpener: {"HELD_OUT": 2, "SIDE": 4},
        fine_latents: {
            "BUCKETS": {"square": small, "tall": tall, "wide": (80, 64)},
            "GOALS": {
                "square": {"flat": 2},
                "tall": {"close-up": 2, "whole": 2},
                "wide": {"wider": 2},
            },
            "CHUNK": 2,
        },
        fine_painter: {"BATCH": {"cpu": 2}, "SHOWN": 1},
        keep: {"KEPT": work / "kept"},
    }
    for module, settings in values.items():
        for name, value in settings.items():
            monkeypatch.setattr(module, name, value)
    monkeypatch.setattr("multiprocessing.get_context", lambda _kind: InThisProcess)


@pytest.fixture(scope="module")
def trained_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of work in which the stages of `fine` and the sharpener ran, with all latents."""
    work = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as monkeypatch:
        shrink(monkeypatch, work)
        (work / "kept").mkdir()
        restored(work)
        run(work, 0.02)
        job = Job(minutes=0.01, threads=1, work=work, out=PACK)
        fine_latents.train(replace(job, minutes=0))
        fine_sharpener.train(job)
        keep.train(job)
    return work


@pytest.fixture
def trained(trained_once: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the folder in which all stages ran."""
    shrink(monkeypatch, tmp_path)
    shutil.copytree(trained_once, tmp_path, dirs_exist_ok=True)
    return tmp_path


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of work with text encoder and today's painter, in which no stage ran."""
    shrink(monkeypatch, tmp_path)
    (tmp_path / "kept").mkdir()
    restored(tmp_path)
    return tmp_path


class InThisProcess:
    """Stands in for processes, which would not see the sizes that a test sets."""

    class Pool:
        """A pool whose work is done here."""

        map, imap = staticmethod(lambda do, tasks, chunksize=1: list(map(do, tasks))), map

        def __init__(self, _processes: int) -> None:
            """Start nothing."""

        def __enter__(self) -> InThisProcess.Pool:
            return self

        def __exit__(self, *_: object) -> None:
            """End nothing."""

        def terminate(self) -> None:
            """End nothing."""


def run(work: Path, minutes: float) -> None:
    train_pack.main(
        ["fine", "--minutes", str(minutes), "--threads", "1", "--work", str(work),
         "--out", str(PACK)]
    )  # fmt: skip


def steps(work: Path) -> list[int]:
    found = [path for name in keep.MODELS if (path := work / f"{name}.pt").exists()]
    return [int(torch.load(path, weights_only=True)["step"]) for path in found]


def test_one_command_trains_all_stages_which_go_on_where_they_ended(tiny: Path) -> None:
    run(tiny, 0.02)
    first = steps(tiny)
    assert min(first) > 0
    assert len(list((tiny / "drawings").glob("*.npy"))) == 2
    assert list((tiny / "fine_latents").glob("*.npz"))
    for sheet in ("fine_vae.png", "fine_decoder.png", "fine_painter.png", "fine_joint.png"):
        assert (tiny / sheet).stat().st_size > 0
    table = (tiny / "fine_vae.csv").read_text(encoding="utf-8").splitlines()
    assert len(table[-1].split(",")) == 5
    run(tiny, 0.02)
    *others, together = steps(tiny)
    assert others == first[:3]  # their time is over
    assert together > first[3]


def test_what_is_kept_is_restored_in_a_new_clone_and_loads_as_published_models_do(
    trained: Path,
) -> None:
    for name in ("fine_vae", "fine_decoder", "fine_sharpener"):
        AutoencoderKL.from_pretrained(keep.KEPT / name)
    for name in ("fine_painter", "fine_joint/unet"):
        UNet2DConditionModel.from_pretrained(keep.KEPT / name)
    ControlNetModel.from_pretrained(keep.KEPT / "fine_joint/controlnet")
    new = trained / "new"
    new.mkdir()
    restored(new)
    assert steps(new) == steps(trained)
    for name in keep.MODELS:
        kept = torch.load(new / f"{name}.pt", weights_only=True)["average"]
        made = torch.load(trained / f"{name}.pt", weights_only=True)["average"]
        for weight, value in kept.items():
            if not weight.startswith("critic."):  # no part of a published model
                torch.testing.assert_close(value, made[weight], rtol=1e-3, atol=1e-3)


def test_painter_and_controlnet_learn_together(trained: Path) -> None:
    job = Job(minutes=0, threads=1, work=trained, out=PACK)
    fine_latents.train(job)  # all kinds, with maps and without
    before = fine_joint.build(job).state_dict()
    fine_joint.train(Job(minutes=0.2, threads=1, work=trained, out=PACK))
    after = fine_joint.load(job).state_dict()
    assert all(not torch.equal(value, after[weight]) for weight, value in before.items())


def test_a_lora_learns_a_style_and_the_painter_stays_as_it_is(
    trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    goals = {"square": {"flat": 2, "ink": 2, "soft": 2}}
    monkeypatch.setattr(fine_latents, "GOALS", goals)
    fine_latents.train(Job(minutes=0, threads=1, work=trained, out=PACK))
    job = Job(minutes=0.05, threads=1, work=trained, out=PACK)
    fine_lora.train(job)
    for style in ("ink", "soft"):
        weights = fine_lora.load(job, style)
        assert all(weight.isfinite().all() for weight in weights.values())
        assert any(weight.any() for name, weight in weights.items() if "lora_B" in name)
        model = torch.load(trained / f"fine_lora-{style}.pt", weights_only=True)["model"]
        for name, value in fine_joint.unet(job).state_dict().items():
            layer, _, kind = name.rpartition(".")
            same = name if name in model else f"{layer}.base_layer.{kind}"
            torch.testing.assert_close(model[same], value)


def test_an_adapter_learns_with_its_encoder_and_the_painter_stays_as_it_is(trained: Path) -> None:
    job = Job(minutes=0.1, threads=1, work=trained, out=PACK)
    before = fine_adapter.build(job).state_dict()
    fine_adapter.train(job)
    after = fine_adapter.load(job).state_dict()
    moved = {name for name, value in before.items() if not torch.equal(value, after[name])}
    learned = [name for name in before if name.startswith("encoder.") or "_ip." in name]
    assert moved >= {name for name in learned if "position_ids" not in name}
    painter = fine_joint.unet(job).state_dict()
    assert not moved & {f"unet.{name}" for name in painter}
    for name, value in painter.items():
        torch.testing.assert_close(after[f"unet.{name}"], value)


def test_a_decoder_is_sharpened_and_its_encoder_stays_as_it_is(
    trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    job = Job(minutes=0.1, threads=1, work=trained, out=PACK)
    before = fine_sharpener.build(job).vae.state_dict()
    fine_sharpener.train(job)
    assert capsys.readouterr().out.count("fine_sharpener now") == 1
    after = fine_sharpener.load(job).state_dict()
    moved = {name for name, value in before.items() if not torch.equal(value, after[name])}
    still = {name for name in before if name.startswith(("encoder.", "quant_conv."))}
    assert not moved & still
    assert moved >= {"decoder.conv_in.weight", "decoder.conv_out.weight"}


def test_the_more_is_repainted_the_more_it_misses_the_drawing(tmp_path: Path) -> None:
    restore.train(Job(minutes=0, threads=1, work=tmp_path, out=PACK))
    repainter = fine_sharpener.Repainter(Job(minutes=0, threads=1, work=tmp_path, out=PACK))
    drawn = draw_seed(5, (96, 96), with_masks=False).image
    x = torch.from_numpy(drawn).permute(2, 0, 1)[None] / 127.5 - 1
    clean = repainter.vae.encode(x).latent_dist.mode()
    torch.manual_seed(0)
    off = [(repainter.latents(x, begin, 2) - clean).square().mean() for begin in (1, 100, 600)]
    assert off == sorted(off)
    assert off[0] < 0.01 * clean.square().mean()


@pytest.mark.parametrize("size", [(16, 16), (20, 24)])
def test_crops_of_drawings_and_of_latents_show_the_same_place(size: tuple[int, int]) -> None:
    z = torch.rand(2, 4, *size)
    x = z[:, :3].repeat_interleave(8, 2).repeat_interleave(8, 3)
    pictures, latents = fine_sharpener.crops(x, z, 5)
    assert pictures.shape == (5, 3, 128, 128)
    assert latents.shape == (5, 4, 16, 16)
    torch.testing.assert_close(pictures[:, :, ::8, ::8], latents[:, :3])


def test_only_along_skeletons_the_loss_weighs_more() -> None:
    maps = torch.zeros(2, 3, 64, 64)
    maps[:, 0, 20:28, 20] = 1.0
    weights = fine_joint.body_weight(maps, [True, False])
    assert weights.shape == (2, 1, 8, 8)
    assert weights[0, 0, 2:4, 2].tolist() == [3.0, 3.0]
    assert weights[0, 0, 6:].unique().tolist() == [1.0]
    assert weights[1].unique().tolist() == [1.0]
    assert fine_joint.body_weight(maps[:0], []).shape == (0, 1, 8, 8)


@pytest.mark.parametrize("stage", ["fine_vae", "fine_decoder", "fine_painter"])
def test_a_stage_says_which_one_has_to_come_before(tiny: Path, stage: str) -> None:
    with pytest.raises(FileNotFoundError, match=r"run the stage “(drawings|fine_latents)” first"):
        train_pack.main([stage, "--minutes", "0.001", "--work", str(tiny), "--out", str(PACK)])


def test_latents_are_those_of_the_lesson(trained: Path) -> None:
    job = Job(minutes=0, threads=1, work=trained, out=PACK)
    fine_latents.train(job)
    sizes = {"close-up": (10, 8), "flat": (8, 8), "whole": (10, 8), "wider": (8, 10)}
    assert {one.kind: tuple(one.goals.shape[-2:]) for one in fine_latents.load(job, KINDS)} == sizes
    for data in fine_latents.load(job, KINDS):
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


def test_latents_of_another_encoder_are_not_added_to(trained: Path) -> None:
    (trained / "fine_vae.pt").unlink()
    with pytest.raises(ValueError, match="another encoder's latents"):
        run(trained, 0.02)


@pytest.mark.parametrize(
    ("stage", "minutes", "expected"),
    [
        ("pose", 5.0, [("pose", 5.0)]),
        ("pose", None, [("pose", 70.0)]),
        ("fine", 10.0, [("drawings", 0.0), ("fine_vae", 1.0), ("fine_decoder", 1.0),
                        ("fine_latents", 3.0), ("fine_painter", 1.0), ("fine_joint", 4.0),
                        ("keep", 0.0)]),
    ],
)  # fmt: skip
def test_minutes_are_those_of_a_stage_and_are_shared_by_the_stages_of_fine(
    stage: str, minutes: float | None, expected: list[tuple[str, float]]
) -> None:
    assert train_pack.planned(stage, minutes) == expected


def test_all_leaves_out_what_makes_up_no_pack() -> None:
    stages = [stage for stage, _ in train_pack.planned("all", 1.0)]
    assert "painter" in stages
    assert not {"plain", "inpaint", *train_pack.FINE} & set(stages)


def test_a_patch_has_less_detail_blurred_and_as_much_elsewhere() -> None:
    x = torch.zeros(1, 3, 34, 34)
    x[..., 12] = 1.0
    moved, blurred = x.roll(2, dims=3), torch.nn.functional.avg_pool2d(x, 3, 1, 1)
    amount = fine_vae.detail(x)
    assert amount.shape == (1, 3, 4, 4)
    torch.testing.assert_close(fine_vae.detail(moved), amount)
    assert fine_vae.detail(blurred).sum() < 0.5 * amount.sum()
    assert fine_vae.detail(torch.ones(1, 3, 34, 34)).abs().max() == 0


# --- drawings -----------------------------------------------------------------------------------


def test_drawings_are_the_same_for_a_seed_and_some_are_parts_of_larger_ones() -> None:
    pictures = [drawings.drawing(seed) for seed in range(8)]
    assert {picture.shape for picture in pictures} == {(480, 384, 3)}
    np.testing.assert_array_equal(pictures[1], drawings.drawing(1))
    whole = [
        np.array_equal(picture, draw_seed(seed, (384, 480), False).image)
        for seed, picture in enumerate(pictures)
    ]
    assert 0 < sum(whole) < len(whole)
