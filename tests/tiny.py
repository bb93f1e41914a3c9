"""Real model classes at tiny size with random weights: shapes and arithmetic, not quality."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from diffusers import (
    AutoencoderKL,
    ControlNetModel,
    DDIMScheduler,
    StableDiffusionInpaintPipeline,
    UNet2DConditionModel,
)
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

WIDTH = 32


def tokenizer(folder: Path) -> CLIPTokenizer:
    """A CLIP tokenizer that spells every word letter by letter."""
    letters = [chr(code) for code in range(33, 127)]
    vocabulary = [*letters, *(f"{letter}</w>" for letter in letters)]
    words = {word: i for i, word in enumerate([*vocabulary, "<|startoftext|>", "<|endoftext|>"])}
    (folder / "vocab.json").write_text(json.dumps(words))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    return CLIPTokenizer(
        str(folder / "vocab.json"), str(folder / "merges.txt"), model_max_length=77
    )


def pipeline(folder: Path, unet_channels: int = 4) -> StableDiffusionInpaintPipeline:
    """An inpainting pipeline with a 4- or 9-channel UNet."""
    torch.manual_seed(0)
    words = tokenizer(folder)
    return StableDiffusionInpaintPipeline(
        vae=AutoencoderKL(
            block_out_channels=(8, 8, 16, 16),
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            latent_channels=4,
            norm_num_groups=4,
        ),
        text_encoder=CLIPTextModel(
            CLIPTextConfig(
                vocab_size=len(words), hidden_size=WIDTH, intermediate_size=WIDTH,
                num_hidden_layers=2, num_attention_heads=2, max_position_embeddings=77,
                eos_token_id=len(words) - 1, bos_token_id=len(words) - 2,
            )
        ).eval(),
        tokenizer=words,
        unet=UNet2DConditionModel(in_channels=unet_channels, sample_size=64, **_unet_shape()),
        scheduler=DDIMScheduler(
            beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012,
            clip_sample=False, set_alpha_to_one=False, steps_offset=1,
        ),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )  # fmt: skip


def controlnet(seed: int = 1) -> ControlNetModel:
    """A ControlNet that fits `pipeline`; its output layers are not zero, so that it matters."""
    torch.manual_seed(seed)
    shape = {key: value for key, value in _unet_shape().items() if key != "up_block_types"}
    model = ControlNetModel(conditioning_embedding_out_channels=(8, 8, 16, 16), **shape)
    for parameter in model.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.05)
    return model.eval()


def _unet_shape() -> dict[str, object]:
    return {
        "block_out_channels": (16, WIDTH),
        "layers_per_block": 1,
        "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
        "cross_attention_dim": WIDTH,
        "attention_head_dim": 4,
        "norm_num_groups": 4,
    }
