"""Random weights of LoRAs and IP-Adapters for a UNet, in the layout of their repositories."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import nn

from tools.full.networks import build
from tools.full.published import Shapes

# Layers that the LoRAs of LCM and TCD change.
_LORA_LAYERS = (
    "to_q", "to_k", "to_v", "to_out.0", "proj_in", "proj_out", "ff.net.0.proj", "ff.net.2",
    "conv1", "conv2", "conv_shortcut", "downsamplers.0.conv", "upsamplers.0.conv", "time_emb_proj",
)  # fmt: skip
_RESAMPLER_LAYERS, _HEAD_WIDTH = 4, 64
# Tokens of an adapter that reads the embedding of the whole picture.
_TOKENS = 4
_SPREAD = 0.02


def lora(shapes: Shapes) -> dict[str, torch.Tensor]:
    """A LoRA in kohya's format, half precision, as LCM's and TCD's training script writes it."""
    weights, rank = {}, shapes.lora_rank
    for name, layer in _unet(shapes).named_modules():
        if not name.endswith(_LORA_LAYERS) or not isinstance(layer, (nn.Linear, nn.Conv2d)):
            continue
        out, into, *kernel = layer.weight.shape
        key = "lora_unet_" + name.replace(".", "_")
        weights[f"{key}.lora_down.weight"] = _random(rank, into, *kernel)
        weights[f"{key}.lora_up.weight"] = _random(out, rank, *(1 for _ in kernel))
        weights[f"{key}.alpha"] = torch.tensor(float(rank), dtype=torch.float16)
    return weights


def ip_adapter(shapes: Shapes, *, is_plus: bool) -> dict[str, torch.Tensor]:
    """An IP-Adapter, half precision.

    Args:
        shapes: of UNet and image encoder.
        is_plus: whether it reads embeddings of patches through a resampler («plus»), instead of
            the embedding of the whole picture.
    """
    parts = _resampler(shapes) if is_plus else _projection(shapes)
    weights = {f"image_proj.{name}": _random(*shape) for name, shape in parts.items()}
    for number, width in enumerate(_cross_attention_widths(shapes)):
        for part in ("to_k_ip", "to_v_ip"):
            key = f"ip_adapter.{2 * number + 1}.{part}.weight"
            weights[key] = _random(width, _text_width(shapes))
    return weights


def _cross_attention_widths(shapes: Shapes) -> Iterator[int]:
    """The widths of the cross-attention layers, in the order of the UNet's processors."""
    unet = _unet(shapes)
    for name in unet.attn_processors:  # type: ignore[union-attr]
        if name.endswith("attn2.processor"):
            yield unet.get_submodule(name.removesuffix(".processor")).to_q.weight.shape[0]


def _projection(shapes: Shapes) -> Mapping[str, tuple[int, ...]]:
    text, picture = _text_width(shapes), shapes.networks["image_encoder"]["projection_dim"]
    return {
        "proj.weight": (_TOKENS * text, picture), "proj.bias": (_TOKENS * text,),
        "norm.weight": (text,), "norm.bias": (text,),
    }  # fmt: skip


def _resampler(shapes: Shapes) -> Mapping[str, tuple[int, ...]]:
    text, patch = _text_width(shapes), shapes.networks["image_encoder"]["hidden_size"]
    inner = shapes.heads * _HEAD_WIDTH
    parts: dict[str, tuple[int, ...]] = {
        "latents": (1, shapes.image_tokens, text),
        "proj_in.weight": (text, patch), "proj_in.bias": (text,),
        "proj_out.weight": (text, text), "proj_out.bias": (text,),
        "norm_out.weight": (text,), "norm_out.bias": (text,),
    }  # fmt: skip
    for layer in (f"layers.{k}" for k in range(_RESAMPLER_LAYERS)):
        for norm in ("0.norm1", "0.norm2", "1.0"):
            parts |= {f"{layer}.{norm}.{part}": (text,) for part in ("weight", "bias")}
        parts |= {
            f"{layer}.0.to_q.weight": (inner, text), f"{layer}.0.to_kv.weight": (2 * inner, text),
            f"{layer}.0.to_out.weight": (text, inner),
            f"{layer}.1.1.weight": (4 * text, text), f"{layer}.1.3.weight": (text, 4 * text),
        }  # fmt: skip
    return parts


def _text_width(shapes: Shapes) -> int:
    width: int = shapes.networks["unet"]["cross_attention_dim"]
    return width


def _unet(shapes: Shapes) -> nn.Module:
    """The UNet without weights."""
    with torch.device("meta"):
        return build("unet", shapes.networks["unet"])


def _random(*shape: int) -> torch.Tensor:
    return (_SPREAD * torch.randn(shape)).half()
