"""The painter's stages at tiny size: what they need, settings, and a run of all of them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Collection
from pathlib import Path

import pytest
import torch

from tools import train_pack
from tools.training import (
    decoder,
    drawings,
    joint,
    latents,
    lessons,
    pair,
    plain,
    restore,
    sharpener,
    vae,
)
from tools.training.common import Job

PACK = Path(__file__).parents[2] / "assets" / "pack"
NEEDED = ("text", "encoder")  # by the painter's stages
STAGES = ("vae", "decoder", "painter", "joint", "sharpener", "lora-ink", "lora-soft", "adapter")
SMALL, TALL = (64, 64), (64, 80)
GOALS = {
    "square": {"flat": 2, "ink": 2, "soft": 2},
    "tall": {"close-up": 2, "whole": 2},
    "wide": {"wider": 2},
}


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


def shrink(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make stages take seconds, in this process."""
    for module in (drawings, vae):
        monkeypatch.setattr(module, "TALL", TALL)
    for module in (vae, decoder, lessons, joint, pair, plain, sharpener):
        monkeypatch.setattr(module, "SQUARE", SMALL)
    values = {
        drawings: {"COUNT": 4, "CHUNK": 2},
        vae: {"WIDTHS": (8, 8, 8, 16), "CROP": 32, "HELD_OUT": 4},
        decoder: {"BATCH": 2, "CROP": 32, "HELD_OUT": 2},
        sharpener: {"HELD_OUT": 2, "SIDE": 4},
        latents: {
            "BUCKETS": {"square": SMALL, "tall": TALL, "wide": (80, 64)},
            "GOALS": GOALS,
            "CHUNK": 2,
        },
        lessons: {"BATCH": {"cpu": 2}, "SHOWN": 1},
    }
    for module, settings in values.items():
        for name, value in settings.items():
            monkeypatch.setattr(module, name, value)
    monkeypatch.setattr("multiprocessing.get_context", lambda _kind: InThisProcess)


def restore_some(work: Path, stages: Collection[str] = NEEDED) -> None:
    """Restore checkpoints from the embedded pack, and no others, which take long."""
    history = json.loads((PACK / "training.json").read_text(encoding="utf-8"))
    others = [work / f"{stage}.pt" for stage in history if stage not in stages]
    for path in others:
        path.touch()
    restore.train(job_of(work))
    for path in others:
        path.unlink()


def job_of(work: Path, minutes: float = 0.0) -> Job:
    """Options of a stage, which trains so much further."""
    return Job(minutes=minutes, threads=1, work=work, out=PACK, further=True)


def run(work: Path, minutes: float) -> None:
    """Train all stages of the painter, and export into `work/pack`."""
    train_pack.main(
        ["painting", "--minutes", str(minutes), "--threads", "1", "--work", str(work),
         "--out", str(work / "pack")]
    )  # fmt: skip


def steps(work: Path) -> dict[str, int]:
    """The steps that each stage of the painter has made."""
    states = {name: torch.load(work / f"{name}.pt", weights_only=True) for name in STAGES}
    return {name: int(state["step"]) for name, state in states.items()}


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of work in which no stage of the painter ran."""
    shrink(monkeypatch)
    restore_some(tmp_path)
    return tmp_path


@pytest.fixture(scope="session")
def trained_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of work in which all stages of the painter ran, from nothing."""
    work = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as monkeypatch:
        shrink(monkeypatch)
        restore_some(work)
        run(work, 0.02)
    return work


@pytest.fixture
def trained(trained_once: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the folder in which all stages ran."""
    shrink(monkeypatch)
    shutil.copytree(trained_once, tmp_path, dirs_exist_ok=True)
    return tmp_path
