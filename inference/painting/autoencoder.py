"""The VAE of a checkpoint: pictures to latents, latents to pictures and previews."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from diffusers import AutoencoderKL
from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution
from torch.nn import functional

from inference.painting.latent_preview import LatentPreview
from inference.picture.photo import Pixels
from inference.runtime.cache import Cache, digest
from inference.runtime.library_errors import check_finite
from inference.runtime.memory import ModelOffloader

# Pixels up to which previews are decoded; decoding larger ones at each step costs too much.
SMALL = 256 * 256

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float32]


class Autoencoder:
    """A VAE with a cache of what it encoded last. Not thread-safe.

    Args:
        vae: the loaded model.
        offloader: moves the VAE to the device.
        factor: pixels per latent, along each side.
        tile_beyond: the most pixels that the VAE takes in one piece.
    """

    def __init__(
        self, vae: AutoencoderKL, offloader: ModelOffloader, factor: int, tile_beyond: int
    ) -> None:
        self.tiled = False  # True: tiles at any size
        self.factor = factor
        self._tile_beyond = tile_beyond
        self._vae = vae
        self._offloader = offloader
        self._rough: LatentPreview | None = None
        self.clear_cache()

    def clear_cache(self) -> None:
        """Drop the cache."""
        self._moments: Cache[DiagonalGaussianDistribution] = Cache(8)

    def encode(
        self, picture: Pixels, generators: list[torch.Generator], hidden: Bools | None = None
    ) -> torch.Tensor:
        """Latents of a picture, one sample per generator; each picture is encoded once.

        Args:
            picture: (H, W, 3).
            hidden: (H, W), true where mid-gray takes the place of the picture.

        Returns:
            (n, channels, h, w), times the VAE's scaling factor.
        """
        key = digest(picture)
        if hidden is not None:
            seen = np.where(hidden[..., None], np.uint8(0), picture)
            key = f"{digest(seen)} {digest(hidden)}"

        def run() -> DiagonalGaussianDistribution:
            image = 2 * to_tensor(picture) - 1
            if hidden is not None:
                image = image * torch.from_numpy(~hidden)
            image = image.to(self._offloader.device, self._vae.dtype)
            self._offloader.activate(self._vae)
            moments: DiagonalGaussianDistribution = check_finite(
                self._vae.encode(image).latent_dist
            )
            return moments

        self._set_tiling(picture[..., 0].size)
        moments = self._moments.get(f"{key} {self._vae.use_tiling}", run)
        samples = torch.cat([moments.sample(generator) for generator in generators])
        return samples.mul(self._vae.config.scaling_factor)

    @torch.inference_mode()
    def decode(self, latents: torch.Tensor) -> Pixels:
        """(1, channels, h, w) latents → (H, W, 3); one picture at a time, to bound the peak memory.

        Raises:
            PaintingFailed: the output is not finite.
        """
        self._set_tiling(latents[0, 0].numel() * self.factor**2)
        self._offloader.activate(self._vae)
        image = self._vae.decode(latents / self._vae.config.scaling_factor).sample
        return _to_pixels(check_finite(image))

    @torch.inference_mode()
    def preview(self, latents: torch.Tensor) -> Pixels:
        """A preview of (1, channels, h, w) latents: decoded if small, else approximated."""
        small = latents[0, 0].numel() * self.factor**2 <= SMALL
        if small and not self._offloader.offload:  # moving models for a preview costs too much
            return self.decode(latents)
        if self._rough is None:
            self._offloader.activate(self._vae)
            self._rough = LatentPreview.fit(self._vae)
        return self._rough.show(check_finite(latents))

    def shape(self, height: int, width: int) -> tuple[int, int, int]:
        """Channels, height and width of a picture's latents."""
        return self._vae.config.latent_channels, height // self.factor, width // self.factor

    def _set_tiling(self, pixels: int) -> None:
        """Switch the VAE's tiling on or off for a picture with this number of pixels."""
        if self.tiled or pixels > self._tile_beyond:
            self._vae.enable_tiling()
        else:
            self._vae.disable_tiling()


def to_tensor(picture: Pixels) -> torch.Tensor:
    """(H, W, 3) uint8 → (1, 3, H, W) float32 in 0–1."""
    return torch.from_numpy(picture.astype(np.float32) / 255).permute(2, 0, 1)[None]


def latent_mask(repaint: Bools | Floats, latents: torch.Tensor) -> torch.Tensor:
    """(n, 1, h, w) for latents of n pictures: 1 where `repaint`, (H, W), is true, or its mean."""
    mask = torch.from_numpy(repaint.astype(np.float32))[None, None]
    mode = "nearest" if repaint.dtype == np.bool_ else "area"
    small = functional.interpolate(mask, size=latents.shape[-2:], mode=mode)
    return small.expand(len(latents), -1, -1, -1).to(latents)


def _to_pixels(image: torch.Tensor) -> Pixels:
    """(1, 3, H, W) in −1…1 → (H, W, 3) uint8."""
    levels = (image[0].float() / 2 + 0.5).clamp(0, 1).mul(255).round().to(torch.uint8)
    return np.ascontiguousarray(levels.permute(1, 2, 0).cpu().numpy())
