"""Two small image classifiers for painted pictures: of the scene and of the drawing style.

They are trained on drawings by `tools/training/judges.py` and are no part of the product.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

from tools.portraits import STYLES
from tools.portraits.spec import SCENES

Pixels = NDArray[np.uint8]
Mask = NDArray[np.bool_]

FOLDER = Path(__file__).with_name("judges")
CLASSES: dict[str, tuple[str, ...]] = {"scene": SCENES, "style": STYLES}
SIDE = 160  # of a judge's square input, in pixels
DETAIL = 5.0  # amplification of the finest detail
HIDDEN = 128  # gray value of hidden pixels


class Judge(nn.Module):
    """Classifier of five strided convolutions and global average pooling."""

    def __init__(self, classes: tuple[str, ...]) -> None:
        """Build an untrained judge of `classes`."""
        super().__init__()
        self.classes = classes
        widths = (6, 16, 32, 48, 64, 96)
        layers: list[nn.Module] = []
        for before, after in pairwise(widths):
            layers += [nn.Conv2d(before, after, 3, 2, 1), nn.ReLU()]
            nn.init.kaiming_normal_(layers[-2].weight, nonlinearity="relu")
        self.features = nn.Sequential(*layers)
        self.head = nn.Linear(widths[-1], len(classes))

    def forward(self, pictures: Tensor) -> Tensor:
        """Logits (n, classes) of pictures (n, 3, h, w) in -1..1, of 160 pixels a side or crops."""
        smooth = F.avg_pool2d(pictures, 3, 1, 1, count_include_pad=False)
        fine = DETAIL * (pictures - smooth)  # outlines and grain are faint beside the colours
        seen: Tensor = self.features(torch.cat([pictures, fine], 1)).mean((2, 3))
        return self.head(seen)

    @torch.inference_mode()
    def judge(self, picture: Pixels, hidden: Mask | None = None) -> str:
        """The class of a picture (h, w, 3) of any size; pixels of `hidden` (h, w) are masked."""
        return self.classes[int(self(to_input(picture, hidden)[None]).argmax())]

    @torch.inference_mode()
    def sureness(self, picture: Pixels, name: str, hidden: Mask | None = None) -> float:
        """Probability, in 0-1, that a picture is of the class `name`."""
        chances = self(to_input(picture, hidden)[None]).softmax(1)
        return float(chances[0, self.classes.index(name)])

    def save(self, name: str, notes: dict[str, str]) -> None:
        """Write the weights in half precision, with metadata such as the accuracy."""
        FOLDER.mkdir(exist_ok=True)
        weights = {key: value.half().contiguous() for key, value in self.state_dict().items()}
        save_file(weights, FOLDER / f"{name}.safetensors", metadata=notes)


def load(name: str) -> Judge:
    """The trained judge of "scene" or "style"."""
    judge = Judge(CLASSES[name])
    weights = load_file(FOLDER / f"{name}.safetensors")
    judge.load_state_dict({key: value.float() for key, value in weights.items()})
    return judge.eval().requires_grad_(False)


def notes(name: str) -> dict[str, str]:
    """Metadata of a saved judge."""
    with safe_open(FOLDER / f"{name}.safetensors", framework="pt") as file:
        return dict(file.metadata() or {})


def to_input(picture: Pixels, hidden: Mask | None = None) -> Tensor:
    """Convert a picture (h, w, 3) to a judge's input, (3, 160, 160) in -1..1."""
    if hidden is not None:
        picture = np.where(hidden[..., None], np.uint8(HIDDEN), picture)
    method = cv2.INTER_AREA if min(picture.shape[:2]) >= SIDE else cv2.INTER_LINEAR
    small = cv2.resize(picture, (SIDE, SIDE), interpolation=method)
    return torch.from_numpy(small).permute(2, 0, 1).float() / 127.5 - 1
