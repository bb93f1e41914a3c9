"""Boundary accuracy of guided upsampling: `python tools/measure_edges.py`.

Prints boundary F-score and IoU of the masks from bilinearly enlarged heatmaps and of ours, on
held-out drawn portraits with the embedded detector. With `--photo` and `--mask` (the smaller of its
white and black areas) also for a real photo: its mask is degraded to 22×22 cells, the resolution of
CLIPSeg's patches, and restored both ways.

Boundary F-score as in Perazzi et al., "A Benchmark Dataset and Evaluation Methodology for Video
Object Segmentation" (CVPR 2016): a boundary pixel counts as right within a tolerance.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from inference.mask.distance_field import drop_specks  # noqa: E402
from inference.mask.guided_upsampling import GuidedFilter  # noqa: E402
from inference.mask.heatmap import at_least, to_scores  # noqa: E402
from inference.mask.segmenter import Segmenter  # noqa: E402
from inference.mask.selector import GRID  # noqa: E402
from inference.picture.geometry import Box, View, fit_within  # noqa: E402
from inference.picture.photo import Photo, Pixels  # noqa: E402
from inference.picture.resampling import resample  # noqa: E402
from tools.portraits import HELD_OUT_SEED, draw_seed  # noqa: E402

Bools = NDArray[np.bool_]
Floats = NDArray[np.float32]
Restorer = Callable[[Pixels, Floats], Bools]

PHRASES = ("foreground", "head", "face", "hair", "clothes", "hat")
SIZE = (614, 768)
# Other drawings than those on which the filter was tuned.
FIRST_SEED = HELD_OUT_SEED + 5_000
CELLS = 22
TOLERANCES = (2, 4)
# Words whose area is smaller than this share of the drawing are left out.
SMALLEST = 0.003


def bilinear(picture: Pixels, logits: Floats) -> Bools:
    """The mask of a bilinearly enlarged heatmap."""
    return drop_specks(at_least(to_scores(resample(logits, _whole(picture))), 0.5))


def ours(picture: Pixels, logits: Floats) -> Bools:
    """The mask of a heatmap after guided upsampling."""
    sharp = GuidedFilter.of(picture).sharpen(resample(logits, _whole(picture)))
    return drop_specks(at_least(to_scores(sharp), 0.5))


RESTORERS: dict[str, Restorer] = {"bilinear": bilinear, "ours": ours}


def _whole(picture: Pixels) -> View:
    size = picture.shape[1], picture.shape[0]
    return View(whole=size, box=Box.whole(size), size=size)


def boundary_f(found: Bools, truth: Bools, tolerance: float) -> float:
    """Boundary F-score: harmonic mean of the shares within `tolerance` pixels of the other edge."""
    first, second = (_boundary(one) for one in (found, truth))
    if not first.any() or not second.any():
        return float(first.any() == second.any())
    precision = (_distance_to(second)[first] <= tolerance).mean()
    recall = (_distance_to(first)[second] <= tolerance).mean()
    return float(2 * precision * recall / max(precision + recall, 1e-9))


def _boundary(mask: Bools) -> Bools:
    eroded = cv2.erode(mask.astype(np.uint8), np.ones((3, 3), np.uint8), borderValue=1)
    return mask & (eroded == 0)


def _distance_to(points: Bools) -> Floats:
    away = (~points).astype(np.uint8)
    return np.asarray(cv2.distanceTransform(away, cv2.DIST_L2, cv2.DIST_MASK_PRECISE))


def iou(found: Bools, truth: Bools) -> float:
    """Intersection over union."""
    return float((found & truth).sum() / max(1, (found | truth).sum()))


def rate(found: Bools, truth: Bools) -> list[float]:
    """Boundary F-scores at the tolerances, and IoU."""
    return [*(boundary_f(found, truth, one) for one in TOLERANCES), iou(found, truth)]


def measure_drawings(pack: Path, count: int) -> dict[str, NDArray[np.float64]]:
    """Mean ratings over words and held-out drawings."""
    segmenter = Segmenter.load(pack / "segmenter", torch.device("cpu"))
    rows: dict[str, list[list[float]]] = {name: [] for name in RESTORERS}
    for k in range(count):
        portrait = draw_seed(FIRST_SEED + k, SIZE)
        words = [one for one in PHRASES if portrait.masks[one].mean() >= SMALLEST]
        for heat in segmenter.segment(segmenter.encode_image(portrait.image), words):
            for name, restore in RESTORERS.items():
                found = restore(portrait.image, heat.logits)
                rows[name].append(rate(found, portrait.masks[heat.phrase]))
    return {name: np.mean(values, axis=0) for name, values in rows.items()}


def measure_photo(photo: Path, mask: Path) -> dict[str, NDArray[np.float64]]:
    """Mean ratings of a photo's mask, degraded and restored."""
    picture = Photo.open(photo).pixels
    size = fit_within(picture.shape[1::-1], GRID)
    picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    white = cv2.resize(Photo.open(mask).pixels[..., 0], size, interpolation=cv2.INTER_AREA) > 127
    truth = white if white.mean() < 0.5 else ~white
    cells = cv2.resize(truth.astype(np.float32), (CELLS, CELLS), interpolation=cv2.INTER_AREA)
    score = 0.01 + 0.98 * cells
    logits = np.log(score / (1 - score)).astype(np.float32)
    return {name: np.array(rate(one(picture, logits), truth)) for name, one in RESTORERS.items()}


def main() -> None:
    """Run the measurements that the arguments select and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pack", type=Path, default=ROOT / "assets" / "pack")
    parser.add_argument("--count", type=int, default=60, help="drawings to measure")
    parser.add_argument("--photo", type=Path, help="a real photo …")
    parser.add_argument("--mask", type=Path, help="… and its mask, of the same size")
    args = parser.parse_args()
    tables = {}
    if args.count:
        tables[f"{args.count} drawings"] = measure_drawings(args.pack, args.count)
    if args.photo and args.mask:
        tables[args.photo.name] = measure_photo(args.photo, args.mask)
    heads = [f"F at {tolerance} px" for tolerance in TOLERANCES] + ["IoU"]
    print(f"{'':28}" + "".join(f"{head:>12}" for head in heads))
    for title, table in tables.items():
        for name, values in table.items():
            print(f"{title + ', ' + name:28}" + "".join(f"{value:12.3f}" for value in values))


if __name__ == "__main__":
    main()
