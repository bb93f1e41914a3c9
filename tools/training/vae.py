"""Training of the VAE: AutoencoderKL of factor 8 with four latent channels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from tools.portraits import HELD_OUT_SEED, draw, draw_seed, sample_spec, solo
from tools.training.common import (
    SQUARE,
    TALL,
    Job,
    Trainer,
    to_pictures,
    to_tensor,
    write_sheet,
)

Pixels = NDArray[np.uint8]

CROP = 64
KL_WEIGHT = 1e-7


def build_vae() -> AutoencoderKL:
    """An untrained autoencoder; no attention, so that any size costs the same per pixel."""
    return AutoencoderKL(
        block_out_channels=(16, 32, 64, 96),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=2,
        sample_size=SQUARE[0],
        mid_block_add_attention=False,
    )


def batch(rng: np.random.Generator, whole: bool) -> Tensor:
    """A batch in -1..1: crops (24, 3, 64, 64) or whole drawings, some partly grey."""
    images = []
    size = TALL if rng.random() < 0.5 else SQUARE
    for _ in range(4 if whole else 6):
        image = draw_seed(int(rng.integers(HELD_OUT_SEED)), size, with_masks=False).image
        if rng.random() < 0.5:
            image = np.ascontiguousarray(image[:, ::-1])
        if rng.random() < 0.15:  # the pipeline also encodes photos whose repainted part is gray
            image = _with_hole(image, rng)
        if whole:
            images.append(image)
            continue
        for _ in range(4):
            x, y = rng.integers(size[0] - CROP + 1), rng.integers(size[1] - CROP + 1)
            images.append(image[y : y + CROP, x : x + CROP])
    return to_tensor(images)


def _with_hole(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    height, width = image.shape[:2]
    y, x = np.mgrid[:height, :width]
    cx, cy = rng.uniform(0.3, 0.7) * width, rng.uniform(0.3, 0.6) * height
    inside = ((x - cx) / width) ** 2 + ((y - cy) / height) ** 2 < rng.uniform(0.15, 0.3) ** 2
    hole = inside if rng.random() < 0.3 else ~inside
    return np.where(hole[..., None], np.uint8(128), image)


def edges(x: Tensor) -> tuple[Tensor, Tensor]:
    return x[..., 1:, :] - x[..., :-1, :], x[..., :, 1:] - x[..., :, :-1]


def _loss(vae: AutoencoderKL, x: Tensor) -> Tensor:
    """L1 and L2, L1 of the gradients (for crisp edges), a faint pull to the unit normal."""
    posterior = vae.encode(x).latent_dist
    y = vae.decode(posterior.sample()).sample
    edge = sum(F.l1_loss(a, b) for a, b in zip(edges(y), edges(x), strict=True))
    kl: Tensor = posterior.kl().mean()
    return F.l1_loss(y, x) + 2 * F.mse_loss(y, x) + 0.5 * edge + KL_WEIGHT * kl


def train(job: Job) -> None:
    """Train on crops; the last quarter of the time on whole drawings."""
    vae = build_vae()
    trainer = Trainer(job, "vae", vae, lr=2e-3)
    rng = np.random.default_rng(trainer.step + 1)
    held_out = to_tensor([draw_seed(HELD_OUT_SEED + k, SQUARE, False).image for k in range(6)])

    def report() -> None:
        with torch.no_grad():
            again = trainer.average.decode(
                trainer.average.encode(held_out).latent_dist.mode()
            ).sample
        print(f"vae held-out L1 {F.l1_loss(again, held_out):.4f} (range -1..1)", flush=True)
        write_sheet(job.work / "vae.png", [to_pictures(held_out), to_pictures(again)])

    trainer.run(lambda: _loss(vae, batch(rng, trainer.progress > 0.75)), report)


def load(job: Job) -> AutoencoderKL:
    """The trained autoencoder, its scaling factor set to one over the latents' deviation."""
    vae = build_vae()
    vae.load_state_dict(_finest(job.work))
    vae.eval().requires_grad_(False)
    images = [draw(solo(sample_spec(k)), SQUARE, False).image for k in range(32)]
    with torch.no_grad():
        latents = vae.encode(to_tensor(images)).latent_dist.mode()
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


def _finest(work: Path) -> dict[str, Tensor]:
    """The averaged weights of the last finished stage; no stage changes the encoder."""
    paths = [work / f"{stage}.pt" for stage in ("sharpener", "decoder", "vae")]
    path = next(path for path in paths if path.exists())
    weights: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)["average"]
    if path.stem == "sharpener":  # it has the critic's weights too
        parts = {name.partition(".")[::2]: weight for name, weight in weights.items()}
        weights = {name: weight for (part, name), weight in parts.items() if part == "vae"}
    return weights
