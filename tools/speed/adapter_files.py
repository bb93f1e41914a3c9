"""A LoRA, an IP-Adapter and its image encoder with random weights, for a UNet of any size."""

from __future__ import annotations

from pathlib import Path

import torch
from diffusers import StableDiffusionInpaintPipeline, UNet2DConditionModel
from peft import LoraConfig, get_peft_model_state_dict
from safetensors.torch import save_file
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

from tests.support import tiny_models

LORA, ADAPTER, ENCODER = "lora.safetensors", "ip-adapter.safetensors", "encoder"
RANK, TOKENS, SCALE = 16, 4, 0.02
# CLIP ViT-H/14, the encoder of IP-Adapter's files for Stable Diffusion 1.5.
FULL_ENCODER = CLIPVisionConfig(
    hidden_size=1280, intermediate_size=5120, num_hidden_layers=32, num_attention_heads=16,
    image_size=224, patch_size=14, projection_dim=1024, hidden_act="gelu",
)  # fmt: skip


def save_lora(folder: Path, unet: UNet2DConditionModel) -> Path:
    """Write a LoRA of rank 16 for a UNet's attention; returns the file."""
    with torch.device("meta"):
        like = UNet2DConditionModel.from_config(unet.config)
    targets = ["to_q", "to_k", "to_v", "to_out.0"]
    like.add_adapter(LoraConfig(r=RANK, target_modules=targets))
    weights = {
        name: (torch.randn(one.shape) * SCALE).to(unet.dtype)
        for name, one in get_peft_model_state_dict(like).items()
    }
    StableDiffusionInpaintPipeline.save_lora_weights(
        folder, unet_lora_layers=weights, weight_name=LORA
    )
    return folder / LORA


def save_ip_adapter(folder: Path, unet: UNet2DConditionModel, *, small: bool) -> tuple[Path, Path]:
    """Write an IP-Adapter that reads a picture's embedding; returns its file and its encoder's."""
    config = tiny_models.vision_config() if small else FULL_ENCODER
    with torch.device(unet.device):
        encoder = CLIPVisionModelWithProjection(config).to(unet.dtype)
    encoder.save_pretrained(folder / ENCODER)
    words = unet.config.cross_attention_dim
    shapes = {
        "image_proj.proj.weight": (TOKENS * words, config.projection_dim),
        "image_proj.proj.bias": (TOKENS * words,),
        "image_proj.norm.weight": (words,),
        "image_proj.norm.bias": (words,),
    }
    attention = {name: one for name, one in unet.named_modules() if name.endswith("attn2")}
    places = [name.removesuffix(".processor") for name in unet.attn_processors]
    for index, name in enumerate(name for name in places if name in attention):
        for part in ("to_k", "to_v"):
            shape = tuple(getattr(attention[name], part).weight.shape)
            shapes[f"ip_adapter.{2 * index + 1}.{part}_ip.weight"] = shape
    weights = {name: (torch.randn(shape) * SCALE).to(unet.dtype) for name, shape in shapes.items()}
    save_file(weights, folder / ADAPTER)
    return folder / ADAPTER, folder / ENCODER
