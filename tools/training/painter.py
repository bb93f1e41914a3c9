"""Training of the painter's UNet alone, at 384 pixels, on the latents that `latents` made.

The UNet predicts the velocity. All noise levels are alike: if the high ones, which give the
composition, are taught more often, the low ones, which give the detail, stay unlearned at this
size.
"""

from __future__ import annotations

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor

from tools.training.common import Job, averaged
from tools.training.lessons import Lessons, write_paintings
from tools.training.pair import build_unet
from tools.training.resident import Resident

NAME = "painter"


def train(job: Job) -> None:
    """Train the UNet."""
    torch.manual_seed(0)
    trainer = Resident(job, NAME, build_unet(), lr=6e-4, decay=0.999)
    torch.manual_seed(trainer.step)
    lessons = Lessons(job)
    model = trainer.average

    def velocity(noisy: Tensor, extra: Tensor, when: Tensor, words: Tensor) -> Tensor:
        answer: Tensor = model(torch.cat([noisy, extra], 1), when, words).sample
        return answer

    def report() -> None:
        write_paintings(job, NAME, lessons, velocity)

    trainer.run(lambda: lessons.loss(trainer.model), report)


def load(job: Job) -> UNet2DConditionModel:
    """The trained UNet."""
    return averaged(job.work, NAME, build_unet())
