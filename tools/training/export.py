"""Exports the averaged weights as model folders for `from_pretrained`."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from diffusers import StableDiffusionInpaintPipeline

from tools.training import (
    adapter,
    depth,
    enlarger,
    joint,
    lora,
    pair,
    parser,
    pose,
    rooms,
    segmenter,
    sharpener,
    text,
)  # fmt: skip
from tools.training import tokenizer as tokens
from tools.training.common import Job

STAGES = (
    "text",
    "vae",
    "decoder",
    "sharpener",
    "segmenter",
    "parser",
    "pose",
    "depth",
    "rooms",
    "painter",
    "joint",
    "encoder",
    "adapter",
    "lora-ink",
    "lora-soft",
    "enlarger",
)


def _segmenter(job: Job, folder: Path) -> None:
    segmenter.load(job).half().save_pretrained(folder)
    segmenter.build_processor(tokens.load(job)).save_pretrained(folder)


def _pose(job: Job, folder: Path) -> None:
    pose.load(job).half().save_pretrained(folder)
    pose.build_processor().save_pretrained(folder)


def _depth(job: Job, folder: Path) -> None:
    depth.load(job).half().save_pretrained(folder)
    depth.build_processor().save_pretrained(folder)


def _rooms(job: Job, folder: Path) -> None:
    rooms.load(job).half().save_pretrained(folder)
    rooms.build_processor().save_pretrained(folder)


def _enlarger(job: Job, folder: Path) -> None:
    enlarger.load(job).half().save_pretrained(folder)
    enlarger.build_processor().save_pretrained(folder)


def _painter(job: Job) -> None:
    trained = joint.load(job)
    trained.controlnet.half().save_pretrained(job.out / "controlnet")
    pipeline = StableDiffusionInpaintPipeline(
        vae=sharpener.load(job).half(),
        text_encoder=text.load(job).half(),
        tokenizer=tokens.load(job),
        unet=trained.unet.half(),
        scheduler=pair.build_scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.save_pretrained(job.out / "painter")


def _lora(job: Job, style: str) -> None:
    StableDiffusionInpaintPipeline.save_lora_weights(
        job.out / f"lora-{style}", unet_lora_layers=lora.load(job, style)
    )


def _history(job: Job) -> dict[str, dict[str, float]]:
    """Steps and minutes that each stage has been trained for."""
    history = {}
    for path in sorted(job.work.glob("*.pt")):
        if path.stem in STAGES:
            state = torch.load(path, map_location="cpu", weights_only=True)
            minutes = round(state["seconds"] / 60, 1)
            history[path.stem] = {"steps": state["step"], "minutes": minutes}
    return history


def train(job: Job) -> None:
    """Export every model that has a checkpoint; replaces existing folders."""
    torch.set_num_threads(job.threads)
    exports = {
        "segmenter": lambda: _segmenter(job, job.out / "segmenter"),
        "parser": lambda: parser.save(job),
        "pose": lambda: _pose(job, job.out / "pose"),
        "enlarger": lambda: _enlarger(job, job.out / "enlarger"),
        "depth": lambda: _depth(job, job.out / "depth"),
        "rooms": lambda: _rooms(job, job.out / "rooms"),
        "joint": lambda: _painter(job),
        "adapter": lambda: adapter.save(adapter.load(job), job.out / "ip-adapter"),
        "lora-ink": lambda: _lora(job, "ink"),
        "lora-soft": lambda: _lora(job, "soft"),
    }
    for name, write in exports.items():
        if (job.work / f"{name}.pt").exists():
            write()
            print(f"exported {name}")
    history = json.dumps(_history(job), indent=2)
    (job.out / "training.json").write_text(history + "\n", encoding="utf-8")
    size = sum(p.stat().st_size for p in job.out.rglob("*") if p.is_file())
    print(f"pack: {size / 1e6:.1f} MB")
