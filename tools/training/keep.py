"""Keeps the finer painter's models in the repository until they make up a pack.

Model folders for `from_pretrained` in float16, from which `restore` makes checkpoints again.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import torch
from diffusers import ModelMixin

from tools.training import fine_decoder, fine_joint, fine_painter, fine_sharpener, fine_vae
from tools.training.common import Job

KEPT = Path(__file__).parent / "checkpoints"
HISTORY = "training.json"
# Folders, by the stage that they are of, and what loads a stage's models from its checkpoint.
MODELS: dict[str, dict[str, Callable[[Job], ModelMixin]]] = {
    fine_vae.NAME: {"": fine_vae.load},
    fine_decoder.NAME: {"": fine_decoder.load},
    fine_painter.NAME: {"": fine_painter.load},
    fine_joint.NAME: {"unet": fine_joint.unet, "controlnet": fine_joint.control},
    fine_sharpener.NAME: {"": fine_sharpener.load},
}


def train(job: Job) -> None:
    """Write the models that have a checkpoint, with their steps and minutes."""
    torch.set_num_threads(job.threads)
    history = trained(KEPT)
    for stage, models in MODELS.items():
        path = job.work / f"{stage}.pt"
        if path.exists():
            for folder, load in models.items():
                load(job).half().save_pretrained(KEPT / stage / folder)
            state = torch.load(path, map_location="cpu", weights_only=True)
            history[stage] = {"steps": state["step"], "minutes": round(state["seconds"] / 60, 1)}
            print(f"kept {stage}")
    text = json.dumps(history, indent=2) + "\n"
    (KEPT / HISTORY).write_text(text, encoding="utf-8")


def trained(folder: Path) -> dict[str, dict[str, float]]:
    """Steps and minutes of each kept model."""
    path = folder / HISTORY
    kept: dict[str, dict[str, float]] = {}
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else kept
