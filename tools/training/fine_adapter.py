"""Training of the finer painter's IP-Adapter, together with its image encoder.

Both begin as today's, which know the pictures; see `adapter`. The UNet is frozen. The image prompt
is the goal or its head alone, and most captions are dropped.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from tools.portraits import HELD_OUT_SEED
from tools.training import adapter, fine_joint, fine_painter
from tools.training.adapter import CLOSE_UPS, UNCAPTIONED, UNSEEN, Seeing
from tools.training.common import Job, averaged
from tools.training.encoder import HEADS, pictures_of, shown, to_input
from tools.training.fine import Resident
from tools.training.latents import CLOSE_UP

NAME = "fine_adapter"


class SeenLessons(fine_painter.Lessons):
    """Batches with image prompts, mostly without captions."""

    dropout = UNCAPTIONED

    def __init__(self, job: Job, seed: int) -> None:
        """Load the latents; `seed` is that of the choice of image prompts."""
        super().__init__(job, ("flat", CLOSE_UP))
        self._rng = np.random.default_rng(seed)
        is_near = torch.tensor([one.kind == CLOSE_UP for one in self.data])
        for share, which in ((CLOSE_UPS, is_near), (1 - CLOSE_UPS, ~is_near)):
            self.shares[which] *= share / self.shares[which].sum()

    def seen(self, model: Seeing) -> Tensor:
        """Weighted squared error of the velocity on one batch."""
        batch = self.sample()
        pictures, _ = pictures_of(batch.seeds, self._rng, 1.0 if batch.kind == CLOSE_UP else HEADS)
        hidden = torch.from_numpy(self._rng.random((len(pictures), 1, 1, 1)) < UNSEEN)
        prompts = to_input(pictures).masked_fill(hidden, 0).to(self.device)
        return batch.error(model(batch.noisy, batch.extra, batch.when, batch.words, prompts))


def build(job: Job) -> Seeing:
    """The finer painter with today's adapter and encoder."""
    model = adapter.load(job)
    model.unet.load_state_dict(fine_joint.unet(job).state_dict(), strict=False)
    model.release()
    return model


def train(job: Job) -> None:
    """Train encoder and adapter."""
    torch.manual_seed(0)
    trainer = Resident(job, NAME, build(job), lr=3e-4)
    torch.manual_seed(trainer.step)
    lessons = SeenLessons(job, trainer.step + 10)
    trainer.run(lambda: lessons.seen(trainer.model), lambda: report(job, trainer, lessons))


def report(job: Job, trainer: Resident[Seeing], lessons: SeenLessons) -> None:
    """Write the painter's sheet, painted with the goals as image prompts."""
    pictures = to_input([shown(HELD_OUT_SEED + k, False) for k in range(fine_painter.SHOWN)])
    prompts = torch.cat([torch.zeros_like(pictures), pictures]).to(lessons.device)

    def velocity(noisy: Tensor, extra: Tensor, when: Tensor, words: Tensor) -> Tensor:
        answer: Tensor = trainer.average(noisy, extra, when, words, prompts)
        return answer

    fine_painter.report(job, NAME, lessons, velocity)


def load(job: Job) -> Seeing:
    """The trained adapter with its encoder, on the painter."""
    return averaged(job.work, NAME, build(job))
