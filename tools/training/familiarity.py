"""Fits how far a picture may be from drawings to be read by the pack's own segmenter."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from inference.mask.familiarity import Familiarity, description, grain
from inference.mask.segmenter import Segmenter
from tools.portraits import HELD_OUT_SEED, draw_seed
from tools.training.common import Job

DRAWINGS, UNSEEN = 1200, 1000
FIRST_UNSEEN = HELD_OUT_SEED + 100_000  # others are used for evaluation
SIZES = ((240, 240), (384, 480), (320, 320), (240, 300))
KEPT = 0.998  # share of unseen drawings within the limit
SHRINKAGE = 0.05  # of the covariance towards a multiple of the identity


def drawing(seed: int) -> NDArray[np.uint8]:
    """A drawing as people upload them: some compressed, some lighter or darker, some scaled."""
    rng = np.random.default_rng((seed, 4))
    image = draw_seed(seed, SIZES[seed % len(SIZES)], with_masks=False).image
    if rng.random() < 0.35:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(55, 96))]
        image = np.asarray(
            cv2.imdecode(cv2.imencode(".jpg", image, quality)[1], cv2.IMREAD_COLOR), np.uint8
        )
    if rng.random() < 0.2:
        lit = image * rng.uniform(0.65, 1.2) + rng.normal(0, 8)
        image = lit.clip(0, 255).astype(np.uint8)
    return image


def fit(folder: Path) -> Familiarity:
    """Fit the distribution for the segmenter in a folder."""
    segmenter = Segmenter.load(folder, torch.device("cpu"))

    def describe(seed: int) -> NDArray[np.float32]:
        return description(segmenter.encode_image(drawing(seed)).layers)

    known = np.stack([describe(k) for k in range(DRAWINGS)])
    covariance = np.cov(known.T)
    spread = float(np.trace(covariance)) / len(covariance)
    covariance += SHRINKAGE * spread * np.eye(len(covariance))
    whitening = np.linalg.inv(np.linalg.cholesky(covariance)).astype(np.float32)
    mean = known.mean(axis=0)
    pictures = [drawing(FIRST_UNSEEN + k) for k in range(UNSEEN)]
    unseen = np.stack([description(segmenter.encode_image(one).layers) for one in pictures])
    distances = np.linalg.norm((unseen - mean) @ whitening.T, axis=1)
    return Familiarity(
        mean=mean,
        whitening=whitening,
        limit=float(np.quantile(distances, KEPT)),
        grain_limit=float(np.quantile([grain(one) for one in pictures], KEPT)),
    )


def train(job: Job) -> None:
    """Fit, and write it beside the segmenter in the pack."""
    torch.set_num_threads(job.threads)
    folder = job.out / "segmenter"
    found = fit(folder)
    found.save(folder)
    print(f"familiarity: limits {found.limit:.2f} and {found.grain_limit:.2f}")
