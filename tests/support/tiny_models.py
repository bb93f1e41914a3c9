"""Real model classes at tiny size with random weights: shapes and arithmetic, not quality."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    ControlNetModel,
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    DPMSolverSinglestepScheduler,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    LCMScheduler,
    SchedulerMixin,
    StableDiffusionInpaintPipeline,
    TCDScheduler,
    UNet2DConditionModel,
)
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer, CLIPVisionConfig

from inference.catalog.catalog import Catalog

WIDTH = 32
LETTERS = [chr(code) for code in range(33, 127)]
WORDS = [*LETTERS, *(f"{one}</w>" for one in LETTERS), "<|startoftext|>", "<|endoftext|>"]
SPECIAL_IDS = {"bos_token_id": len(WORDS) - 2, "eos_token_id": len(WORDS) - 1}


def save_tokenizer(folder: Path) -> None:
    """The files of a CLIP tokenizer that splits every word into letters."""
    special = {"bos_token": "<|startoftext|>", "eos_token": "<|endoftext|>"}
    special |= {"unk_token": "<|endoftext|>", "pad_token": "<|endoftext|>"}
    config = special | {"model_max_length": 77, "tokenizer_class": "CLIPTokenizer"}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps({word: i for i, word in enumerate(WORDS)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    (folder / "special_tokens_map.json").write_text(json.dumps(special))
    (folder / "tokenizer_config.json").write_text(json.dumps(config))


def tokenizer(folder: Path) -> CLIPTokenizer:
    """The tokenizer of `save_tokenizer`."""
    save_tokenizer(folder)
    return CLIPTokenizer.from_pretrained(folder)


def text_encoder() -> CLIPTextModel:
    """A text encoder for `tokenizer`."""
    config = CLIPTextConfig(
        vocab_size=len(WORDS),
        **SPECIAL_IDS,
        hidden_size=WIDTH,
        intermediate_size=WIDTH,
        num_hidden_layers=2,
        num_attention_heads=2,
    )
    return CLIPTextModel(config).eval()


def vae() -> AutoencoderKL:
    """A VAE with a scale factor of 8."""
    return AutoencoderKL(
        block_out_channels=(8, 8, 16, 16),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        latent_channels=4,
        norm_num_groups=4,
    )


def unet(channels: int = 4) -> UNet2DConditionModel:
    """A UNet with 4 input channels, or 9 for inpainting."""
    return UNet2DConditionModel(
        in_channels=channels,
        sample_size=64,
        block_out_channels=(16, WIDTH),
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=WIDTH,
        attention_head_dim=4,
        norm_num_groups=4,
    )


def controlnet(seed: int = 1) -> ControlNetModel:
    """A ControlNet for `unet`; its output layers are not zero, so that it has an effect."""
    torch.manual_seed(seed)
    model = ControlNetModel.from_unet(
        unet(), conditioning_embedding_out_channels=(8, 8, 16, 16), load_weights_from_unet=False
    )
    for parameter in model.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.05)
    return model.eval()


def vision_config() -> CLIPVisionConfig:
    """A small CLIP image encoder."""
    return CLIPVisionConfig(
        hidden_size=WIDTH,
        intermediate_size=WIDTH,
        num_hidden_layers=3,
        num_attention_heads=2,
        image_size=32,
        patch_size=8,
        projection_dim=24,
    )


def ip_adapter(*, parts: bool, seed: int = 0) -> dict[str, torch.Tensor]:
    """The weights of an IP-Adapter for `unet` and `vision_config`, with a visible effect.

    With `parts` it reads the encoder's hidden states through a resampler, like the «plus» adapters;
    otherwise the embedding of the whole picture.
    """
    torch.manual_seed(seed)
    weights = {
        f"image_proj.{name}": torch.randn(shape)
        for name, shape in (_resampler() if parts else _projection()).items()
    }
    names = [name for name in unet().attn_processors if name.endswith("attn2.processor")]
    for place, name in enumerate(names):
        width = WIDTH if name.startswith("mid") else 16
        for part in ("to_k_ip", "to_v_ip"):
            weights[f"ip_adapter.{2 * place + 1}.{part}.weight"] = torch.randn(width, WIDTH)
    return weights


def _projection() -> dict[str, tuple[int, ...]]:
    """Shapes of the projection of a picture's embedding to four tokens."""
    width = vision_config().projection_dim
    return {
        "proj.weight": (4 * WIDTH, width), "proj.bias": (4 * WIDTH,),
        "norm.weight": (WIDTH,), "norm.bias": (WIDTH,),
    }  # fmt: skip


