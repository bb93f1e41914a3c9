"""Training of the finer painter's ControlNet, for all controls, with the UNet frozen.

It begins with the weights of today's, which knows the maps, and learns them at twice the size.
"""

from __future__ import annotations

import numpy as np
import torch
from diffusers import ControlNetModel
from torch import Tensor

from tools.training import controlnet, fine_painter, joint
from tools.training.common import Job, averaged
from tools.training.fine import Resident
from tools.training.latents import WHOLE, WIDER

FLAT = ("flat", WHOLE, WIDER)  # kinds of goals whose maps can be drawn from their seeds alone
NAME = "fine_controlnet"


class MappedLessons(fine_painter.Lessons):
    """Batches in which every sample has a control map of some kind."""

    def __init__(self, job: Job, seed: int) -> None:
        """Load the latents of flat drawings; `seed` is that of the choice of maps."""
        super().__init__(job, FLAT)
        self._rng = np.random.default_rng(seed)

    def guided(self, model: controlnet.Controlled) -> Tensor:
        """Weighted squared error of the velocity on one batch with maps."""
        batch = self.sample()
        height, width = batch.noisy.shape[-2:]
        kinds = controlnet.kinds_of(len(batch.seeds), controlnet.SKELETONS, self._rng)
        maps = controlnet.maps_of(batch.seeds, kinds, (8 * width, 8 * height)).to(self.device)
        return batch.error(model(batch.noisy, batch.extra, batch.when, batch.words, maps))


def build(job: Job) -> controlnet.Controlled:
    """The finer painter with today's ControlNet."""
    model = controlnet.Controlled()
    model.unet.load_state_dict(fine_painter.load(job).state_dict())
    model.controlnet.load_state_dict(joint.load(job).controlnet.state_dict())
    return model


def train(job: Job) -> None:
    """Train the ControlNet."""
    torch.manual_seed(0)
    trainer = Resident(job, NAME, build(job), lr=6e-4)
    torch.manual_seed(trainer.step)
    lessons = MappedLessons(job, trainer.step + 8)
    trainer.run(lambda: lessons.guided(trainer.model), lambda: None)


def load(job: Job) -> ControlNetModel:
    """The trained ControlNet."""
    model: ControlNetModel = averaged(job.work, NAME, controlnet.Controlled()).controlnet
    return model
