"""Training of the evaluation's classifiers of scene and drawing style, on drawings.

They are applied to pictures that a small model painted, with a kept head that is not to be judged.
So the drawings for training have a hidden head and are augmented: passed through the autoencoder
with noise on the latents, blurred, noisy or shifted in colour.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
from diffusers import AutoencoderKL
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from tools.evaluation.judge import CLASSES, SIDE, Judge, to_input
from tools.portraits import HELD_OUT_SEED, PortraitSpec, draw, sample_spec
from tools.training import sharpener
from tools.training.common import SQUARE, TALL, Job, Trainer
from tools.training.vae import repainted

Pixels = NDArray[np.uint8]

GROUP = 8  # pictures of one size that are drawn together
BATCH = 32
REPAINTED = 0.5  # share of the pictures that went through the autoencoder
PARTS = {"scene": 144, "style": 128}
"""Side of the crops for training, out of 160 pixels."""
OVERLOOKED = {"scene": (0.08, 0.8), "style": (0.015, 0.5)}
"""Most pixel noise and blur (in pixels) of the augmentation; some belong to a style."""
TEST_SEED = HELD_OUT_SEED + 20_000
TESTED = 600


def _drawings(seeds: list[int], size: tuple[int, int]) -> tuple[list[PortraitSpec], list[Pixels]]:
    """Drawings with, in half of them, the main person's head hidden."""
    specs, pictures = [], []
    for seed in seeds:
        spec = sample_spec(seed)
        hide = seed % 2 == 0
        portrait = draw(spec, size, with_masks=hide)
        image = portrait.image
        if hide:
            reach = 4 * (seed % 5) + 1
            head = cv2.dilate(portrait.masks["head"].astype(np.uint8), np.ones((reach, reach)))
            image = np.where(head[..., None] > 0, np.uint8(128), image)
        specs.append(spec)
        pictures.append(image)
    return specs, pictures


def _jitter(x: Tensor, noise: float, blur: float, rng: np.random.Generator) -> Tensor:
    """Colour cast, contrast, blur and pixel noise on one picture (3, h, w) in -1..1."""
    if rng.random() < 0.5:
        x = x * rng.uniform(0.8, 1.15) + torch.from_numpy(rng.normal(0, 0.07, (3, 1, 1))).float()
    if rng.random() < 0.3:
        blurred = cv2.GaussianBlur(x.permute(1, 2, 0).numpy(), (0, 0), rng.uniform(0.2, blur))
        x = torch.from_numpy(blurred).permute(2, 0, 1)
    if rng.random() < 0.3:
        x = x + rng.uniform(0, noise) * torch.randn_like(x)
    return x


class Pool:
    """Pool of drawn pictures, each used many times, because drawing takes longer than training."""

    def __init__(self, vae: AutoencoderKL, name: str, seed: int) -> None:
        """Start empty; `name` is the judge's."""
        self._vae, self._part, self._overlooked = vae, PARTS[name], OVERLOOKED[name]
        self._rng = np.random.default_rng(seed)
        self._specs: list[PortraitSpec] = []
        self._inputs: list[Tensor] = []

    @property
    def is_empty(self) -> bool:
        """Whether the pool has no pictures yet."""
        return not self._inputs

    def grow(self) -> None:
        """Add drawings of one size, often as they come out of the autoencoder."""
        size = SQUARE if self._rng.random() < 0.5 else TALL
        seeds = self._rng.integers(HELD_OUT_SEED, size=GROUP).tolist()
        specs, pictures = _drawings(seeds, size)
        if self._rng.random() < REPAINTED:
            pictures = repainted(self._vae, pictures, self._rng.uniform(0, 0.25))
        self._specs += specs
        self._inputs += [to_input(picture) for picture in pictures]

    def batch(self) -> tuple[list[PortraitSpec], Tensor]:
        """Specs of some pictures, and the augmented pictures as a judge's input."""
        chosen = self._rng.integers(len(self._specs), size=BATCH).tolist()
        inputs = [_jitter(self._cut(self._inputs[k]), *self._overlooked, self._rng) for k in chosen]
        flipped = [x.flip(2) if self._rng.random() < 0.5 else x for x in inputs]
        return [self._specs[k] for k in chosen], torch.stack(flipped)

    def _cut(self, x: Tensor) -> Tensor:
        top, left = self._rng.integers(SIDE - self._part + 1, size=2)
        return x[:, top : top + self._part, left : left + self._part]


def accuracy(judge: Judge, name: str, vae: AutoencoderKL | None, count: int) -> float:
    """Accuracy on held-out drawings, passed through `vae` if given."""
    right: list[bool] = []
    for first in range(TEST_SEED, TEST_SEED + count, GROUP):
        specs, pictures = _drawings(list(range(first, first + GROUP)), TALL)
        if vae is not None:
            pictures = repainted(vae, pictures, 0.0)
        for spec, picture in zip(specs, pictures, strict=True):
            right.append(judge.judge(picture) == getattr(spec, name))
    return sum(right) / len(right)


def _train_one(job: Job, name: str) -> None:
    torch.manual_seed(0)
    vae = sharpener.load(job)
    trainer = Trainer(job, f"judge-{name}", Judge(CLASSES[name]), lr=2e-3, decay=0.99)
    pool = Pool(vae, name, trainer.step + 9)

    def loss_of() -> Tensor:
        if trainer.step % 2 == 0 or pool.is_empty:
            pool.grow()
        specs, pictures = pool.batch()
        labels = torch.tensor([CLASSES[name].index(getattr(spec, name)) for spec in specs])
        return F.cross_entropy(trainer.model(pictures), labels)

    trainer.run(loss_of, lambda: None)
    notes = {
        "held-out accuracy": f"{accuracy(trainer.average, name, None, TESTED):.4f}",
        "held-out accuracy after the autoencoder": (
            f"{accuracy(trainer.average, name, vae, TESTED // 2):.4f}"
        ),
        "steps": str(trainer.step),
    }
    print(f"judge of {name}:", notes, flush=True)
    trainer.average.save(name, notes)


def train(job: Job) -> None:
    """Train both judges, `job.minutes` each, and write them beside the tools that use them."""
    for name in CLASSES:
        _train_one(job, name)
