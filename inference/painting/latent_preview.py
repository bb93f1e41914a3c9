"""Approximate RGB previews of latents, by a linear map in place of the decoder."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from diffusers import AutoencoderKL

from inference.picture.photo import Pixels
from inference.runtime.library_errors import check_finite

SIDE = 256
TILE = 16


@dataclass(frozen=True, kw_only=True)
class LatentPreview:
    """An affine map from a latent to a colour, fitted to a VAE by least squares.

    Attributes:
        matrix: (channels + 1, 3) float32; the last row is the offset.
    """

    matrix: torch.Tensor = field(repr=False)

    @classmethod
    @torch.inference_mode()
    def fit(cls, vae: AutoencoderKL) -> LatentPreview:
        """Fit the map: regress the colours of a picture of random tiles on its latents."""
        tiles = np.random.default_rng(0).random((SIDE // TILE, SIDE // TILE, 3), dtype=np.float32)
        image = torch.from_numpy(tiles.repeat(TILE, 0).repeat(TILE, 1)).permute(2, 0, 1)[None]
        latents = vae.encode((2 * image - 1).to(vae.device, vae.dtype)).latent_dist.mode()
        latents = check_finite(latents * vae.config.scaling_factor).float().cpu()
        colours = torch.nn.functional.interpolate(image, size=latents.shape[-2:], mode="area")
        solution = torch.linalg.lstsq(_with_one(latents), colours[0].flatten(1).T).solution
        return cls(matrix=solution)

    def show(self, latents: torch.Tensor) -> Pixels:
        """(1, C, h, w) scaled latents → (h, w, 3) uint8."""
        height, width = latents.shape[-2:]
        colours = _with_one(latents.float().cpu()) @ self.matrix
        picture = colours.clamp(0, 1).reshape(height, width, 3).numpy()
        return np.asarray((picture * 255).round(), dtype=np.uint8)


def _with_one(latents: torch.Tensor) -> torch.Tensor:
    """(1, C, h, w) → (h·w, C + 1), the last column being 1."""
    flat = latents[0].flatten(1).T
    return torch.cat([flat, torch.ones(len(flat), 1)], dim=1)
