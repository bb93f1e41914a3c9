"""Draws the pictures that the autoencoder learns from, and keeps them on disk as pixels.

Drawing takes a fifth of the time of a lesson, and every drawing is seen many times.
"""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tools.portraits import HELD_OUT_SEED, draw_seed, sample_spec
from tools.training.common import TALL, Job

Pixels = NDArray[np.uint8]

COUNT, CHUNK = 2500, 50
NEAR = 0.25  # share of crops of drawings once to three times as large
HOLE = 0.15  # share of crops with gray in place of what is repainted, as an inpainting UNet sees
_FIRST = 200_000


def drawing(seed: int) -> Pixels:
    """The drawing of a seed, of the size `TALL`; some are parts of a larger one."""
    rng = np.random.default_rng((seed, 3))
    if rng.random() >= NEAR:
        return draw_seed(seed, TALL, with_masks=False).image
    scale = rng.uniform(1, 3)
    large = draw_seed(seed, (round(TALL[0] * scale), round(TALL[1] * scale)), False).image
    return crop(large, TALL, rng)


def crop(picture: Pixels, size: tuple[int, int], rng: np.random.Generator) -> Pixels:
    """A random part of a picture; `size` is (width, height)."""
    y, x = (int(rng.integers(picture.shape[k] - size[1 - k] + 1)) for k in (0, 1))
    return picture[y : y + size[1], x : x + size[0]]


def _write(task: tuple[Path, int]) -> None:
    folder, first = task
    path = folder / f"{first}.npy"
    if path.exists():
        return
    cv2.setNumThreads(1)
    partial = folder / f"{first}.part"
    with partial.open("wb") as file:
        np.save(file, np.stack([drawing(first + k) for k in range(CHUNK)]))
    partial.rename(path)
    print(f"drawings {path.name}", flush=True)


def train(job: Job) -> None:
    """Draw what is missing, one process per thread."""
    folder = job.work / "drawings"
    folder.mkdir(exist_ok=True)
    assert _FIRST + COUNT <= HELD_OUT_SEED
    tasks = [(folder, first) for first in range(_FIRST, _FIRST + COUNT, CHUNK)]
    with multiprocessing.get_context("spawn").Pool(job.threads) as pool:
        pool.map(_write, tasks, chunksize=1)


class Stock:
    """The drawings on disk, to be cut into crops."""

    def __init__(self, work: Path) -> None:
        """Open all finished files.

        Raises:
            FileNotFoundError: there are none.
        """
        paths = sorted((work / "drawings").glob("*.npy"))
        if not paths:
            raise FileNotFoundError(f"{work}/drawings is empty: run the stage “drawings” first.")
        self._files = {int(path.stem): np.load(path, mmap_mode="r") for path in paths}
        self._firsts = sorted(self._files)
        seeds = [first + k for first in self._firsts for k in range(len(self._files[first]))]
        flat = [sample_spec(seed).style == "flat" for seed in seeds]
        self._seeds = {
            is_flat: [seed for seed, one in zip(seeds, flat, strict=True) if one is is_flat]
            for is_flat in (True, False)
        }

    def batch(self, rng: np.random.Generator, count: int, size: tuple[int, int]) -> Tensor:
        """Random crops in -1..1, (count, 3, height, width), some mirrored, some with a hole."""
        return to_floats(np.stack([self._one(rng, size) for _ in range(count)]))

    def whole(self, rng: np.random.Generator, count: int, flat: bool) -> tuple[Tensor, list[int]]:
        """Random drawings in -1..1, (count, 3, height, width), and their seeds.

        They are in the flat style or in the others, where the stock has any of these.
        """
        known = self._seeds[flat] or self._seeds[not flat]
        seeds = [int(rng.choice(known)) for _ in range(count)]
        return to_floats(np.stack([self._drawing(seed) for seed in seeds])), seeds

    def _drawing(self, seed: int) -> Pixels:
        first = _FIRST + (seed - _FIRST) // CHUNK * CHUNK
        drawn: Pixels = self._files[first][seed - first]
        return drawn

    def _one(self, rng: np.random.Generator, size: tuple[int, int]) -> Pixels:
        file = self._files[self._firsts[rng.integers(len(self._firsts))]]
        part = crop(file[rng.integers(len(file))], size, rng)
        if rng.random() < 0.5:
            part = part[:, ::-1]
        return with_hole(part, rng) if rng.random() < HOLE else part


def to_floats(pictures: Pixels) -> Tensor:
    """uint8 pictures (n, h, w, 3) to floats in -1..1, (n, 3, h, w)."""
    return torch.from_numpy(np.ascontiguousarray(pictures)).permute(0, 3, 1, 2).float() / 127.5 - 1


def with_hole(picture: Pixels, rng: np.random.Generator) -> Pixels:
    """The picture, gray inside or outside an ellipse."""
    height, width = picture.shape[:2]
    y, x = np.mgrid[:height, :width]
    centre = rng.uniform(0, 1, 2) * (width, height)
    radii = rng.uniform(0.2, 0.7, 2) * (width, height)
    inside = ((x - centre[0]) / radii[0]) ** 2 + ((y - centre[1]) / radii[1]) ** 2 < 1
    return np.where((inside if rng.random() < 0.5 else ~inside)[..., None], np.uint8(128), picture)