def _resampler() -> dict[str, tuple[int, ...]]:
    """Shapes of the resampler of hidden states to three tokens; four layers, heads of 64."""
    shapes: dict[str, tuple[int, ...]] = {
        "latents": (1, 3, WIDTH),
        "proj_in.weight": (WIDTH, vision_config().hidden_size), "proj_in.bias": (WIDTH,),
        "proj_out.weight": (WIDTH, WIDTH), "proj_out.bias": (WIDTH,),
        "norm_out.weight": (WIDTH,), "norm_out.bias": (WIDTH,),
    }  # fmt: skip
    for layer in (f"layers.{k}" for k in range(4)):
        for norm in ("0.norm1", "0.norm2", "1.0"):
            shapes |= {f"{layer}.{norm}.{part}": (WIDTH,) for part in ("weight", "bias")}
        shapes |= {
            f"{layer}.0.to_q.weight": (64, WIDTH), f"{layer}.0.to_kv.weight": (128, WIDTH),
            f"{layer}.0.to_out.weight": (WIDTH, 64),
            f"{layer}.1.1.weight": (4 * WIDTH, WIDTH), f"{layer}.1.3.weight": (WIDTH, 4 * WIDTH),
        }  # fmt: skip
    return shapes


def pipeline(folder: Path, unet_channels: int = 4) -> StableDiffusionInpaintPipeline:
    """An inpainting pipeline with a 4- or 9-channel UNet."""
    torch.manual_seed(0)
    return StableDiffusionInpaintPipeline(
        vae=vae(),
        text_encoder=text_encoder(),
        tokenizer=tokenizer(folder),
        unet=unet(unet_channels),
        scheduler=DDIMScheduler(
            beta_schedule="scaled_linear",
            beta_start=0.00085,
            beta_end=0.012,
            clip_sample=False,
            set_alpha_to_one=False,
            steps_offset=1,
        ),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def scheduler(name: str, config: Mapping[str, Any]) -> SchedulerMixin:
    """The scheduler of a name, by diffusers' documentation, for the reference pipelines.

    Its table is independent of the application's, so that one checks the other.
    """
    if name == "euler":
        return EulerDiscreteScheduler.from_config(config)
    if name == "euler_a":
        return EulerAncestralDiscreteScheduler.from_config(config)
    if name == "dpm++2m":
        return DPMSolverMultistepScheduler.from_config(config)
    if name == "dpm++2m_karras":
        return DPMSolverMultistepScheduler.from_config(config, use_karras_sigmas=True)
    if name == "lcm":
        return LCMScheduler.from_config(config)
    if name == "tcd":
        return TCDScheduler.from_config(config)
    karras = {"dpm++sde": False, "dpm++sde_karras": True}[name]
    return DPMSolverSinglestepScheduler.from_config(
        config, algorithm_type="sde-dpmsolver++", use_karras_sigmas=karras
    )


def without(catalog: Catalog, *parts: str) -> Catalog:
    """The catalog, with a pack that lacks these parts, such as "enlarger"."""
    bare = catalog.family("pack").model_copy(update=dict.fromkeys(parts))
    families = {**catalog.family_by_key, "pack": bare}
    return catalog.model_copy(update={"family_by_key": families})
