"""Joint fine-tuning of UNet and ControlNet, with maps of every kind.

A ControlNet trained alone is limited to what the frozen UNet can paint. The loss is weighted higher
along the skeleton, because arms and shoulders are a small part of a picture. Some batches are
close-ups of faces, for the stages that repaint a face.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from tools.training import controlnet, latents
from tools.training.common import Job, Trainer, averaged
from tools.training.painter import Lessons, Pair, mixed_loss, pose_maps, report

GUIDED = 18  # samples of a batch with a control map
CLOSE_UPS = 0.3  # of the batches
BODY_WEIGHT = 3.0  # loss weight along the skeleton, relative to the rest


class JointLessons(controlnet.MappedLessons):
    """Batches of which three quarters have a control map, most of them a skeleton."""

    skeletons = 0.64

    def maps(self, seeds: Tensor, bucket: str) -> Tensor:
        """Maps of the first samples."""
        return super().maps(seeds[:GUIDED], bucket)

    def worth(self, seeds: Tensor, bucket: str) -> Tensor:
        """Loss weights, higher along the skeleton."""
        bones = pose_maps(seeds.tolist(), latents.BUCKETS[bucket]).amax(dim=1, keepdim=True)
        body = F.max_pool2d(F.max_pool2d(bones, 8), 3, stride=1, padding=1) > 0
        return 1 + (BODY_WEIGHT - 1) * body.float()


class FaceLessons(Lessons):
    """Batches of close-ups of faces, without control maps."""

    def maps(self, seeds: Tensor, bucket: str) -> Tensor:  # noqa: ARG002, none for anybody
        """No maps."""
        return torch.zeros(0, 3, *latents.BUCKETS[bucket])


def build(job: Job) -> Pair:
    """The painter's UNet with the ControlNet of all kinds of maps."""
    pair = averaged(job.work, "painter", Pair())
    pair.controlnet = controlnet.load(job)
    return pair


def train(job: Job) -> None:
    """Train UNet and ControlNet together."""
    torch.manual_seed(0)
    model = build(job).requires_grad_(True)
    trainer = Trainer(job, "joint", model, lr=5e-4, decay=0.998, half=True)
    torch.manual_seed(trainer.step)
    whole = JointLessons(job, trainer.step + 16)
    faces = FaceLessons(job, trainer.step + 18, latents.CLOSE_UP)
    trainer.run(
        lambda: mixed_loss(trainer.model, whole, faces, CLOSE_UPS),
        lambda: report(job, trainer, whole),
    )


def load(job: Job) -> Pair:
    """The painter as exported."""
    return averaged(job.work, "joint", Pair())
