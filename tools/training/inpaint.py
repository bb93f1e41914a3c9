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
from tools.training import latents, plain
from tools.training.common import Job, Trainer, averaged
from tools.training.painter import Lessons
from tools.training.scenarios import sample_mask

HIDDEN = -1.0  # of the map where it is repainted


class Inpainted(plain.Plain):
    """The painter with the 4-channel UNet frozen and the ControlNet trainable."""

    def __init__(self) -> None:
        """Build both, untrained."""
        super().__init__()
        self.unet.requires_grad_(False)
        self.controlnet.requires_grad_(True)

    def train(self, mode: bool = True) -> Inpainted:
        """Set the mode of the ControlNet; the UNet stays in evaluation mode."""
        super().train(mode)
        self.unet.eval()
        return self


def build(job: Job) -> Inpainted:
    """The fine-tuned 4-channel UNet with the pack's ControlNet."""
    model = Inpainted()
    model.load_state_dict(plain.load(job).state_dict())
    return model


def map_of(seed: int, size: tuple[int, int], rng: np.random.Generator) -> Tensor:
    """A drawing in 0–1 with `HIDDEN` under a random mask: (3, height, width)."""
    drawn = draw(solo(sample_spec(seed)), size)
    picture = torch.from_numpy(drawn.image).permute(2, 0, 1).float() / 255
    mask = torch.from_numpy(sample_mask(drawn, rng))
    return picture.masked_fill(mask, HIDDEN)


class InpaintLessons(Lessons):
    """Batches in which every sample has a drawing with a hidden part as control map."""

    def maps(self, seeds: Tensor, bucket: str) -> Tensor:
        """Drawings with hidden parts."""
        size = latents.BUCKETS[bucket]
        return torch.stack([map_of(seed, size, self.rng) for seed in seeds.tolist()])


def train(job: Job) -> None:
    """Train the ControlNet on the latents that `plain` made."""
    latents.make(job, [latents.WHOLE])
    torch.manual_seed(0)
    trainer = Trainer(job, "inpaint", build(job), lr=6e-4, decay=0.998, half=True)
    torch.manual_seed(trainer.step)
    lessons = InpaintLessons(job, trainer.step + 23, latents.WHOLE)
    trainer.run(lambda: lessons.loss(trainer.model), lambda: None)
    save(job, job.work / "inpainting")


def save(job: Job, folder: Path) -> None:
    """Write the 4-channel UNet and the ControlNet as model folders."""
    model: Inpainted = averaged(job.work, "inpaint", Inpainted())
    model.unet.half().save_pretrained(folder / "unet")
    model.controlnet.half().save_pretrained(folder / "controlnet")
