"""Training of the VAE: AutoencoderKL of factor 8 with four latent channels, at 384 pixels.

Encoder and decoder learn together, from crops of drawings first, whose statistics group
normalization takes for those of whole pictures, and at last from whole drawings. Where a further
decoder or latents have been made with the encoder, it stays as it is, so that they remain valid,
and the decoder alone goes on.
"""

from __future__ import annotations

import numpy as np
import torch
from diffusers import AutoencoderKL
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from tools.evaluation.enlarging import psnr
from tools.evaluation.sharpness import sharpness_of
from tools.portraits import HELD_OUT_SEED, draw_seed
from tools.training.common import (
    SQUARE,
    TALL,
    Job,
    averaged,
    to_pictures,
    to_tensor,
    write_sheet,
)
from tools.training.drawings import Stock
from tools.training.resident import Resident, is_gpu

WIDTHS = (16, 32, 64, 96)
CROP, WHOLE_FROM = 128, 0.8  # side of crops; share of the time after which pictures are whole
SQUARES, EDGES, DETAIL, KL = 4.0, 0.5, 0.75, 1e-7  # weights in the loss
PATCH = 8  # side of the patches whose detail is compared
HELD_OUT = 12
NAME = "vae"
DEPENDENT = ("decoder.pt", "latents")  # what is made with the encoder, in `--work`


def build_vae() -> AutoencoderKL:
    """An untrained autoencoder; no attention, so that any size costs the same per pixel."""
    return AutoencoderKL(
        block_out_channels=WIDTHS,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=2,
        sample_size=SQUARE[0],
        mid_block_add_attention=False,
    )


class Passage(nn.Module):
    """The way through the autoencoder, as one module."""

    def __init__(self) -> None:
        """Build it, untrained."""
        super().__init__()
        self.vae: AutoencoderKL = build_vae()

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Pictures (n, 3, h, w) decoded from sampled latents, and their divergence from N(0, 1)."""
        posterior = self.vae.encode(x).latent_dist
        return self.vae.decode(posterior.sample()).sample, posterior.kl().mean()


def loss_of(model: Passage, x: Tensor) -> Tensor:
    """The distance of a picture from itself decoded, and a faint pull to the unit normal."""
    y, divergence = model(x)
    return distance(y, x) + KL * divergence


def distance(y: Tensor, x: Tensor) -> Tensor:
    """L1, squares, L1 of gradients and of the amount of detail, of pictures (n, 3, h, w).

    Distances alone are least for a line of unsure place that is blurred; the amount of detail of a
    patch is right for a sharp line in any place.
    """
    y = y.float()
    edge = sum(F.l1_loss(a, b) for a, b in zip(edges(y), edges(x), strict=True))
    amount = F.l1_loss(detail(y), detail(x))
    near = F.l1_loss(y, x) + SQUARES * F.mse_loss(y, x)
    return near + EDGES * edge + DETAIL * amount


def edges(x: Tensor) -> tuple[Tensor, Tensor]:
    """Differences of neighbouring rows and of neighbouring columns."""
    return x[..., 1:, :] - x[..., :-1, :], x[..., :, 1:] - x[..., :, :-1]


def detail(x: Tensor) -> Tensor:
    """Mean absolute Laplacian of each patch, (n, 3, h / 8, w / 8) of pictures (n, 3, h, w)."""
    near = x[..., :-2, 1:-1] + x[..., 2:, 1:-1] + x[..., 1:-1, :-2] + x[..., 1:-1, 2:]
    bent = (4 * x[..., 1:-1, 1:-1] - near).abs()
    return F.avg_pool2d(bent, PATCH, ceil_mode=True, count_include_pad=False)


def train(job: Job) -> None:
    """Train on crops; at last on whole drawings."""
    trainer = Resident(job, NAME, Passage(), lr=1.5e-3)
    if trainer.step and any((job.work / one).exists() for one in DEPENDENT):
        _fix_encoder(trainer)
    rng = np.random.default_rng(trainer.step + 1)
    stock = Stock(job.work)
    more = 16 if is_gpu(job) else 1

    def lesson() -> Tensor:
        whole = trainer.progress > WHOLE_FROM
        x = stock.batch(rng, more * (1 if whole else 6), TALL if whole else (CROP, CROP))
        placed = x.to(job.device, memory_format=torch.channels_last, non_blocking=True)
        return loss_of(trainer.model, placed)

    trainer.run(lesson, lambda: report(job, trainer))


def _fix_encoder(trainer: Resident[Passage]) -> None:
    """Exclude the encoder from training, with its averaged weights, which are in use."""
    for part in ("encoder", "quant_conv"):
        used, trained = (getattr(one.vae, part) for one in (trainer.average, trainer.model))
        trained.load_state_dict(used.state_dict())
        trained.requires_grad_(False)


@torch.no_grad()
def report(job: Job, trainer: Resident[Passage]) -> None:
    """Print PSNR and sharpness of held-out drawings, keep them in a table, and write a sheet."""
    vae = trainer.average.vae
    drawn = [draw_seed(HELD_OUT_SEED + k, TALL, False).image for k in range(HELD_OUT)]
    again = []
    for picture in drawn:
        x = to_tensor([picture]).to(job.device, memory_format=torch.channels_last)
        decoded = vae.decode(vae.encode(x).latent_dist.mode()).sample
        again += to_pictures(decoded.cpu())
    pairs = list(zip(again, drawn, strict=True))
    shares = [sharpness_of(one).share_of(sharpness_of(truth)) for one, truth in pairs]
    values = (
        float(np.mean([psnr(one, truth) for one, truth in pairs])),
        float(np.mean([one.gradient for one in shares])),
        float(np.mean([one.laplacian for one in shares])),
    )
    line = "{:.2f} dB, gradient {:.3f}, Laplacian {:.3f}".format(*values)
    print(f"{NAME} held-out {line}", flush=True)
    with (job.work / f"{NAME}.csv").open("a", encoding="utf-8") as table:
        numbers = ",".join(f"{value:.4f}" for value in values)
        table.write(f"{trainer.step},{trainer.seconds / 60:.1f},{numbers}\n")
    write_sheet(job.work / f"{NAME}.png", [drawn[:4], again[:4]])


def load(job: Job) -> AutoencoderKL:
    """The trained autoencoder, its scaling factor set to one over the latents' deviation."""
    vae = averaged(job.work, NAME, Passage()).vae
    drawn = [draw_seed(k, SQUARE, False).image for k in range(8)]
    with torch.no_grad():
        latents = vae.encode(to_tensor(drawn)).latent_dist.mode()
    vae.register_to_config(scaling_factor=round(1 / latents.std().item(), 3))
    return vae


def repainted(
    vae: AutoencoderKL, pictures: list[NDArray[np.uint8]], noise: float
) -> list[NDArray[np.uint8]]:
    """The pictures after the autoencoder, with noise of this deviation on scaled latents."""
    with torch.no_grad():
        latents = vae.encode(to_tensor(pictures)).latent_dist.mode()
        latents = latents + noise * torch.randn_like(latents) / vae.config.scaling_factor
        return to_pictures(vae.decode(latents).sample)
