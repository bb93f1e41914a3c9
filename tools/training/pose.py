"""Training of the pose estimator: VitPoseForPoseEstimation on 96 x 128 crops of a person."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from diffusers import AutoencoderKL
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F
from transformers import (
    VitPoseBackboneConfig,
    VitPoseConfig,
    VitPoseForPoseEstimation,
    VitPoseImageProcessorPil,
)

from tools.portraits import HELD_OUT_SEED, Portrait, draw, sample_spec, solo
from tools.training import sharpener
from tools.training.common import SQUARE, TALL, Job, Trainer, averaged
from tools.training.vae import repainted

WIDTH, HEIGHT = 96, 128
MAP_WIDTH, MAP_HEIGHT = 48, 64
SIGMA = 1.6  # of the peaks of the target heatmaps, in heatmap pixels
PADDING = 1.25  # factor by which the processor widens a box
MIRRORED = [0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15]
BATCH = 16
PAINTED = 0.4  # share of a batch that imitates paintings
PAINT_NOISE = 0.25  # largest standard deviation, on scaled latents


def build_pose() -> VitPoseForPoseEstimation:
    """An untrained estimator of patch size 8, so that heatmaps have half the crop's resolution."""
    backbone = VitPoseBackboneConfig(
        image_size=(HEIGHT, WIDTH),
        patch_size=(8, 8),
        hidden_size=96,
        num_hidden_layers=4,
        num_attention_heads=4,
        mlp_ratio=3,
        out_indices=[4],
    )
    return VitPoseForPoseEstimation(
        VitPoseConfig(backbone_config=backbone, num_labels=17, scale_factor=4)
    )


def build_processor() -> VitPoseImageProcessorPil:
    """The processor that belongs to `build_pose`; it needs scipy, not torchvision."""
    return VitPoseImageProcessorPil(size={"height": HEIGHT, "width": WIDTH})


def person_box(portrait: Portrait) -> NDArray[np.float64]:
    """The box of the person: left, top, width, height in pixels."""
    ys, xs = np.nonzero(portrait.masks["person"])
    return np.array([xs.min(), ys.min(), np.ptp(xs) + 1, np.ptp(ys) + 1], dtype=np.float64)


def crop_matrix(box: NDArray[np.float64]) -> NDArray[np.float64]:
    """The processor's affine map (2, 3) from picture pixels to crop pixels for a box."""
    left, top, width, height = box
    wide = max(width, height * WIDTH / HEIGHT) * PADDING
    scale = np.array([(WIDTH - 1) / wide, (HEIGHT - 1) / (wide * HEIGHT / WIDTH)])
    corner = np.array([left + width / 2, top + height / 2]) - wide / 2 * np.array(
        [1, HEIGHT / WIDTH]
    )
    return np.array([[scale[0], 0, -corner[0] * scale[0]], [0, scale[1], -corner[1] * scale[1]]])


def heatmaps(keypoints: NDArray[np.float32], matrix: NDArray[np.float64]) -> NDArray[np.float32]:
    """Gaussian peaks (17, 64, 48) of key points (17, 3); all zero where not visible."""
    to_map = np.array([(MAP_WIDTH - 1) / (WIDTH - 1), (MAP_HEIGHT - 1) / (HEIGHT - 1)])
    spots = (keypoints[:, :2] @ matrix[:, :2].T + matrix[:, 2]) * to_map
    y, x = np.mgrid[:MAP_HEIGHT, :MAP_WIDTH]
    distance = (x - spots[:, 0, None, None]) ** 2 + (y - spots[:, 1, None, None]) ** 2
    peaks = np.exp(-distance / (2 * SIGMA**2)) * keypoints[:, 2, None, None]
    return np.asarray(peaks, dtype=np.float32)


def _portraits(
    rng: np.random.Generator, vae: AutoencoderKL
) -> list[tuple[NDArray[np.uint8], Portrait]]:
    """A batch of one size: pictures, a part of them as if painted around the head, and drawings."""
    size = SQUARE if rng.random() < 0.5 else TALL
    specs = [sample_spec(int(seed)) for seed in rng.integers(HELD_OUT_SEED, size=BATCH)]
    portraits = [draw(solo(spec, spec.style), size) for spec in specs]
    pictures = [portrait.image for portrait in portraits]
    count = round(PAINTED * BATCH)
    decoded = repainted(vae, pictures[:count], rng.uniform(0, PAINT_NOISE))
    for k, picture in enumerate(decoded):
        pictures[k] = np.where(portraits[k].masks["head"][..., None], pictures[k], picture)
    return list(zip(pictures, portraits, strict=True))


