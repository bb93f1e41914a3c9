"""Training of the semantic segmenter: a small UperNet for the 13 ADE20K classes of drawings.

Xiao et al., "Unified Perceptual Parsing for Scene Understanding" (ECCV 2018).
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import ConvNextConfig, UperNetConfig, UperNetForSemanticSegmentation
from transformers.models.segformer.image_processing_pil_segformer import SegformerImageProcessorPil

from inference.control.ade20k_palette import ade20k_palette
from tools.portraits import HELD_OUT_SEED, draw, sample_spec
from tools.training.common import Job, Trainer, averaged, to_pictures, write_sheet

SIDE = 128
BATCH = 8
CLASSES = 150


def build_rooms() -> UperNetForSemanticSegmentation:
    """An untrained segmenter."""
    backbone = ConvNextConfig(
        hidden_sizes=[24, 40, 64, 96],
        depths=[1, 1, 2, 1],
        out_features=["stage1", "stage2", "stage3", "stage4"],
    )
    return UperNetForSemanticSegmentation(
        UperNetConfig(
            backbone_config=backbone,
            hidden_size=40,
            pool_scales=[1, 2, 3, 6],
            use_auxiliary_head=False,
            num_labels=CLASSES,
        )
    )


def build_processor() -> SegformerImageProcessorPil:
    """The processor that belongs to `build_rooms`."""
    return SegformerImageProcessorPil(size={"height": SIDE, "width": SIDE})


def _batch(rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Drawings (n, 3, 128, 128), normalized as by the processor, and their classes."""
    processor = build_processor()
    pictures, classes = [], []
    for _ in range(BATCH):
        portrait = draw(sample_spec(int(rng.integers(HELD_OUT_SEED))), (SIDE, SIDE), False)
        image, things = portrait.image, portrait.things
        if rng.random() < 0.5:
            image, things = image[:, ::-1], things[:, ::-1]
        if rng.random() < 0.4:  # paintings are softer than drawings
            image = cv2.GaussianBlur(np.ascontiguousarray(image), (0, 0), rng.uniform(0.3, 1.5))
        x = (image.astype(np.float32) / 255 - processor.image_mean) / processor.image_std
        pictures.append(x.transpose(2, 0, 1).astype(np.float32))
        classes.append(things.astype(np.int64))
    return torch.from_numpy(np.stack(pictures)), torch.from_numpy(np.stack(classes))


def _report(job: Job, model: UperNetForSemanticSegmentation) -> None:
    """Print the pixel accuracy on held-out drawings, and write a sheet of them."""
    x, classes = _batch(np.random.default_rng(HELD_OUT_SEED))
    with torch.no_grad():
        found = model(x).logits.argmax(dim=1)
    print(f"rooms: {(found == classes).float().mean():.3f} of the pixels right", flush=True)
    maps = [list(ade20k_palette()[one.numpy()]) for one in (classes, found)]
    write_sheet(job.work / "rooms.png", [to_pictures(x.clamp(-1, 1)), *maps])


def train(job: Job) -> None:
    """Train on the cross entropy of each pixel."""
    torch.manual_seed(0)
    trainer = Trainer(job, "rooms", build_rooms(), lr=2e-3, decay=0.99)
    rng = np.random.default_rng(trainer.step + 15)

    def loss_of() -> Tensor:
        x, classes = _batch(rng)
        return F.cross_entropy(trainer.model(x).logits, classes)

    trainer.run(loss_of, lambda: _report(job, trainer.average))


def load(job: Job) -> UperNetForSemanticSegmentation:
    """The trained segmenter."""
    return averaged(job.work, "rooms", build_rooms())
