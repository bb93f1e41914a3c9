"""Pretraining of the IP-Adapter's image encoder (CLIPVisionModelWithProjection) on attributes.

CLIP is trained on millions of pairs of text and image. Here all attributes of a drawing are known
exactly, so linear heads predict each attribute from the embedding, as for the text encoder
(`text.py`). The heads are dropped afterwards, and `adapter.py` continues from this encoder.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from inference.picture.geometry import mask_box
from tools.portraits import HELD_OUT_SEED, draw, sample_spec, solo
from tools.portraits.captions import caption_of
from tools.training import text
from tools.training.common import Job, Trainer, averaged

SIDE = 64
DRAWN = (192, 192)  # size of the drawings that the pictures show
EMBEDDED = 96
HEADS = 0.3  # share of pictures that show a head alone
FLIPPED = 0.5
BATCH = 24
OUT_OF_SIGHT = ("scene", "clothes", "clothes_colour")  # not visible in a head alone


def build_encoder() -> CLIPVisionModelWithProjection:
    """An untrained image encoder."""
    return CLIPVisionModelWithProjection(
        CLIPVisionConfig(
            image_size=SIDE,
            patch_size=8,
            hidden_size=96,
            intermediate_size=256,
            num_hidden_layers=4,
            num_attention_heads=4,
            projection_dim=EMBEDDED,
        )
    )


def shown(seed: int, head: bool, style: str = "flat") -> NDArray[np.uint8]:
    """The encoder's picture of a seed: the drawing, or its head alone; (64, 64, 3) uint8."""
    portrait = draw(solo(sample_spec(seed), style), DRAWN, with_masks=head)
    image = portrait.image
    if head:
        image = image[mask_box(portrait.masks["face"], min_side=1).slices]
    height, width = image.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = image[top : top + side, left : left + side]
    return np.asarray(cv2.resize(square, (SIDE, SIDE), interpolation=cv2.INTER_AREA), np.uint8)


def to_input(pictures: list[NDArray[np.uint8]]) -> Tensor:
    """Convert to (n, 3, 64, 64), normalized as by the product's image processor."""
    processor = CLIPImageProcessorPil()
    mean, deviation = (
        torch.tensor(values)[:, None, None]
        for values in (processor.image_mean, processor.image_std)
    )
    stack = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float() / 255
    return (stack - mean) / deviation


def pictures_of(
    seeds: list[int], rng: np.random.Generator, heads_alone: float = HEADS
) -> tuple[list[NDArray[np.uint8]], Tensor]:
    """The pictures of seeds, some mirrored, and which of them show a head alone, (n,) bool."""
    heads = rng.random(len(seeds)) < heads_alone
    pictures = [shown(seed, bool(head)) for seed, head in zip(seeds, heads, strict=True)]
    mirrored = [
        np.ascontiguousarray(one[:, ::-1]) if rng.random() < FLIPPED else one for one in pictures
    ]
    return mirrored, torch.from_numpy(heads)


class Seer(nn.Module):
    """The encoder with a linear head for each attribute."""

    def __init__(self) -> None:
        """Build it, untrained."""
        super().__init__()
        self.encoder = build_encoder()
        sizes = {name: len(classes) for name, classes in text.ATTRIBUTES.items()}
        self.heads = nn.ModuleDict({name: nn.Linear(EMBEDDED, n) for name, n in sizes.items()})

    def forward(self, pictures: Tensor) -> dict[str, Tensor]:
        """Logits (n, classes) per attribute of pictures (n, 3, 64, 64)."""
        seen = self.encoder(pictures).image_embeds
        return {name: head(seen) for name, head in self.heads.items()}


def _scores(seer: Seer, seeds: list[int], rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Mean cross-entropy over all attributes, and mean accuracy."""
    pictures, heads = pictures_of(seeds, rng)
    captions = [caption_of(solo(sample_spec(seed))) for seed in seeds]
    losses, right = [], []
    for name, logits in seer(to_input(pictures)).items():
        classes = text.ATTRIBUTES[name]
        labels = torch.tensor([classes.index(getattr(one, name)) for one in captions])
        visible = ~heads if name in OUT_OF_SIGHT else torch.ones_like(heads)
        losses.append(F.cross_entropy(logits, labels, reduction="none")[visible].mean())
        right.append((logits.argmax(1) == labels)[visible].float().mean())
    return torch.stack(losses).mean(), torch.stack(right).mean()


def train(job: Job) -> None:
    """Train encoder and heads; report the accuracy on held-out drawings."""
    torch.manual_seed(0)
    trainer = Trainer(job, "encoder", Seer(), lr=1e-3, decay=0.995)
    rng = np.random.default_rng(trainer.step + 11)

    def report() -> None:
        seeds = [HELD_OUT_SEED + k for k in range(200)]
        with torch.no_grad():
            _, right = _scores(trainer.average, seeds, np.random.default_rng(1))
        print(f"encoder right on held-out drawings: {right:.3f}", flush=True)

    trainer.run(
        lambda: _scores(trainer.model, rng.integers(HELD_OUT_SEED, size=BATCH).tolist(), rng)[0],
        report,
    )


def load(job: Job) -> CLIPVisionModelWithProjection:
    """The trained encoder without its heads."""
    return averaged(job.work, "encoder", Seer()).encoder
