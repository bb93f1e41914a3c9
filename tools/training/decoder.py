"""Further training of the VAE's decoder, with the encoder frozen.

The latents stay valid, so this stage may run while the painter is trained, or later.
"""

from __future__ import annotations

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor
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


def _build(job: Job) -> AutoencoderKL:
    vae = averaged(job.work, "vae", build_vae()).requires_grad_(True)
    vae.encoder.requires_grad_(False)
    vae.quant_conv.requires_grad_(False)
    return vae


def _loss(vae: AutoencoderKL, x: Tensor) -> Tensor:
    """L1, and L1 of the gradients for crisp edges."""
    with torch.no_grad():
        z = vae.encode(x).latent_dist.mode()
    y = vae.decode(z).sample
    edge = sum(F.l1_loss(a, b) for a, b in zip(edges(y), edges(x), strict=True))
    return F.l1_loss(y, x) + 0.5 * edge


def train(job: Job) -> None:
    """Train the decoder on crops, the last third of the time on whole drawings."""
    trainer = Trainer(job, "decoder", _build(job), lr=1.5e-3)
    rng = np.random.default_rng(trainer.step + 5)
    held_out = to_tensor([draw_seed(HELD_OUT_SEED + k, SQUARE, False).image for k in range(6)])

    def report() -> None:
        with torch.no_grad():
            latents = trainer.average.encode(held_out).latent_dist.mode()
            again = trainer.average.decode(latents).sample
        print(f"decoder held-out L1 {F.l1_loss(again, held_out):.4f} (range -1..1)", flush=True)
        write_sheet(job.work / "decoder.png", [to_pictures(held_out), to_pictures(again)])

    trainer.run(lambda: _loss(trainer.model, batch(rng, trainer.progress > 0.66)), report)
