"""Training of an inpaint ControlNet for the 4-channel UNet of `plain`, which stays frozen.

No part of the pack: `tools/measure_inpainting.py` compares ways of inpainting with it. Its map is
the drawing in 0–1, with -1 where it is repainted, as of control_v11p_sd15_inpaint (Zhang, Rao and
Agrawala 2023); half of the masks are random shapes, the others follow the person. It starts from
the pack's ControlNet, which has learned to read pictures of several kinds.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from tools.portraits import draw, sample_spec, solo
from tools.training import joint, plain
from tools.training.common import Job, averaged
from tools.training.pair import Pair
from tools.training.plain import PlainLessons
from tools.training.resident import Resident
from tools.training.scenarios import sample_mask

HIDDEN = -1.0  # of the map where it is repainted
NAME = "inpaint"


class Inpainted(Pair):
    """The 4-channel UNet, frozen, with a trainable ControlNet."""

    def __init__(self) -> None:
        """Build both, untrained."""
        super().__init__()
        self.unet = plain.build_unet()
        self.unet.requires_grad_(False)

    def train(self, mode: bool = True) -> Inpainted:
        """Set the mode of the ControlNet; the UNet stays in evaluation mode."""
        super().train(mode)
        self.unet.eval()
        return self

    def forward(
        self, noisy: Tensor, extra: Tensor, when: Tensor, words: Tensor, poses: Tensor
    ) -> Tensor:
        """Velocity (n, 4, h, w); of mask and masked latents, `extra`, nothing is seen."""
        return super().forward(noisy, extra[:, :0], when, words, poses)


def build(job: Job) -> Inpainted:
    """The fine-tuned 4-channel UNet with the pack's ControlNet."""
    model = Inpainted()
    model.unet.load_state_dict(plain.load(job).state_dict())
    model.controlnet.load_state_dict(joint.load(job).controlnet.state_dict())
    return model


def map_of(seed: int, size: tuple[int, int], rng: np.random.Generator) -> Tensor:
    """A drawing in 0–1 with `HIDDEN` under a random mask: (3, height, width)."""
    drawn = draw(solo(sample_spec(seed)), size)
    picture = torch.from_numpy(drawn.image).permute(2, 0, 1).float() / 255
    mask = torch.from_numpy(sample_mask(drawn, rng))
    return picture.masked_fill(mask, HIDDEN)


class InpaintLessons(PlainLessons):
    """Batches in which every sample has a drawing with a hidden part as control map."""

    def __init__(self, job: Job, seed: int) -> None:
        """Load the latents; `seed` is that of the choice of hidden parts."""
        super().__init__(job)
        self._rng = np.random.default_rng(seed)

    def mapped(self, model: Inpainted) -> Tensor:
        """Squared error of the velocity on one batch."""
        batch = self.sample()
        height, width = batch.noisy.shape[-2:]
        size = (8 * width, 8 * height)
        maps = torch.stack([map_of(seed, size, self._rng) for seed in batch.seeds])
        return batch.error(
            model(batch.noisy, batch.extra, batch.when, batch.words, maps.to(self.device))
        )


def train(job: Job) -> None:
    """Train the ControlNet on drawings."""
    torch.manual_seed(0)
    trainer = Resident(job, NAME, build(job), lr=6e-4)
    torch.manual_seed(trainer.step)
    lessons = InpaintLessons(job, trainer.step + 23)
    trainer.run(lambda: lessons.mapped(trainer.model), lambda: None)
    save(job, job.work / "inpainting")


def save(job: Job, folder: Path) -> None:
    """Write the 4-channel UNet and the ControlNet as model folders."""
    model: Inpainted = averaged(job.work, NAME, Inpainted())
    model.unet.half().save_pretrained(folder / "unet")
    model.controlnet.half().save_pretrained(folder / "controlnet")
