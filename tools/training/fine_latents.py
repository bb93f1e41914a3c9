"""Precomputes latents for the finer painter: processes draw, the job's device encodes.

A file holds one kind of goals in one size. Kinds and sizes take turns, so that a part of all files
is a fair sample; with minutes given, the stage ends after them and goes on when started again.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from diffusers import AutoencoderKL
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from tools.training import fine_vae
from tools.training.common import Job, swift
from tools.training.drawings import to_floats
from tools.training.fine import SQUARE, is_gpu
from tools.training.latents import (
    CLOSE_UP,
    UPLOADS_PER_GOAL,
    WHOLE,
    WIDER,
    Pixels,
    lesson,
    masked,
)

BUCKETS = {"square": SQUARE, "tall": (336, 416), "wide": (512, 288), "high": (288, 512)}
_PORTRAITS = {"flat": 4800, "ink": 1200, "soft": 1200, CLOSE_UP: 1200, WHOLE: 1200}
# Goals of each size.
GOALS = {
    "square": _PORTRAITS,
    "tall": _PORTRAITS,
    "wide": {WIDER: 2000},
    "high": {WIDER: 2000},
}
CHUNK = 40
FOLDER = "fine_latents"
ARRAYS = ("seeds", "goals", "uploads", "masks")
_FIRST_SEED = {"square": 0, "wide": 200_000, "tall": 500_000, "high": 700_000}


@dataclass(frozen=True, kw_only=True)
class Chunk:
    """The goals of one file: kind, size, and the first of their seeds."""

    kind: str
    bucket: str
    first: int

    def path(self, job: Job) -> Path:
        """Its file."""
        return job.work / FOLDER / f"{self.kind}-{self.bucket}-{self.first}.npz"


Lessons = list[tuple[Pixels, list[tuple[Pixels, Pixels]]]]


def chunks() -> Iterator[Chunk]:
    """All files, kinds and sizes taking turns in proportion to their numbers."""
    found = [
        (first / count, Chunk(kind=kind, bucket=bucket, first=_FIRST_SEED[bucket] + first))
        for bucket, goals in GOALS.items()
        for kind, count in goals.items()
        for first in range(0, count, CHUNK)
    ]
    for _, chunk in sorted(found, key=lambda one: one[0]):
        yield chunk


def _draw(chunk: Chunk) -> tuple[Chunk, Lessons]:
    """The goals of a file with their uploads and masks."""
    cv2.setNumThreads(1)
    seeds = range(chunk.first, chunk.first + CHUNK)
    return chunk, [lesson(chunk.kind, seed, BUCKETS[chunk.bucket]) for seed in seeds]


def train(job: Job) -> None:
    """Compute the missing latents, or as many as the minutes allow."""
    torch.set_num_threads(job.threads)
    (job.work / FOLDER).mkdir(exist_ok=True)
    started = time.monotonic()
    vae = fine_vae.load(job).to(job.device, memory_format=torch.channels_last)
    _check_encoder(job, vae)
    missing = [chunk for chunk in chunks() if not chunk.path(job).exists()]
    with multiprocessing.get_context("spawn").Pool(job.threads) as pool:
        for chunk, lessons in pool.imap(_draw, missing):
            _save(job, chunk, encode(vae, lessons, job))
            print(f"fine_latents {chunk.path(job).name}", flush=True)
            if job.minutes and time.monotonic() - started > 60 * job.minutes:
                pool.terminate()
                break


def _check_encoder(job: Job, vae: AutoencoderKL) -> None:
    """Latents of two encoders are of no use together.

    Raises:
        ValueError: there are latents of another encoder.
    """
    weights = torch.cat([weight.detach().cpu().flatten() for weight in vae.encoder.parameters()])
    code = hashlib.blake2b(weights.half().numpy().tobytes(), digest_size=8).hexdigest()
    stamp = job.work / FOLDER / "encoder.txt"
    if stamp.exists() and stamp.read_text(encoding="utf-8") != code:
        raise ValueError(f"{stamp.parent} holds another encoder's latents: delete the folder.")
    stamp.write_text(code, encoding="utf-8")


def _save(job: Job, chunk: Chunk, arrays: dict[str, NDArray[np.generic]]) -> None:
    path = chunk.path(job)
    partial = path.with_suffix(".part.npz")
    np.savez(partial, seeds=np.arange(chunk.first, chunk.first + CHUNK), **arrays)
    partial.rename(path)


@torch.no_grad()
def encode(vae: AutoencoderKL, lessons: Lessons, job: Job) -> dict[str, NDArray[np.generic]]:
    """Latents of goals and of masked uploads, float16, and masks at the latents' size."""
    goals = to_floats(np.stack([goal for goal, _ in lessons]))
    pairs = [pair for _, pairs in lessons for pair in pairs]
    masks = torch.from_numpy(np.stack([mask for _, mask in pairs]))[:, None].float()
    uploads = masked(to_floats(np.stack([upload for upload, _ in pairs])), masks)
    latents = torch.cat([_latents(vae, part, job) for part in (goals, uploads)])
    small = F.interpolate(masks, size=latents.shape[-2:])[:, 0].byte()
    count = len(lessons)
    return {
        "goals": latents[:count].numpy(),
        "uploads": latents[count:].unflatten(0, (count, -1)).numpy(),
        "masks": small.unflatten(0, (count, -1)).numpy(),
    }


