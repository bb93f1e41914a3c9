"""6. Enlarging: PSNR of Swin2SR and of Lanczos on drawings at half their size."""

from __future__ import annotations

from typing import Any

import numpy as np

from inference.catalog.hub import fetch
from inference.picture.compositing import resize
from tools.evaluation.bench import FAMILY, Bench, Pixels, held_out
from tools.evaluation.table import Row, at_least, note

GOAL = 2.0


def psnr(seen: Pixels, truth: Pixels) -> float:
    """Peak signal-to-noise ratio in dB."""
    error = np.mean((seen.astype(np.float64) - truth) ** 2)
    return float(10 * np.log10(255**2 / max(error, 1e-6)))


def measure(bench: Bench, count: int) -> dict[str, Any]:
    """Mean PSNR in dB of both, on drawings downscaled by area averaging."""
    enlarger = bench.studio.models().enlarger(FAMILY, fetch)
    ours, plain = [], []
    for k in range(count):
        truth = held_out(k).image
        height, width = (side // enlarger.scale for side in truth.shape[:2])
        small = resize(truth, (width, height))
        ours.append(psnr(enlarger.enlarge(small), truth))
        plain.append(psnr(resize(small, (truth.shape[1], truth.shape[0])), truth))
    return {
        "scale": enlarger.scale,
        "ours": float(np.mean(ours)),
        "lanczos": float(np.mean(plain)),
        "worst gain": float(np.min(np.subtract(ours, plain))),
    }


def rows(values: dict[str, Any]) -> list[Row]:
    """The rows of the table."""
    part = "6 Enlarging"
    gain = values["ours"] - values["lanczos"]
    return [
        at_least(part, f"gain over Lanczos, ×{values['scale']}", gain, GOAL, unit="dB"),
        note(
            part, "PSNR: Swin2SR, Lanczos", f"{values['ours']:.2f} dB, {values['lanczos']:.2f} dB"
        ),
        note(part, "smallest gain on one drawing", f"{values['worst gain']:.2f} dB"),
    ]
