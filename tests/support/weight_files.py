"""Weights in other forms than the usual one.

One file with a whole checkpoint, by the names of the original Stable Diffusion code; pickles.
"""

from __future__ import annotations

import re
from pathlib import Path

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from safetensors.torch import load_file, save_file
from transformers import CLIPTextModel

from tests.support import tiny_models

# Names within a residual block and within the autoencoder's attention: diffusers', original.
_RESNET = {
    "norm1": "in_layers.0", "conv1": "in_layers.2", "norm2": "out_layers.0",
    "conv2": "out_layers.3", "time_emb_proj": "emb_layers.1", "conv_shortcut": "skip_connection",
}  # fmt: skip
_ATTENTION = {
    "group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out",
}  # fmt: skip
_UNET = {
    "time_embedding.linear_1": "time_embed.0", "time_embedding.linear_2": "time_embed.2",
    "conv_in": "input_blocks.0.0", "conv_norm_out": "out.0", "conv_out": "out.2",
    "mid_block.resnets.0": "middle_block.0", "mid_block.attentions.0": "middle_block.1",
    "mid_block.resnets.1": "middle_block.2",
}  # fmt: skip


def pickle_weights(folder: Path) -> None:
    """Replace each file of safetensors in a folder by a pickle, under the name that it has then."""
    for file in folder.rglob("*.safetensors"):
        name = re.sub(r"^model(?=\.)", "pytorch_model", file.name)
        torch.save(load_file(file), file.with_name(name).with_suffix(".bin"))
        file.unlink()


def save_single_file(file: Path, channels: int = 4) -> None:
    """A checkpoint of new tiny models with all of UNet, autoencoder and text encoder."""
    unet, vae, encoder = tiny_models.unet(channels), tiny_models.vae(), tiny_models.text_encoder()
    file.parent.mkdir(parents=True, exist_ok=True)
    save_file(original_weights(unet, vae, encoder), file)


def original_weights(
    unet: UNet2DConditionModel, vae: AutoencoderKL, encoder: CLIPTextModel
) -> dict[str, torch.Tensor]:
    """The weights of a whole checkpoint by the names of the original Stable Diffusion code."""
    layers = unet.config.layers_per_block
    weights = {
        f"model.diffusion_model.{_of_unet(name, layers)}": value
        for name, value in unet.state_dict().items()
    }
    blocks = len(vae.config.block_out_channels)
    for name, value in vae.state_dict().items():
        original = _of_vae(name, blocks)
        is_linear = ".attn_1." in original and original.endswith("weight") and value.dim() == 2
        weights[f"first_stage_model.{original}"] = value[:, :, None, None] if is_linear else value
    for name, value in encoder.state_dict().items():
        bare = name.removeprefix("text_model.")
        weights[f"cond_stage_model.transformer.text_model.{bare}"] = value
    return {name: value.clone() for name, value in weights.items()}


def _of_unet(name: str, layers: int) -> str:
    """The original name of a UNet's weight; `layers` is the number of layers of a down block."""
    for ours, original in _UNET.items():
        if name.startswith(f"{ours}."):
            original += name.removeprefix(ours)
            return original if "attentions" in ours else _of_resnet(original)
    found = re.fullmatch(r"(down|up)_blocks\.(\d+)\.(\w+)\.(\d+)\.(.+)", name)
    assert found, name
    side, block, kind, index, rest = found[1], int(found[2]), found[3], int(found[4]), found[5]
    first = block * (layers + 1)
    if kind == "downsamplers":
        return f"input_blocks.{first + layers + 1}.0.op.{rest.removeprefix('conv.')}"
    if kind == "upsamplers":
        # Behind the attention, which all blocks have but the first.
        return f"output_blocks.{first + layers}.{1 + min(block, 1)}.{rest}"
    place = (
        f"input_blocks.{first + index + 1}" if side == "down" else f"output_blocks.{first + index}"
    )
    return _of_resnet(f"{place}.0.{rest}") if kind == "resnets" else f"{place}.1.{rest}"


def _of_resnet(name: str) -> str:
    for ours, original in _RESNET.items():
        name = re.sub(rf"\.{ours}\.(weight|bias)$", rf".{original}.\1", name)
    return name


def _of_vae(name: str, blocks: int) -> str:
    """The original name of an autoencoder's weight, which has so many blocks."""
    name = re.sub(r"down_blocks\.(\d)\.resnets\.(\d)", r"down.\1.block.\2", name)
    name = re.sub(r"down_blocks\.(\d)\.downsamplers\.0", r"down.\1.downsample", name)
    for kind, original in (("resnets.(\\d)", "block.{}"), ("upsamplers.0()", "upsample")):
        name = re.sub(
            rf"up_blocks\.(\d)\.{kind}",
            lambda found, original=original: (
                f"up.{blocks - 1 - int(found[1])}.{original.format(found[2])}"
            ),
            name,
        )
    name = re.sub(r"mid_block\.resnets\.(\d)", lambda found: f"mid.block_{int(found[1]) + 1}", name)
    name = name.replace("mid_block.attentions.0", "mid.attn_1")
    name = name.replace("conv_norm_out", "norm_out").replace("conv_shortcut", "nin_shortcut")
    if ".attn_1." in name:
        for ours, original in _ATTENTION.items():
            name = name.replace(f"attn_1.{ours}.", f"attn_1.{original}.")
    return name
