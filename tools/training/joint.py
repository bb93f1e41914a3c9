"""Training of the painter's UNet together with its ControlNet, for all controls.

They begin as the UNet that `painter` has trained and an untrained ControlNet. A ControlNet trained
alone is limited to what the frozen UNet can paint. The loss is weighted higher along skeletons,
because arms and shoulders are a small part of a picture.
"""

from __future__ import annotations

import numpy as np
import torch
from diffusers import UNet2DConditionModel
from torch import Tensor
from torch.nn import functional as F

from tools.training import painter
from tools.training.common import SQUARE, Job, averaged
from tools.training.control_maps import kinds_of, maps_of
from tools.training.lessons import FLAT, Lessons, shown_seeds, write_paintings
from tools.training.pair import Pair, pose_maps
from tools.training.resident import Resident

GUIDED = 0.75  # of a batch of flat goals
SKELETONS = 0.64  # of the guided
BODY_WEIGHT = 3.0  # loss weight along a skeleton, relative to the rest
NAME = "joint"


class GuidedLessons(Lessons):
    """Batches of which, where they are of flat goals, the first samples have a control map."""

    def __init__(self, job: Job, seed: int) -> None:
        """Load the latents; `seed` is that of the choice of maps."""
        super().__init__(job)
        self._rng = np.random.default_rng(seed)

    def guided(self, model: Pair) -> Tensor:
        """Weighted squared error of the velocity on one batch."""
        batch = self.sample()
        height, width = batch.noisy.shape[-2:]
        is_flat = batch.kind in FLAT
        guided = batch.seeds[: round(GUIDED * len(batch.seeds))] if is_flat else []
        kinds = kinds_of(len(guided), SKELETONS, self._rng)
        maps = torch.zeros(0, 3, 8 * height, 8 * width, device=self.device)
        if guided:
            maps = maps_of(guided, kinds, (8 * width, 8 * height)).to(self.device)
        body = torch.ones_like(batch.worth)
        body[: len(kinds)] = body_weight(maps, [kind == "pose" for kind in kinds])
        return batch._replace(worth=batch.worth * body).error(
            model(batch.noisy, batch.extra, batch.when, batch.words, maps)
        )


def body_weight(maps: Tensor, is_skeleton: list[bool]) -> Tensor:
    """Loss weights (n, 1, h, w) for maps (n, 3, 8h, 8w): higher along those that are skeletons."""
    bones = maps.amax(dim=1, keepdim=True)
    near = F.max_pool2d(F.max_pool2d(bones, 8), 3, stride=1, padding=1) > 0
    near &= torch.tensor(is_skeleton, dtype=torch.bool, device=maps.device)[:, None, None, None]
    return 1 + (BODY_WEIGHT - 1) * near.float()


def build(job: Job) -> Pair:
    """The trained UNet with an untrained ControlNet."""
    pair = Pair()
    pair.unet.load_state_dict(painter.load(job).state_dict())
    return pair


def train(job: Job) -> None:
    """Train UNet and ControlNet together."""
    torch.manual_seed(0)
    trainer = Resident(job, NAME, build(job), lr=2e-4, decay=0.999)
    torch.manual_seed(trainer.step)
    lessons = GuidedLessons(job, trainer.step + 8)
    trainer.run(lambda: lessons.guided(trainer.model), lambda: report(job, trainer, lessons))


def report(job: Job, trainer: Resident[Pair], lessons: GuidedLessons) -> None:
    """Write the painter's sheet, painted along the skeletons of the goals."""
    maps = pose_maps(shown_seeds(), SQUARE).repeat(2, 1, 1, 1).to(lessons.device)

    def velocity(noisy: Tensor, extra: Tensor, when: Tensor, words: Tensor) -> Tensor:
        answer: Tensor = trainer.average(noisy, extra, when, words, maps)
        return answer

    write_paintings(job, NAME, lessons, velocity)


def load(job: Job) -> Pair:
    """The trained UNet and ControlNet."""
    return averaged(job.work, NAME, Pair())


def unet(job: Job) -> UNet2DConditionModel:
    """The trained UNet."""
    return load(job).unet
