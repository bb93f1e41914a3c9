"""Training of a 4-channel UNet, which sees neither mask nor photo, from the pack's 9-channel one.

No part of the pack: `tools/measure_inpainting.py` compares ways of inpainting with it. It starts as
the 9-channel UNet when that repaints everything: mask and gray picture are then the same for every
photo, so what they add to the first convolution is a constant, and goes into its bias.
"""

from __future__ import annotations

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import Tensor

from tools.training import joint, latents, pair
from tools.training import vae as autoencoder
from tools.training.common import SQUARE, Job, averaged
from tools.training.lessons import Lessons, write_paintings
from tools.training.resident import Resident

KNOWN = 4  # channels of the noisy latents, which come first
NAME = "plain"


def build_unet() -> UNet2DConditionModel:
    """An untrained UNet like the painter's, but with four channels."""
    config = {**pair.build_unet().config, "in_channels": KNOWN}
    unet: UNet2DConditionModel = UNet2DConditionModel.from_config(config)
    return unet


@torch.no_grad()
def repainting_everything(unet: UNet2DConditionModel, vae: AutoencoderKL) -> dict[str, Tensor]:
    """Weights of a 4-channel UNet that paints as this 9-channel one where nothing is kept.

    Equal but for the outermost latents, where the convolution's padding is zero.
    """
    gray = vae.encode(torch.zeros(1, 3, SQUARE[1], SQUARE[0])).latent_dist.mode()
    held = gray.mean((0, 2, 3)) * vae.config.scaling_factor
    constant = torch.cat([torch.ones(1), held])
    weights: dict[str, Tensor] = unet.state_dict()
    whole = weights["conv_in.weight"]
    weights["conv_in.weight"] = whole[:, :KNOWN].clone()
    weights["conv_in.bias"] = weights["conv_in.bias"] + whole[:, KNOWN:].sum((2, 3)) @ constant
    return weights


def build(job: Job) -> UNet2DConditionModel:
    """The painter's UNet with four channels, not yet fine-tuned."""
    unet = build_unet()
    unet.load_state_dict(repainting_everything(joint.unet(job), autoencoder.load(job)))
    return unet


class PlainLessons(Lessons):
    """Batches of drawings of which nothing is kept; mask and masked latents are not seen."""

    def __init__(self, job: Job) -> None:
        """Load the latents, after computing what is missing of them."""
        latents.make(job, (latents.WHOLE,))
        super().__init__(job, (latents.WHOLE,))

    def loss(self, model: UNet2DConditionModel) -> Tensor:
        """Squared error of the velocity on one batch."""
        batch = self.sample()
        return batch.error(model(batch.noisy, batch.when, batch.words).sample)


def train(job: Job) -> None:
    """Fine-tune the UNet on drawings."""
    torch.manual_seed(0)
    trainer = Resident(job, NAME, build(job), lr=3e-4)
    torch.manual_seed(trainer.step)
    lessons = PlainLessons(job)

    def velocity(noisy: Tensor, _: Tensor, when: Tensor, words: Tensor) -> Tensor:
        answer: Tensor = trainer.average(noisy, when, words).sample
        return answer

    def report() -> None:
        write_paintings(job, NAME, lessons, velocity)

    trainer.run(lambda: lessons.loss(trainer.model), report)


def load(job: Job) -> UNet2DConditionModel:
    """The fine-tuned 4-channel UNet."""
    return averaged(job.work, NAME, build_unet())
