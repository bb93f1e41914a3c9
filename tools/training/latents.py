"""Precomputes latents for the painter: processes draw, the job's device encodes.

A file holds one kind of goals in one size. Kinds and sizes take turns, so that a part of all files
is a fair sample; with minutes given, the stage ends after them, once there is a file of each, and
goes on when started again.
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

from tools.portraits import draw, sample_spec, solo
from tools.training import vae as autoencoder
from tools.training.closeups import sample_close_up
from tools.training.common import SQUARE, Job, swift
from tools.training.drawings import to_floats
from tools.training.resident import is_gpu
from tools.training.scenarios import sample_scenarios
from tools.training.wider import sample_wider

CLOSE_UP = "close-up"
WHOLE = "whole"  # goals of which nothing is kept
WIDER = "wider"  # goals of which a box is kept
BUCKETS = {"square": SQUARE, "tall": (336, 416), "wide": (512, 288), "high": (288, 512)}
_PORTRAITS = {"flat": 4800, "ink": 1200, "soft": 1200, CLOSE_UP: 1200, WHOLE: 1200}
# Goals of each size.
GOALS = {
    "square": _PORTRAITS,
    "tall": _PORTRAITS,
    "wide": {WIDER: 2000},
    "high": {WIDER: 2000},
}
UPLOADS_PER_GOAL = 2
CHUNK = 40
FOLDER = "latents"
ARRAYS = ("seeds", "goals", "uploads", "masks")
_FIRST_SEED = {"square": 0, "wide": 200_000, "tall": 500_000, "high": 700_000}
Pixels = NDArray[np.uint8]
Lesson = tuple[Pixels, list[tuple[Pixels, Pixels]]]
"""A goal, and uploads with their masks (1 = repaint)."""


@dataclass(frozen=True, kw_only=True)
class Chunk:
    """The goals of one file: kind, size, and the first of their seeds."""

    kind: str
    bucket: str
    first: int

    @property
    def is_first(self) -> bool:
        """Whether it is the first file of its kind and size."""
        return self.first == _FIRST_SEED[self.bucket]

    def path(self, job: Job) -> Path:
        """Its file."""
        return job.work / FOLDER / f"{self.kind}-{self.bucket}-{self.first}.npz"


def masked(image: Tensor, mask: Tensor) -> Tensor:
    """Masked image of an inpainting pipeline: the upload in -1..1, gray (0) where repainted."""
    return image * (mask < 0.5)


def lesson(kind: str, seed: int, size: tuple[int, int]) -> Lesson:
    """The goal of a seed with its uploads and masks."""
    if kind == CLOSE_UP:
        return sample_close_up(seed, size, UPLOADS_PER_GOAL)
    if kind == WIDER:
        return sample_wider(seed, size, UPLOADS_PER_GOAL)
    if kind == WHOLE:
        drawn = draw(solo(sample_spec(seed)), size, with_masks=False).image
        return drawn, [(drawn, np.ones(drawn.shape[:2], np.uint8))]
    scenarios = sample_scenarios(seed, size, UPLOADS_PER_GOAL, kind)
    return scenarios[0].goal.image, [(one.upload, one.mask) for one in scenarios]


def chunks(kinds: Sequence[str] | None = None) -> Iterator[Chunk]:
    """The files of some kinds or of all; kinds and sizes take turns in proportion to numbers."""
    found = [
        (first / count, Chunk(kind=kind, bucket=bucket, first=_FIRST_SEED[bucket] + first))
        for bucket, goals in GOALS.items()
        for kind, count in goals.items()
        if kinds is None or kind in kinds
        for first in range(0, count, CHUNK)
    ]
    for _, chunk in sorted(found, key=lambda one: one[0]):
        yield chunk


def _draw(chunk: Chunk) -> tuple[Chunk, list[Lesson]]:
    """The goals of a file with their uploads and masks."""
    cv2.setNumThreads(1)
    seeds = range(chunk.first, chunk.first + CHUNK)
    return chunk, [lesson(chunk.kind, seed, BUCKETS[chunk.bucket]) for seed in seeds]


def train(job: Job) -> None:
    """Compute the missing latents of every kind, or as many as the minutes allow."""
    make(job, minutes=job.minutes)


def make(job: Job, kinds: Sequence[str] | None = None, minutes: float = 0.0) -> None:
    """Compute the missing latents of some kinds, or of all; with `minutes`, for so long only."""
    torch.set_num_threads(job.threads)
    (job.work / FOLDER).mkdir(exist_ok=True)
    started = time.monotonic()
    vae = autoencoder.load(job).to(job.device, memory_format=torch.channels_last)
    _check_encoder(job, vae)
    missing = [chunk for chunk in chunks(kinds) if not chunk.path(job).exists()]
    with multiprocessing.get_context("spawn").Pool(job.threads) as pool:
        for chunk, lessons in pool.imap(_draw, missing):
            is_over = minutes and time.monotonic() - started > 60 * minutes
            if is_over and not chunk.is_first:
                pool.terminate()
                break
            _save(job, chunk, encode(vae, lessons, job))
            print(f"{FOLDER} {chunk.path(job).name}", flush=True)


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
def encode(vae: AutoencoderKL, lessons: list[Lesson], job: Job) -> dict[str, NDArray[np.generic]]:
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
        raise FileNotFoundError(f"{job.work}/{FOLDER} is empty: run the stage “latents” first.")
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
