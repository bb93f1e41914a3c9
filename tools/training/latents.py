"""Precomputes latents for the painter's training, to save drawing and encoding in its steps."""

from __future__ import annotations

import multiprocessing
from collections.abc import Sequence

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from tools.portraits import draw, sample_spec, solo
from tools.training import vae as autoencoder
from tools.training.closeups import sample_close_up
from tools.training.common import SQUARE, TALL, Job, to_tensor
from tools.training.scenarios import sample_scenarios
from tools.training.wider import sample_wider

CLOSE_UP = "close-up"
WHOLE = "whole"  # goals of which nothing is kept
WIDER = "wider"  # goals of which a box is kept
GOALS_PER_BUCKET = {"flat": 5000, "ink": 800, "soft": 800, CLOSE_UP: 1200, WHOLE: 1600}
UPLOADS_PER_GOAL = 2
CHUNK = 200
Pixels = NDArray[np.uint8]
BUCKETS = {"square": SQUARE, "tall": TALL}
_FIRST_SEED = {"square": 0, "tall": 500_000}


def masked(image: Tensor, mask: Tensor) -> Tensor:
    """Masked image of an inpainting pipeline: the upload in -1..1, gray (0) where repainted."""
    return image * (mask < 0.5)


def lesson(
    kind: str, seed: int, size: tuple[int, int]
) -> tuple[Pixels, list[tuple[Pixels, Pixels]]]:
    """A goal, and uploads with their masks."""
    if kind == CLOSE_UP:
        return sample_close_up(seed, size, UPLOADS_PER_GOAL)
    if kind == WIDER:
        return sample_wider(seed, size, UPLOADS_PER_GOAL)
    if kind == WHOLE:
        drawn = draw(solo(sample_spec(seed)), size, with_masks=False).image
        return drawn, [(drawn, np.ones(drawn.shape[:2], np.uint8))]
    scenarios = sample_scenarios(seed, size, UPLOADS_PER_GOAL, kind)
    return scenarios[0].goal.image, [(one.upload, one.mask) for one in scenarios]


def _encode(job: Job, kind: str, bucket: str, first: int) -> dict[str, NDArray[np.generic]]:
    """Latents of `CHUNK` goals and their uploads, float16, and masks at latent size."""
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    model = autoencoder.load(job)
    goals, uploads, masks = [], [], []
    for seed in range(first, first + CHUNK):
        goal, pairs = lesson(kind, seed, BUCKETS[bucket])
        mask = torch.from_numpy(np.stack([mask for _, mask in pairs]))[:, None].float()
        shown = masked(to_tensor([upload for upload, _ in pairs]), mask)
        pictures = torch.cat([to_tensor([goal]), shown])
        with torch.no_grad():
            latents = model.encode(pictures).latent_dist.mode() * model.config.scaling_factor
        goals.append(latents[0].half().numpy())
        uploads.append(latents[1:].half().numpy())
        masks.append(F.interpolate(mask, size=latents.shape[-2:])[:, 0].byte().numpy())
    return {
        "seeds": np.arange(first, first + CHUNK),
        "goals": np.stack(goals),
        "uploads": np.stack(uploads),
        "masks": np.stack(masks),
    }


def _write(task: tuple[Job, str, str, int]) -> None:
    job, kind, bucket, first = task
    folder = job.work / "latents"
    path = folder / f"{kind}-{bucket}-{first}.npz"
    if not path.exists():
        partial = folder / f"{kind}-{bucket}-{first}.part.npz"
        np.savez(partial, **_encode(job, kind, bucket, first))
        partial.rename(path)
        print(f"latents {path.name}", flush=True)


def train(job: Job) -> None:
    """Compute the missing latents of every kind."""
    make(job, tuple(GOALS_PER_BUCKET))


def make(job: Job, kinds: Sequence[str]) -> None:
    """Compute the missing latents of these kinds, one process per thread."""
    (job.work / "latents").mkdir(exist_ok=True)
    tasks = [
        (job, kind, bucket, _FIRST_SEED[bucket] + k)
        for kind in kinds
        for k in range(0, GOALS_PER_BUCKET[kind], CHUNK)
        for bucket in BUCKETS
    ]
    with multiprocessing.get_context("spawn").Pool(job.threads) as pool:
        pool.map(_write, tasks, chunksize=1)


def load(job: Job, bucket: str, kind: str = "flat") -> dict[str, Tensor]:
    """All finished latents of a bucket and kind: seeds (n), goals (n, 4, h, w),
    uploads (n, k, 4, h, w), masks (n, k, h, w)."""
    paths = sorted(
        p for p in (job.work / "latents").glob(f"{kind}-{bucket}-*.npz") if ".part" not in p.name
    )
    shards = [np.load(path) for path in paths]
    return {name: torch.from_numpy(np.concatenate([s[name] for s in shards])) for name in shards[0]}
