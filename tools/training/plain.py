"""Training of a 4-channel UNet, which sees neither mask nor photo, from the pack's 9-channel one.

No part of the pack: `tools/measure_inpainting.py` compares ways of inpainting with it. It starts as
the 9-channel UNet when that repaints everything: mask and gray picture are then the same for every
photo, so what they add to the first convolution is a constant, and goes into its bias.
"""

from __future__ import annotations

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import Tensor

from tools.training import joint, latents
from tools.training import vae as autoencoder
from tools.training.common import SQUARE, Job, Trainer, averaged
from tools.training.painter import Lessons, Pair, report

KNOWN = 4  # channels of the noisy latents, which come first


class Plain(Pair):
    """The painter with a trainable 4-channel UNet and a frozen ControlNet."""

    def __init__(self) -> None:
        """Build both, untrained."""
        super().__init__()
        config = {**self.unet.config, "in_channels": KNOWN}
        self.unet = UNet2DConditionModel.from_config(config)
        self.controlnet.requires_grad_(False)

    def forward(
        self, noisy: Tensor, extra: Tensor, when: Tensor, words: Tensor, poses: Tensor
    ) -> Tensor:
        """Velocity (n, 4, h, w); of mask and masked latents, `extra`, nothing is seen."""
        return super().forward(noisy, extra[:, :0], when, words, poses)


@torch.no_grad()
def repainting_everything(unet: UNet2DConditionModel, vae: AutoencoderKL) -> dict[str, Tensor]:
    """Weights of a 4-channel UNet that paints as this 9-channel one where nothing is kept.

    Equal but for the outermost latents, where the convolution's padding is zero.
    """
    gray = vae.encode(torch.zeros(1, 3, SQUARE[1], SQUARE[0])).latent_dist.mode()
    held = gray.mean((0, 2, 3)) * vae.config.scaling_factor
    constant = torch.cat([torch.ones(1), held])
    weights = unet.state_dict()
    whole = weights["conv_in.weight"]
    weights["conv_in.weight"] = whole[:, :KNOWN].clone()
    weights["conv_in.bias"] = weights["conv_in.bias"] + whole[:, KNOWN:].sum((2, 3)) @ constant
    return weights


def build(job: Job) -> Plain:
    """The trained painter with a 4-channel UNet that is not yet fine-tuned."""
    pair, model = joint.load(job), Plain()
    model.unet.load_state_dict(repainting_everything(pair.unet, autoencoder.load(job)))
    model.controlnet.load_state_dict(pair.controlnet.state_dict())
    return model


class WholeLessons(Lessons):
    """Batches of drawings of which nothing is kept, without control maps."""

    def maps(self, seeds: Tensor, bucket: str) -> Tensor:  # noqa: ARG002, none for anybody
        """No maps."""
        return torch.zeros(0, 3, *latents.BUCKETS[bucket])


def train(job: Job) -> None:
    """Fine-tune the UNet on drawings; their latents are computed where they are missing."""
    latents.make(job, [latents.WHOLE])
    torch.manual_seed(0)
    trainer = Trainer(job, "plain", build(job), lr=3e-4, decay=0.998, half=True)
    torch.manual_seed(trainer.step)
    lessons = WholeLessons(job, trainer.step + 22, latents.WHOLE)
    trainer.run(lambda: lessons.loss(trainer.model), lambda: report(job, trainer, lessons))


def load(job: Job) -> Plain:
    """The painter with the fine-tuned 4-channel UNet."""
    return averaged(job.work, "plain", Plain())
