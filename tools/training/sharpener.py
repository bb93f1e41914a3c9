"""Adversarial fine-tuning of the VAE's decoder, for sharper pictures.

A decoder trained on distances alone paints the mean of all details that the latents do not hold,
which is blur. The discriminator (PatchGAN, Isola et al. 2017, arXiv:1611.07004) classifies patches
as drawn or decoded, given their latents; its weight is balanced against the distances as in Esser
et al. 2021 (arXiv:2012.09841).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from tools.portraits import HELD_OUT_SEED, draw_seed
from tools.training.common import (
    SQUARE,
    Job,
    Trainer,
    averaged,
    to_pictures,
    to_tensor,
    write_sheet,
)
from tools.training.vae import batch, build_vae, edges

ADVERSARY = 0.5  # relative to the distances' gradient at the decoder's last layer
WIDTH, LATENTS = 32, 4


class Critic(nn.Module):
    """PatchGAN discriminator for patches of 22 pixels, conditioned on their latents.

    The latents determine the drawing style of a patch, so that flat colour is rejected where the
    style is shaded.
    """

    def __init__(self) -> None:
        """Build it, untrained."""
        super().__init__()
        self.patches = nn.Sequential(
            nn.Conv2d(3, WIDTH, 4, 2, 1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(WIDTH, 2 * WIDTH, 4, 2, 1),
            nn.GroupNorm(8, 2 * WIDTH),
            nn.LeakyReLU(0.2),
        )
        self.verdict = nn.Sequential(
            nn.Conv2d(2 * WIDTH + LATENTS, 4 * WIDTH, 3, 1, 1),
            nn.GroupNorm(8, 4 * WIDTH),
            nn.LeakyReLU(0.2),
            nn.Conv2d(4 * WIDTH, 1, 3, 1, 1),
        )

    def forward(self, pictures: Tensor, latents: Tensor) -> Tensor:
        """Scores (n, 1, h / 4, w / 4) of pictures (n, 3, h, w) and latents (n, 4, h / 8, w / 8)."""
        seen: Tensor = self.patches(pictures)
        meant = F.interpolate(latents, size=seen.shape[-2:])
        score: Tensor = self.verdict(torch.cat([seen, meant.to(seen.dtype)], 1))
        return score


class Contest(nn.Module):
    """The autoencoder with trainable decoder, and its discriminator, with one loss for both."""

    def __init__(self) -> None:
        """Build both, untrained."""
        super().__init__()
        self.vae: AutoencoderKL = build_vae()
        self.vae.encoder.requires_grad_(False)
        self.vae.quant_conv.requires_grad_(False)
        self.critic = Critic()

    def loss(self, x: Tensor) -> Tensor:
        """Distances and adversarial loss for the decoder; hinge loss for the discriminator."""
        with torch.no_grad():
            z = self.vae.encode(x).latent_dist.mode()
        y = self.vae.decode(z).sample
        edge = sum(F.l1_loss(a, b) for a, b in zip(edges(y), edges(x), strict=True))
        distance = F.l1_loss(y, x) + 0.5 * edge
        last = self.vae.decoder.conv_out.weight
        return contested(self.critic, last, Seen(x=x, y=y, z=z), distance)


class Seen(NamedTuple):
    """What a discriminator sees: drawings x, the same decoded y, and their latents z."""

    x: Tensor
    y: Tensor
    z: Tensor


def contested(critic: Critic, last: Tensor, seen: Seen, distance: Tensor) -> Tensor:
    """The loss of a decoder and its discriminator together.

    Args:
        critic: the discriminator, trained by the hinge loss.
        last: weights of the decoder's last layer, at which the verdict is balanced.
        seen: one batch.
        distance: of the decoded pictures from the drawings.
    """
    x, y, z = seen
    fixed = {name: weight.detach() for name, weight in critic.named_parameters()}
    verdict = -functional_call(critic, fixed, (y, z)).mean()
    pulls = [
        torch.autograd.grad(part, last, retain_graph=True)[0].norm() for part in (distance, verdict)
    ]
    weight = (ADVERSARY * pulls[0] / (pulls[1] + 1e-4)).clamp(0, 10).detach()
    real, decoded = critic(x, z), critic(y.detach(), z)
    hinge = F.relu(1 - real).mean() + F.relu(1 + decoded).mean()
    return distance + weight * verdict + 0.5 * hinge


def build(job: Job) -> Contest:
    """The refined decoder and an untrained discriminator."""
    contest = Contest()
    contest.vae.load_state_dict(averaged(job.work, "decoder", build_vae()).state_dict())
    return contest


def train(job: Job) -> None:
    """Train decoder and discriminator on crops of drawings in every style."""
    torch.manual_seed(0)
    trainer = Trainer(job, "sharpener", build(job), lr=4e-4, half=True)
    rng = np.random.default_rng(trainer.step + 12)
    held_out = to_tensor([draw_seed(HELD_OUT_SEED + k, SQUARE, False).image for k in range(12)])

    def report() -> None:
        vae = trainer.average.vae
        with torch.no_grad():
            again = vae.decode(vae.encode(held_out).latent_dist.mode()).sample
        print(f"sharpener held-out L1 {F.l1_loss(again, held_out):.4f} (range -1..1)", flush=True)
        write_sheet(job.work / "sharpener.png", [to_pictures(held_out), to_pictures(again)])

    trainer.run(lambda: trainer.model.loss(batch(rng, False)), report)
