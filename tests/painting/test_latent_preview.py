"""Tests of approximate latent previews against the embedded VAE's decoder."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL
from PIL import Image

from inference.painting.latent_preview import LatentPreview
from inference.picture.photo import Pixels

ASSETS = Path(__file__).parents[2] / "assets"


@pytest.fixture(scope="module")
def vae() -> AutoencoderKL:
    return AutoencoderKL.from_pretrained(ASSETS / "pack" / "painter" / "vae").eval()


@pytest.fixture(scope="module")
def preview(vae: AutoencoderKL) -> LatentPreview:
    return LatentPreview.fit(vae)


def small(name: str) -> Pixels:
    """An example portrait, resized to 128 × 128 pixels."""
    picture = np.asarray(Image.open(ASSETS / "examples" / f"{name}.png").convert("RGB"))
    return np.asarray(cv2.resize(picture, (128, 128), interpolation=cv2.INTER_AREA))


@torch.inference_mode()
def latents_of(vae: AutoencoderKL, picture: Pixels) -> torch.Tensor:
    levels = torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 127.5 - 1
    encoded: torch.Tensor = vae.encode(levels).latent_dist.mode()
    return encoded * float(vae.config.scaling_factor)


@pytest.mark.parametrize("name", ["beach", "forest", "library", "snow"])
def test_it_shows_the_photo_an_eighth_as_large(
    vae: AutoencoderKL, preview: LatentPreview, name: str
) -> None:
    picture = small(name)
    shown = preview.show(latents_of(vae, picture)).astype(float)
    expected = cv2.resize(picture, (16, 16), interpolation=cv2.INTER_AREA).astype(float)
    assert np.abs(shown - expected).mean() < 30, "of 255 levels; with red and blue swapped 46"
    assert np.corrcoef(shown.ravel(), expected.ravel())[0, 1] > 0.85


def test_what_is_beyond_black_and_white_is_cut_off_and_not_wrapped(
    vae: AutoencoderKL, preview: LatentPreview
) -> None:
    loud = preview.show(50 * latents_of(vae, small("library")))
    assert np.isin(loud, (0, 255)).mean() > 0.9