def _latents(vae: AutoencoderKL, pictures: Tensor, job: Job) -> Tensor:
    found = []
    for part in pictures.split(40 if is_gpu(job) else 1):
        placed = part.to(job.device, memory_format=torch.channels_last)
        with swift(torch.device(job.device)):
            latents = vae.encode(placed).latent_dist.mode()
        found.append((latents.float() * vae.config.scaling_factor).half().cpu())
    return torch.cat(found)


@dataclass(frozen=True, kw_only=True)
class Goals:
    """The latents of all goals of one kind and size.

    Attributes:
        kind: such as flat.
        seeds: (n).
        goals: (n, 4, h, w).
        uploads, masks: (n, k, 4, h, w) and (n, k, h, w); goals with one upload have it k times.
    """

    kind: str
    seeds: Tensor
    goals: Tensor
    uploads: Tensor
    masks: Tensor

    def to(self, device: torch.device) -> Goals:
        """The same on a device."""
        placed = {name: getattr(self, name).to(device) for name in ARRAYS}
        return Goals(kind=self.kind, **placed)


def load(job: Job, kinds: Sequence[str]) -> list[Goals]:
    """The finished latents of some kinds, an entry for each kind and size that has any.

    Raises:
        FileNotFoundError: there are none.
    """
    files: dict[str, list[Path]] = defaultdict(list)
    for path in sorted((job.work / FOLDER).glob("*.npz")):
        name = path.stem.rpartition("-")[0]
        if ".part" not in path.name and name.rpartition("-")[0] in kinds:
            files[name].append(path)
    if not files:
        raise FileNotFoundError(
            f"{job.work}/{FOLDER} is empty: run the stage “fine_latents” first."
        )
    return [_joined(name.rpartition("-")[0], paths) for name, paths in files.items()]


def _joined(kind: str, paths: Sequence[Path]) -> Goals:
    shards = [_shard(path) for path in paths]
    return Goals(kind=kind, **{name: torch.cat([one[name] for one in shards]) for name in ARRAYS})


def _shard(path: Path) -> dict[str, Tensor]:
    shard = {name: torch.from_numpy(array) for name, array in np.load(path).items()}
    for name in ("uploads", "masks"):
        if shard[name].shape[1] < UPLOADS_PER_GOAL:
            shard[name] = shard[name].repeat_interleave(UPLOADS_PER_GOAL, 1)
    return shard