def _lesson(
    rng: np.random.Generator, image: NDArray[np.uint8], portrait: Portrait
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """One crop (3, 128, 96), normalized as by the processor, and its heatmaps."""
    points, box = portrait.keypoints.copy(), person_box(portrait)
    if rng.random() < 0.5:
        width = image.shape[1]
        image = image[:, ::-1]
        points = points[MIRRORED]
        points[:, 0] = width - 1 - points[:, 0]
        box[0] = width - box[0] - box[2]
    box[2:] *= rng.uniform(0.92, 1.08, 2)
    box[:2] += rng.normal(0, 0.02, 2) * box[2:]
    matrix = crop_matrix(box)
    crop = cv2.warpAffine(
        np.ascontiguousarray(image), matrix, (WIDTH, HEIGHT), flags=cv2.INTER_LINEAR
    )
    if rng.random() < 0.3:  # paintings are softer than drawings
        crop = cv2.GaussianBlur(crop, (0, 0), rng.uniform(0.5, 2.0))
    processor = build_processor()
    x = (crop.astype(np.float32) / 255 - processor.image_mean) / processor.image_std
    x = x * rng.uniform(0.85, 1.15) + rng.normal(0, 0.05, x.shape)
    return x.transpose(2, 0, 1).astype(np.float32), heatmaps(points, matrix)


def measure(
    model: VitPoseForPoseEstimation, count: int, vae: AutoencoderKL | None = None
) -> dict[str, float]:
    """Errors on held-out drawings through the processor, as in the product.

    With `vae` the drawings went through it.

    The mean distance in percent of the short side over visible points found (score of 0.3 or
    more), the part of visible points found, and the part of invisible ones wrongly found.
    """
    processor = build_processor()
    distances, found, invented = [], [], []
    for k in range(count):
        spec = sample_spec(HELD_OUT_SEED + k)
        portrait = draw(solo(spec, spec.style), SQUARE if k % 2 else TALL)
        image = repainted(vae, [portrait.image], 0.0)[0] if vae else portrait.image
        boxes = [[person_box(portrait).tolist()]]
        inputs = processor(image, boxes=boxes, return_tensors="pt")
        with torch.no_grad():
            outputs = model(inputs.pixel_values)
        person = processor.post_process_pose_estimation(outputs, boxes=boxes)[0][0]
        points, sure = person["keypoints"].numpy(), person["scores"].numpy() >= 0.3
        visible = portrait.keypoints[:, 2] > 0
        gap = np.linalg.norm(points - portrait.keypoints[:, :2], axis=1)
        distances += list(gap[visible & sure])
        found += list(sure[visible])
        invented += list(sure[~visible])
    return {
        "error %": round(100 * float(np.mean(distances or [0])) / SQUARE[0], 2),
        "found": round(float(np.mean(found)), 3),
        "invented": round(float(np.mean(invented)), 3),
    }


def train(job: Job) -> None:
    """Train on heatmaps; squared error, peaks weighted up."""
    torch.manual_seed(0)
    trainer = Trainer(job, "pose", build_pose(), lr=1.5e-3, decay=0.995)
    vae = sharpener.load(job)
    rng = np.random.default_rng(trainer.step + 3)

    def loss_of() -> Tensor:
        crops, targets = zip(*(_lesson(rng, *pair) for pair in _portraits(rng, vae)), strict=True)
        target = torch.from_numpy(np.stack(targets))
        predicted = trainer.model(torch.from_numpy(np.stack(crops))).heatmaps
        weight = 1 + 30 * target
        return F.mse_loss(predicted * weight.sqrt(), target * weight.sqrt()) * 10

    def report() -> None:
        errors = [measure(trainer.average, 60, seen) for seen in (None, vae)]
        print("pose on drawings", errors[0], "and on decoded ones", errors[1], flush=True)

    trainer.run(loss_of, report)


def load(job: Job) -> VitPoseForPoseEstimation:
    """The trained estimator."""
    return averaged(job.work, "pose", build_pose())
