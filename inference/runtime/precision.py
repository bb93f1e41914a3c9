"""Precision of large models on a CPU, where memory is short and few processors have float16.

Weights are read in float16. They are used in bfloat16 where the processor is faster with it; else
they stay in float16, and each layer computes in float32 (diffusers' layerwise casting).
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import torch
from torch import nn

# Bytes of weights from which on a model is large.
LARGE_BYTES = 200 << 20
# How much faster bfloat16 has to be, since float32 is more exact.
GAIN = 1.2
_SIDE, _CHANNELS, _ROUNDS = 48, 320, 4


def is_large(path: Path) -> bool:
    """Whether a file, or the safetensors of a folder, make a large model."""
    files = [path] if path.is_file() else path.glob("*.safetensors")
    return sum(file.stat().st_size for file in files) >= LARGE_BYTES


def is_bfloat16_fast() -> bool:
    """Whether this processor convolves in bfloat16 at least `GAIN` times as fast as in float32.

    Takes a quarter of a second.
    """
    seconds = {torch.float32: float("inf"), torch.bfloat16: float("inf")}
    layers = {
        dtype: nn.Conv2d(_CHANNELS, _CHANNELS, 3, padding=1, dtype=dtype) for dtype in seconds
    }
    with torch.inference_mode():
        for _ in range(_ROUNDS):  # in turn, because other work may slow either down
            for dtype, layer in layers.items():
                picture = torch.ones(1, _CHANNELS, _SIDE, _SIDE, dtype=dtype)
                started = time.perf_counter()
                layer(picture)
                seconds[dtype] = min(seconds[dtype], time.perf_counter() - started)
    return seconds[torch.float32] >= GAIN * seconds[torch.bfloat16]


def use_less_memory(model: Any, *, bfloat16: bool) -> None:
    """Prepare a large diffusers model, read in float16, for a CPU.

    Args:
        model: a UNet or a ControlNet.
        bfloat16: use it in bfloat16; else keep it in float16 and compute in float32.
    """
    if bfloat16:
        model.to(torch.bfloat16)
        return
    model.enable_layerwise_casting(storage_dtype=torch.float16, compute_dtype=torch.float32)
    for layer in model.modules():
        # Norms are not cast; they are small.
        if not hasattr(layer, "_diffusers_hook") and not any(layer.children()):
            layer.float()
