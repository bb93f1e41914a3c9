"""The discriminator of the VAE's decoder, and the loss that both learn from.

A decoder trained on distances alone paints the mean of all details that the latents do not hold,
which is blur. The discriminator (PatchGAN, Isola et al. 2017, arXiv:1611.07004) classifies patches
as drawn or decoded, given their latents; its weight is balanced against the distances as in Esser
et al. 2021 (arXiv:2012.09841).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

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
