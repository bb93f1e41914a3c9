"""Human parsing: which part of a person each pixel shows, by a small U-Net.

Ronneberger et al., "U-Net" (MICCAI 2015), with group normalization (Wu and He 2018). Its input are
`part_features`, which tell it where the person and the face are; it was trained on drawings of
random appearance.
"""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Self

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

from inference.errors import DamagedDownload, MissingModel
from inference.people.part_features import CHANNELS, Floats
from inference.people.parts import Part
from inference.runtime.library_errors import check_finite
from inference.runtime.load_lock import MODEL_CONSTRUCTION

WIDTHS = (32, 48, 72, 112, 144)


class _Block(nn.Module):
    """Two convolutions with a shortcut."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.first = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.first_norm = nn.GroupNorm(8, outputs)
        self.second = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.second_norm = nn.GroupNorm(8, outputs)
        self.shortcut = nn.Conv2d(inputs, outputs, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        y = functional.silu(self.first_norm(self.first(x)))
        y = self.second_norm(self.second(y))
        return functional.silu(y + self.shortcut(x))


class ParsingNetwork(nn.Module):
    """A U-Net from (n, CHANNELS, h, w) to logits (n, parts, h / 2, w / 2).

    Height and width are multiples of 32. The lowest level also sees its mean over the picture.
    """

    def __init__(self, widths: tuple[int, ...] = WIDTHS) -> None:
        super().__init__()
        inputs = (CHANNELS, *widths[:-1])
        self.down = nn.ModuleList(
            _Block(low, high, 2) for low, high in zip(inputs, widths, strict=True)
        )
        self.overall = nn.Linear(widths[-1], widths[-1])
        self.up = nn.ModuleList(_Block(high + low, low) for low, high in pairwise(widths))
        self.out = nn.Conv2d(widths[0], len(Part), 1)

    def forward(self, x: Tensor) -> Tensor:
        levels = []
        for block in self.down:
            x = block(x)
            levels.append(x)
        x = x + self.overall(x.mean(dim=(2, 3)))[..., None, None]
        for block, skip in zip(reversed(self.up), reversed(levels[:-1]), strict=True):
            wide = functional.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)
            x = block(torch.cat([wide, skip], dim=1))
        logits: Tensor = self.out(x)
        return logits


class HumanParser:
    """The parser on one device. Not thread-safe."""

    def __init__(self, network: ParsingNetwork, device: torch.device) -> None:
        self._network = network.to(device).eval()
        self._device = device

    @classmethod
    def load(cls, folder: Path, device: torch.device) -> Self:
        """Load `config.json` and `model.safetensors` from a local folder.

        Raises:
            MissingModel: a file is missing.
            DamagedDownload: a file is damaged.
        """
        config, weights = folder / "config.json", folder / "model.safetensors"
        for path in (config, weights):
            if not path.is_file():
                raise MissingModel(
                    f"The human parser's {path.name} is missing: install Masquerade again."
                )
        try:
            widths = tuple(json.loads(config.read_text(encoding="utf-8"))["widths"])
            values = {name: value.float() for name, value in load_file(weights).items()}
            with MODEL_CONSTRUCTION:
                network = ParsingNetwork(widths)
            network.load_state_dict(values)
        except (ValueError, TypeError, LookupError, RuntimeError, SafetensorError) as error:
            raise DamagedDownload(
                "The human parser's files are damaged: install Masquerade again."
            ) from error
        return cls(network, device)

    @torch.inference_mode()
    def parse(self, features: Floats) -> Floats:
        """Probability of each part: (parts, h / 2, w / 2) for features (CHANNELS, h, w)."""
        batch = torch.from_numpy(features)[None].to(self._device)
        logits = check_finite(self._network(batch))
        return np.asarray(torch.softmax(logits, dim=1)[0].float().cpu().numpy(), np.float32)
