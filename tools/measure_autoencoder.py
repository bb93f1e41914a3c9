"""What of a drawing passes through an autoencoder: `python tools/measure_autoencoder.py`.

Held-out drawings go through the VAE in `--vae` and are compared with themselves: PSNR, and the
shares of their mean absolute gradient and Laplacian and of their mean squared gradient, which are 1
for a picture as sharp as the drawing. With `--at 192` the drawings are shrunk to that short side
before, and enlarged again after, as a style of that size paints. `--sheet FILE` shows eyes at
100 %, drawn and passed through.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from inference.picture.compositing import resize  # noqa: E402
from tools.evaluation.enlarging import psnr  # noqa: E402
from tools.evaluation.sharpness import Pixels, Sharpness, sharpness_of  # noqa: E402
from tools.portraits import HELD_OUT_SEED, Portrait, draw_seed  # noqa: E402
from tools.training.common import to_pictures, to_tensor, write_sheet  # noqa: E402

SIZE = (384, 480)
FIRST = HELD_OUT_SEED + 7000
EYES = 96  # width of a cell of the sheet, in pixels
GOALS = {"PSNR, dB": (30.0, np.inf), "gradient": (0.9, 1.1), "Laplacian": (0.9, 1.1)}
"""Least and most that a mean may be; other columns have no goal."""


@dataclass(frozen=True, kw_only=True)
class Passed:
    """A drawing after the autoencoder: PSNR, sharpness as a share, the latents' deviation."""

    decibels: float
    shares: Sharpness
    deviation: float


def main(given: Sequence[str] | None = None) -> int:
    """Measure, and print a table; returns 1 if a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--vae", type=Path, default=ROOT / "assets" / "pack" / "painter" / "vae")
    parser.add_argument("--count", type=int, default=60, help="how many held-out drawings")
    parser.add_argument("--at", type=int, help="short side that the autoencoder works at")
    parser.add_argument("--sheet", type=Path, help="where to show eyes at 100 %%")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args(given)
    torch.set_num_threads(options.threads)
    vae = AutoencoderKL.from_pretrained(options.vae, torch_dtype=torch.float32).eval()
    portraits = [draw_seed(FIRST + k, SIZE, with_masks=False) for k in range(options.count)]
    through = [passed_through(vae, one.image, options.at) for one in portraits]
    found = [
        Passed(decibels=psnr(after, one.image), shares=_share(after, one.image), deviation=spread)
        for one, (after, spread) in zip(portraits, through, strict=True)
    ]
    text, missed = table(found)
    print(text)
    if options.sheet:
        after = [picture for picture, _ in through]
        write_sheet(options.sheet, eye_rows(portraits, after))
        print(f"\n{options.sheet}")
    return int(missed)


@torch.no_grad()
def passed_through(vae: AutoencoderKL, picture: Pixels, side: int | None) -> tuple[Pixels, float]:
    """The picture after the autoencoder, at its old size, and the latents' deviation."""
    height, width = picture.shape[:2]
    scale = 1.0 if side is None else side / min(height, width)
    step = 2 ** (len(vae.config.block_out_channels) - 1)
    small = resize(picture, (_whole(width * scale, step), _whole(height * scale, step)))
    latents = vae.encode(to_tensor([small])).latent_dist.mode()
    again = to_pictures(vae.decode(latents).sample)[0]
    return resize(again, (width, height)), latents.std().item()


def _whole(length: float, step: int) -> int:
    return max(step, round(length / step) * step)


def _share(after: Pixels, before: Pixels) -> Sharpness:
    return sharpness_of(after).share_of(sharpness_of(before))


def table(found: Sequence[Passed]) -> tuple[str, bool]:
    """A Markdown table of means and worst drawings, and whether a goal is missed by the mean."""
    columns = {
        "PSNR, dB": [one.decibels for one in found],
        "gradient": [one.shares.gradient for one in found],
        "Laplacian": [one.shares.laplacian for one in found],
        "squared gradient": [one.shares.energy for one in found],
    }
    lines = ["| | mean | lowest | highest | goal | |", "| --- | --- | --- | --- | --- | --- |"]
    missed = False
    for name, values in columns.items():
        numbers = " | ".join(f"{f(values):.3f}" for f in (np.mean, np.min, np.max))
        goal = verdict = ""
        if name in GOALS:
            low, high = GOALS[name]
            passes = low <= float(np.mean(values)) <= high
            missed |= not passes
            goal = f"≥ {low:g}" if np.isinf(high) else f"{low:g} to {high:g}"
            verdict = "pass" if passes else "**fail**"
        lines.append(f"| {name} | {numbers} | {goal} | {verdict} |")
    deviation = float(np.mean([one.deviation for one in found]))
    lines += ["", f"{len(found)} drawings; the latents' standard deviation is {deviation:.3f}."]
    return "\n".join(lines), missed


def eye_rows(portraits: Sequence[Portrait], after: Sequence[Pixels]) -> list[list[Pixels]]:
    """Rows of a sheet: eyes as drawn, and below them after the autoencoder, eight a row."""
    seen = [one for one in zip(portraits, after, strict=True) if one[0].keypoints[1:3, 2].all()]
    rows: list[list[Pixels]] = []
    for k in range(0, len(seen) - 7, 8):
        chosen = seen[k : k + 8]
        rows.append([_eyes(one.image, one) for one, _ in chosen])
        rows.append([_eyes(picture, one) for one, picture in chosen])
    if not rows:
        raise ValueError("A sheet needs eight drawings with two eyes: raise --count.")
    return rows


def _eyes(picture: Pixels, portrait: Portrait) -> Pixels:
    """The neighbourhood of both eyes, (EYES * 2 / 3, EYES, 3)."""
    height, width = picture.shape[:2]
    x, y = portrait.keypoints[1:3, :2].mean(axis=0)
    left, top = _inside(x - EYES / 2, width - EYES), _inside(y - EYES / 3, height - EYES * 2 // 3)
    return picture[top : top + EYES * 2 // 3, left : left + EYES]


def _inside(place: float, most: int) -> int:
    return int(min(max(place, 0), most))


if __name__ == "__main__":
    raise SystemExit(main())
