"""Models with random weights: Stable Diffusion 1.5 at full size, and a small one of its classes."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    ControlNetModel,
    DDIMScheduler,
    StableDiffusionInpaintPipeline,
    UNet2DConditionModel,
)
from transformers import CLIPTextConfig, CLIPTextModel

from tests.support import tiny_models

SCHEDULE = {
    "beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012,
    "clip_sample": False, "set_alpha_to_one": False, "steps_offset": 1,
}  # fmt: skip
FULL_UNET: dict[str, Any] = {
    "sample_size": 64, "block_out_channels": (320, 640, 1280, 1280), "layers_per_block": 2,
    "cross_attention_dim": 768, "attention_head_dim": 8,
}  # fmt: skip
FULL_TEXT = {
    "hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12,
    "num_attention_heads": 12, "projection_dim": 768, "vocab_size": 49408,
}  # fmt: skip
FULL_VAE: dict[str, Any] = {
    "block_out_channels": (128, 256, 512, 512), "layers_per_block": 2, "sample_size": 512,
    "norm_num_groups": 32,
}  # fmt: skip
SMALL_UNET = FULL_UNET | {
    "block_out_channels": (32, 64), "layers_per_block": 1, "cross_attention_dim": 64,
    "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
    "norm_num_groups": 16,
}  # fmt: skip
SMALL_TEXT = FULL_TEXT | {
    "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4,
    "vocab_size": 512,
}  # fmt: skip
SMALL_VAE = FULL_VAE | {
    "block_out_channels": (16, 32, 32, 32), "layers_per_block": 1, "norm_num_groups": 8,
}  # fmt: skip


def pipeline(
    device: torch.device, dtype: torch.dtype, *, small: bool
) -> StableDiffusionInpaintPipeline:
    """A 4-channel checkpoint with random weights, made on the device."""
    torch.manual_seed(0)
    unet, text, vae = (
        (SMALL_UNET, SMALL_TEXT, SMALL_VAE) if small else (FULL_UNET, FULL_TEXT, FULL_VAE)
    )
    with torch.device(device), tempfile.TemporaryDirectory() as folder:
        config = CLIPTextConfig(**text, **tiny_models.SPECIAL_IDS)
        blocks = len(vae["block_out_channels"])
        return StableDiffusionInpaintPipeline(
            vae=AutoencoderKL(
                **vae,
                down_block_types=("DownEncoderBlock2D",) * blocks,
                up_block_types=("UpDecoderBlock2D",) * blocks,
                latent_channels=4,
            ).to(dtype).eval(),
            text_encoder=CLIPTextModel(config).to(dtype).eval(),
            tokenizer=tiny_models.tokenizer(Path(folder)),
            unet=UNet2DConditionModel(**unet).to(dtype).eval(),
            scheduler=DDIMScheduler(**SCHEDULE),
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )  # fmt: skip


def controlnet(
    pipe: StableDiffusionInpaintPipeline, device: torch.device, seed: int = 1
) -> ControlNetModel:
    """A ControlNet for a pipeline, with output layers that are not zero."""
    torch.manual_seed(seed)
    with torch.device(device):
        model = ControlNetModel.from_unet(pipe.unet, load_weights_from_unet=False)
    for layer in (*model.controlnet_down_blocks, model.controlnet_mid_block):
        torch.nn.init.normal_(layer.weight, std=0.02)
    torch.nn.init.normal_(model.controlnet_cond_embedding.conv_out.weight, std=0.02)
    return model.to(pipe.unet.dtype).eval()
