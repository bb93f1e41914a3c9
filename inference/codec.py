"""Pictures to latents and back, through the autoencoder of a checkpoint."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from diffusers import AutoencoderKL
from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution

from inference.cache import Cache, digest
from inference.device import Turns
from inference.faults import sound
from inference.latent_preview import LatentPreview
from inference.photo import Pixels

# Up to this many pixels decoding is cheap enough to show every step as it really is.
SMALL = 256 * 256

Bools = npt.NDArray[np.bool_]


class Codec:
    """A VAE, and what it made of the last pictures. Not thread-safe.

    Args:
        factor: pixels per latent.
        tile_beyond: how many pixels it takes in one piece.
    """

    def __init__(self, vae: AutoencoderKL, turns: Turns, factor: int, tile_beyond: int) -> None:
        self.tiled = False  # whether to work in tiles, however small the picture
        self.factor = factor
        self._tile_beyond = tile_beyond
        self._vae = vae
        self._turns = turns
        self._rough: LatentPreview | None = None
        self.forget()

    def forget(self) -> None:
        """Let go of what is kept."""
        self._moments: Cache[DiagonalGaussianDistribution] = Cache(8)

    def encode(
        self, picture: Pixels, generators: list[torch.Generator], hidden: Bools | None = None
    ) -> torch.Tensor:
        """Latents of a picture, one sample per generator; an encoder run per picture seen.

        Args:
            picture: (H, W, 3).
            hidden: (H, W), true where the picture is gray instead.

        Returns:
            (n, channels, h, w), scaled.
        """
        key = digest(picture)
        if hidden is not None:
            seen = np.where(hidden[..., None], np.uint8(0), picture)
            key = f"{digest(seen)} {digest(hidden)}"

        def run() -> DiagonalGaussianDistribution:
            image = 2 * to_tensor(picture) - 1
            if hidden is not None:
                image = image * torch.from_numpy(~hidden)
            image = image.to(self._turns.device, self._vae.dtype)
            self._turns.take(self._vae)
            moments: DiagonalGaussianDistribution = sound(self._vae.encode(image).latent_dist)
            return moments

        self._mind_memory(picture[..., 0].size)
        moments = self._moments.get(f"{key} {self._vae.use_tiling}", run)
        samples = torch.cat([moments.sample(generator) for generator in generators])
        return samples.mul(self._vae.config.scaling_factor)

    @torch.inference_mode()
    def decode(self, latents: torch.Tensor) -> Pixels:
        """(1, channels, h, w) → (H, W, 3); one at a time, so that the peak memory is that of one.

        Raises:
            PaintingFailed: there is a NaN in it.
        """
        self._mind_memory(latents[0, 0].numel() * self.factor**2)
        self._turns.take(self._vae)
        image = self._vae.decode(latents / self._vae.config.scaling_factor).sample
        return _to_pixels(sound(image))

    @torch.inference_mode()
    def preview(self, latents: torch.Tensor) -> Pixels:
        """Latents as a picture: decoded if they are small, else approximated."""
        small = latents[0, 0].numel() * self.factor**2 <= SMALL
        if small and not self._turns.offload:  # no change of turns for a glance
            return self.decode(latents)
        if self._rough is None:
            self._turns.take(self._vae)
            self._rough = LatentPreview.fit(self._vae)
        return self._rough.show(sound(latents))

    def shape(self, height: int, width: int) -> tuple[int, int, int]:
        """Of the latents of a picture: channels, height, width."""
        return self._vae.config.latent_channels, height // self.factor, width // self.factor

    def _mind_memory(self, pixels: int) -> None:
        """Let the autoencoder cut a large picture into tiles."""
        if self.tiled or pixels > self._tile_beyond:
            self._vae.enable_tiling()
        else:
            self._vae.disable_tiling()


def to_tensor(picture: Pixels) -> torch.Tensor:
    """(H, W, 3) uint8 → (1, 3, H, W) float32 in 0–1."""
    return torch.from_numpy(picture.astype(np.float32) / 255).permute(2, 0, 1)[None]


def _to_pixels(image: torch.Tensor) -> Pixels:
    """(1, 3, H, W) in −1…1 → (H, W, 3) uint8."""
    levels = (image[0].float() / 2 + 0.5).clamp(0, 1).mul(255).round().to(torch.uint8)
    return np.ascontiguousarray(levels.permute(1, 2, 0).cpu().numpy())
