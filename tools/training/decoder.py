"""Further training of the VAE's decoder, on latents that miss the right ones a little.

What a painter paints is never quite what an encoder would give. A decoder that has seen true
latents only draws such errors as a mosaic of eight by eight pixels; one that has seen noisy ones
evens them out. The encoder is frozen, so that latents stay valid.
"""

from __future__ import annotations

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor, nn

from tools.evaluation.enlarging import psnr
from tools.portraits import HELD_OUT_SEED, draw_seed
from tools.training import vae as autoencoder
from tools.training.common import SQUARE, Job, averaged, to_pictures, to_tensor, write_sheet
from tools.training.drawings import Stock
from tools.training.resident import Resident, is_gpu

BATCH, CROP = 6, 128
NOISE = 0.3  # largest deviation of the noise, relative to that of the latents
SHOWN = (0.0, 0.1, 0.2, 0.3)  # levels of the report
HELD_OUT = 6
NAME = "decoder"


class Rendering(nn.Module):
    """The autoencoder with a trainable decoder, as one module."""

    def __init__(self) -> None:
        """Build it, untrained."""
        super().__init__()
        self.vae: AutoencoderKL = autoencoder.build_vae()
        for part in (self.vae.encoder, self.vae.quant_conv):
            part.requires_grad_(False)

    def forward(self, x: Tensor, noise: Tensor) -> Tensor:
        """Pictures (n, 3, h, w) decoded from their latents with noise of deviations (n,)."""
        with torch.no_grad():
            z = self.vae.encode(x).latent_dist.mode().float()
        spread = z.std(dim=(0, 2, 3), keepdim=True) * noise[:, None, None, None]
        decoded: Tensor = self.vae.decode(z + spread * torch.randn_like(z)).sample
        return decoded


def build(job: Job) -> Rendering:
    """The autoencoder as trained before."""
    model = Rendering()
    trained = averaged(job.work, autoencoder.NAME, autoencoder.Passage()).vae
    model.vae.load_state_dict(trained.state_dict())
    return model


def train(job: Job) -> None:
    """Train the decoder on crops of drawings."""
    stock = Stock(job.work)
    trainer = Resident(job, NAME, build(job), lr=1e-3)
    torch.manual_seed(trainer.step)
    rng = np.random.default_rng(trainer.step + 2)
    count = BATCH * (16 if is_gpu(job) else 1)

    def lesson() -> Tensor:
        x = stock.batch(rng, count, (CROP, CROP))
        placed = x.to(job.device, memory_format=torch.channels_last, non_blocking=True)
        noise = NOISE * torch.rand(count, device=job.device)
        return autoencoder.distance(trainer.model(placed, noise), placed)

    trainer.run(lesson, lambda: report(job, trainer))


@torch.no_grad()
def report(job: Job, trainer: Resident[Rendering]) -> None:
    """Print the PSNR of held-out drawings by the noise on their latents, and write a sheet."""
    drawn = [draw_seed(HELD_OUT_SEED + k, SQUARE, False).image for k in range(HELD_OUT)]
    x = to_tensor(drawn).to(job.device, memory_format=torch.channels_last)
    torch.manual_seed(1)
    rows = [
        to_pictures(trainer.average(x, torch.full((len(x),), level, device=job.device)).cpu())
        for level in SHOWN
    ]
    found = [np.mean([psnr(*pair) for pair in zip(row, drawn, strict=True)]) for row in rows]
    print(
        f"{NAME} held-out, by noise: "
        + ", ".join(f"{level} {one:.2f} dB" for level, one in zip(SHOWN, found, strict=True)),
        flush=True,
    )
    write_sheet(job.work / f"{NAME}.png", [drawn, *rows])


def load(job: Job) -> AutoencoderKL:
    """The autoencoder with this decoder, or with its own where this was not trained."""
    vae = autoencoder.load(job)
    if (job.work / f"{NAME}.pt").exists():
        vae.load_state_dict(averaged(job.work, NAME, Rendering()).vae.state_dict())
    return vae
