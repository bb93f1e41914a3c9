"""Tests of `tools/train_pack.py`: the order of stages, minutes, and a run of the painter's."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKL, ControlNetModel, UNet2DConditionModel

from tests.support.tiny_training import STAGES, run, steps
from tools import train_pack
from tools.train_pack import PAINTING, STAGE_MINUTES
from tools.training import restore
from tools.training.common import Job
from tools.training.lora import STYLES


def test_one_command_trains_the_painters_stages_from_nothing_and_each_of_them_further(
    trained: Path,
) -> None:
    first = steps(trained)
    assert min(first.values()) > 0
    assert len(list((trained / "drawings").glob("*.npy"))) == 2
    assert list((trained / "latents").glob("*.npz"))
    for stage in STAGES:
        assert (trained / f"{stage}.png").stat().st_size > 0
    table = (trained / "vae.csv").read_text(encoding="utf-8").splitlines()
    assert len(table[-1].split(",")) == 5
    run(trained, 0.02)
    assert [name for name, count in steps(trained).items() if count <= first[name]] == []


def test_what_is_exported_loads_as_published_models_do_and_is_restored(trained: Path) -> None:
    pack, new = trained / "pack", trained / "new"
    AutoencoderKL.from_pretrained(pack / "painter/vae")
    UNet2DConditionModel.from_pretrained(pack / "painter/unet")
    ControlNetModel.from_pretrained(pack / "controlnet")
    new.mkdir()
    restore.train(Job(minutes=0, threads=1, work=new, out=pack))
    assert steps(new) == steps(trained)
    last = {"vae": "sharpener", "decoder": "sharpener", "painter": "joint"}  # that is exported
    for stage in STAGES:
        made, restored = (
            torch.load(path, weights_only=True)["average"]
            for path in (trained / f"{last.get(stage, stage)}.pt", new / f"{stage}.pt")
        )
        for name, value in restored.items():
            if not name.startswith(("critic.", "controlnet.")) or stage == "joint":
                same = made[f"unet.{name}" if stage == "painter" else name]
                torch.testing.assert_close(value, same, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("stage", ["vae", "decoder", "painter"])
def test_a_stage_says_which_one_has_to_come_before(tiny: Path, stage: str) -> None:
    with pytest.raises(FileNotFoundError, match=r"run the stage “(drawings|latents)” first"):
        train_pack.main([stage, "--minutes", "0.001", "--work", str(tiny)])


def test_latents_of_another_encoder_are_not_added_to(trained: Path) -> None:
    (trained / "vae.pt").unlink()
    with pytest.raises(ValueError, match="another encoder's latents"):
        run(trained, 0.02)


@pytest.mark.parametrize(
    ("stage", "minutes", "expected"),
    [
        ("pose", 5.0, [("pose", 5.0)]),
        ("pose", None, [("pose", 70.0)]),
        ("painting", 100.0, [("drawings", 0.0), ("vae", 8.0), ("decoder", 6.0), ("latents", 24.0),
                             ("painter", 16.0), ("joint", 28.0), ("sharpener", 6.0),
                             ("lora", 3.0), ("adapter", 6.0), ("export", 0.0)]),
    ],
)  # fmt: skip
def test_minutes_are_those_of_a_stage_and_are_shared_by_the_stages_of_the_painter(
    stage: str, minutes: float | None, expected: list[tuple[str, float]]
) -> None:
    planned = train_pack.planned(stage, minutes)
    assert [name for name, _ in planned] == [name for name, _ in expected]
    assert [one for _, one in planned] == pytest.approx([one for _, one in expected])


def test_the_shares_of_the_painters_stages_make_up_a_whole() -> None:
    counts = {"lora": len(STYLES)}
    assert sum(share * counts.get(one, 1) for one, share in PAINTING.items()) == pytest.approx(1)


def test_all_leaves_out_what_makes_up_no_pack_and_has_the_painters_stages_in_their_order() -> None:
    planned = train_pack.planned("all", 1.0)
    assert {minutes for _, minutes in planned} == {1.0}
    stages = [stage for stage, _ in planned]
    assert set(STAGE_MINUTES) - set(stages) == {"plain", "inpaint"}
    assert [stage for stage in stages if stage in PAINTING] == list(PAINTING)
