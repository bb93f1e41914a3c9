"""Networks of the published classes with random weights in half precision, saved as published."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import torch
from diffusers import AutoencoderKL, ControlNetModel, UNet2DConditionModel
from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import (
    CLIPConfig,
    CLIPSegConfig,
    CLIPSegForImageSegmentation,
    CLIPTextConfig,
    CLIPTextModel,
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
    ConvNextConfig,
    DepthAnythingConfig,
    DepthAnythingForDepthEstimation,
    Dinov2Config,
    SamConfig,
    SamModel,
    Swin2SRConfig,
    Swin2SRForImageSuperResolution,
    UperNetConfig,
    UperNetForSemanticSegmentation,
    VitPoseBackboneConfig,
    VitPoseConfig,
    VitPoseForPoseEstimation,
)

from tools.full.published import Config

Weights: TypeAlias = dict[str, torch.Tensor]

#: Kinds of networks that repositories have in the names of old diffusers or transformers.
LEGACY_VAE = "vae, old names"


def build(kind: str, config: Config) -> nn.Module:
    """A network of a kind, with random weights in float32; on the default device."""
    torch.manual_seed(0)
    model: nn.Module = _BUILDERS[kind](config)
    return model


def save(model: nn.Module, kind: str, folder: Path) -> None:
    """Write config and weights of a network in half precision, by the names of its repository."""
    model.half().save_pretrained(folder)
    renamed = _PUBLISHED_NAMES.get(kind)
    if renamed is not None:
        file = next(folder.glob("*.safetensors"))
        weights = renamed(load_file(file))
        save_file(weights, file, metadata={"format": "pt"})


def save_json(file: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON file."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(content), encoding="utf-8")


def _controlnet(config: Config) -> nn.Module:
    """A ControlNet whose output layers are not zero, so that it has an effect."""
    model = ControlNetModel(**config)
    for layer in (*model.controlnet_down_blocks, model.controlnet_mid_block):
        nn.init.normal_(layer.weight, std=0.02)
    nn.init.normal_(model.controlnet_cond_embedding.conv_out.weight, std=0.02)
    return model


def _vae(config: Config) -> nn.Module:
    blocks = len(config["block_out_channels"])
    kinds = {
        "down_block_types": ("DownEncoderBlock2D",) * blocks,
        "up_block_types": ("UpDecoderBlock2D",) * blocks,
    }
    return AutoencoderKL(**kinds, **config)


def _pose(config: Config) -> nn.Module:
    """A ViTPose that is sure of each key point, wherever it puts it."""
    backbone, rest = _split(config)
    model = VitPoseForPoseEstimation(
        VitPoseConfig(backbone_config=VitPoseBackboneConfig(**backbone), **rest)
    )
    nn.init.constant_(model.head.conv.bias, 0.8)
    return model


def _depth(config: Config) -> nn.Module:
    backbone, rest = _split(config)
    model = DepthAnythingForDepthEstimation(
        DepthAnythingConfig(backbone_config=Dinov2Config(**backbone), **rest)
    )
    for parameter in (*model.neck.parameters(), *model.head.parameters()):
        if parameter.dim() > 1:  # the class's own start gives a flat picture
            nn.init.xavier_normal_(parameter, gain=2)
    return model


def _rooms(config: Config) -> nn.Module:
    backbone, rest = _split(config)
    return UperNetForSemanticSegmentation(
        UperNetConfig(backbone_config=ConvNextConfig(**backbone), **rest)
    )


def _checker(config: Config) -> nn.Module:
    """A safety checker that flags nothing, because no cosine is above 1."""
    model = StableDiffusionSafetyChecker(CLIPConfig(**config))
    for name in ("concept_embeds", "special_care_embeds"):
        nn.init.normal_(getattr(model, name))
        nn.init.constant_(getattr(model, f"{name}_weights"), 2.0)
    return model


def _split(config: Config) -> tuple[Config, Config]:
    """The backbone's config, and the rest."""
    return config["backbone"], {key: value for key, value in config.items() if key != "backbone"}


_BUILDERS: dict[str, Callable[[Config], Any]] = {
    "unet": lambda config: UNet2DConditionModel(**config),
    "controlnet": _controlnet,
    "vae": _vae,
    LEGACY_VAE: _vae,
    "text_encoder": lambda config: CLIPTextModel(CLIPTextConfig(**config)),
    "image_encoder": lambda config: CLIPVisionModelWithProjection(CLIPVisionConfig(**config)),
    "segmenter": lambda config: CLIPSegForImageSegmentation(CLIPSegConfig(**config)),
    "point_segmenter": lambda config: SamModel(SamConfig(**config)),
    "pose": _pose,
    "depth": _depth,
    "rooms": _rooms,
    "enlarger": lambda config: Swin2SRForImageSuperResolution(Swin2SRConfig(**config)),
    "checker": _checker,
}


# --- names of weights as in the repositories ------------------------------------------------------


def _old_attention(weights: Weights) -> Weights:
    """Attention layers of an autoencoder as diffusers named them until 2022."""
    pairs = (("to_q", "query"), ("to_k", "key"), ("to_v", "value"), ("to_out.0", "proj_attn"))
    renamed = {}
    for name, tensor in weights.items():
        for new, old in pairs if "attentions." in name else ():
            name = name.replace(f".{new}.", f".{old}.")
        renamed[name] = tensor
    return renamed


def _nested_text(weights: Weights) -> Weights:
    """A text encoder as transformers named it until 2026, with the positions that it then kept."""
    positions = weights["embeddings.position_embedding.weight"].shape[0]
    kept = {"embeddings.position_ids": torch.arange(positions)[None]}
    return {f"text_model.{name}": tensor for name, tensor in (weights | kept).items()}


def _nested_vision(weights: Weights) -> Weights:
    """A safety checker as in its repository, whose vision tower is nested a level deeper."""
    tower = "vision_model."
    return {
        name.replace(tower, tower * 2, 1) if name.startswith(tower) else name: tensor
        for name, tensor in weights.items()
    }


_PUBLISHED_NAMES: dict[str, Callable[[Weights], Weights]] = {
    LEGACY_VAE: _old_attention,
    "text_encoder": _nested_text,
    "checker": _nested_vision,
}
