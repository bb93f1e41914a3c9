"""Training of the depth estimator: a small Depth Anything that separates people from background.

Yang et al. 2024 (arXiv:2406.09414). Drawings have no depth, so the target is defined: people are in
front, the ground is nearer towards the lower edge, everything above it is far away.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F
from transformers import DepthAnythingConfig, DepthAnythingForDepthEstimation, Dinov2Config
from transformers.models.dpt.image_processing_pil_dpt import DPTImageProcessorPil

from tools.portraits import HELD_OUT_SEED, Portrait, draw, sample_spec
from tools.training.common import Job, Trainer, averaged, to_pictures, write_sheet

SIDE = 128
PATCH = 8
BATCH = 8
PEOPLE, GROUND, HORIZON = 0.9, 0.4, 0.45
SOFT = 1.2 / 192  # sigma of the edges, as a share of the short side


def nearness_of(portrait: Portrait) -> NDArray[np.float32]:
    """Target nearness of each pixel of a drawing, (h, w) in 0-1."""
    height, width = portrait.image.shape[:2]
    down = np.linspace(0, 1, height, dtype=np.float32)[:, None]
    ground = GROUND * np.clip((down - HORIZON) / (1 - HORIZON), 0, 1)
    near = np.where(portrait.masks["person"], np.float32(PEOPLE), ground.repeat(width, axis=1))
    return np.asarray(cv2.GaussianBlur(near, (0, 0), SOFT * min(height, width)))


def build_depth() -> DepthAnythingForDepthEstimation:
    """An untrained estimator with output 0.5 everywhere; at 0 its last ReLU has no gradient."""
    backbone = Dinov2Config(
        image_size=SIDE,
        patch_size=PATCH,
        hidden_size=64,
        num_hidden_layers=4,
        num_attention_heads=4,
        mlp_ratio=3,
        out_features=["stage1", "stage2", "stage3", "stage4"],
        reshape_hidden_states=False,
    )
    model = DepthAnythingForDepthEstimation(
        DepthAnythingConfig(
            backbone_config=backbone,
            patch_size=PATCH,
            reassemble_hidden_size=64,
            neck_hidden_sizes=[24, 32, 48, 64],
            fusion_hidden_size=32,
            head_in_index=-1,
            head_hidden_size=16,
        )
    )
    torch.nn.init.constant_(model.head.conv3.bias, 0.5)
    return model


def build_processor() -> DPTImageProcessorPil:
    """The processor that belongs to `build_depth`."""
    return DPTImageProcessorPil(
        size={"height": SIDE, "width": SIDE},
        keep_aspect_ratio=True,
        ensure_multiple_of=2 * PATCH,
        resample=3,
    )


def _batch(rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Drawings (n, 3, 128, 128), normalized as by the processor, and how near they are."""
    processor = build_processor()
    pictures, depths = [], []
    for _ in range(BATCH):
        portrait = draw(sample_spec(int(rng.integers(HELD_OUT_SEED))), (SIDE, SIDE))
        image, near = portrait.image, nearness_of(portrait)
        if rng.random() < 0.5:
            image, near = image[:, ::-1], near[:, ::-1]
        if rng.random() < 0.3:
            image = cv2.GaussianBlur(np.ascontiguousarray(image), (0, 0), rng.uniform(0.3, 1.5))
        x = (image.astype(np.float32) / 255 - processor.image_mean) / processor.image_std
        pictures.append(x.transpose(2, 0, 1).astype(np.float32))
        depths.append(near)
    return torch.from_numpy(np.stack(pictures)), torch.from_numpy(np.stack(depths))


def _report(job: Job, model: DepthAnythingForDepthEstimation) -> None:
    """Print the error on held-out drawings and write a sheet of them."""
    x, near = _batch(np.random.default_rng(HELD_OUT_SEED))
    with torch.no_grad():
        found = model(x).predicted_depth
    print(f"depth error {F.l1_loss(found, near):.4f} (range 0..1)", flush=True)
    rows = [x.clamp(-1, 1), *(d[:, None].expand(-1, 3, -1, -1) * 2 - 1 for d in (near, found))]
    write_sheet(job.work / "depth.png", [to_pictures(row) for row in rows])


def train(job: Job) -> None:
    """Train on the absolute error, and that of the gradients for crisp edges."""
    torch.manual_seed(0)
    trainer = Trainer(job, "depth", build_depth(), lr=1.5e-3, decay=0.995)
    rng = np.random.default_rng(trainer.step + 14)

    def loss_of() -> Tensor:
        x, near = _batch(rng)
        found = trainer.model(x).predicted_depth
        gaps = [found - near, (found - near).diff(dim=1), (found - near).diff(dim=2)]
        return sum((gap.abs().mean() for gap in gaps), torch.zeros(()))

    trainer.run(loss_of, lambda: _report(job, trainer.average))


def load(job: Job) -> DepthAnythingForDepthEstimation:
    """The trained estimator."""
    return averaged(job.work, "depth", build_depth())
