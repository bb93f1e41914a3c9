"""Matting against a feathered edge, on drawn hair with exact alpha: `tools/measure_matting.py`.

For each ground and size, the mean absolute error of alpha in the band, and that of the colours when
the cut-out lies over another ground, both also as a share of the feathered mask's. `--photos FILE…
--sheet FILE` shows crops of photographs instead, as they are and cut out over other grounds.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from inference.mask.distance_field import signed_distance  # noqa: E402
from inference.matting.matte import Matte  # noqa: E402
from inference.matting.trimap import Trimap  # noqa: E402
from inference.picture.compositing import resize  # noqa: E402
from inference.picture.geometry import Box, Size, View, fit_within  # noqa: E402
from inference.picture.image_files import encode_png  # noqa: E402
from inference.picture.resampling import resample  # noqa: E402
from inference.recipe.length import SHORT_SIDE  # noqa: E402
from inference.recipe.recipe import Recipe  # noqa: E402
from inference.studio.studio import Studio  # noqa: E402
from tools.evaluation.hair import GROUNDS, Composite, Floats, draw  # noqa: E402
from tools.evaluation.hair_sheet import sheet  # noqa: E402
from tools.evaluation.table import put_between  # noqa: E402

SIDES = 1024, 2048, 4096
GRID = 768
SEEDS = 11, 12, 13
DOCUMENT = ROOT / "docs" / "mask.md"
START, END = "<!-- measured: written by tools/measure_matting.py -->", "<!-- end of matting -->"
HEAD = "| ground | side | alpha: feather | matte | share | colours: feather | matte | share |"


@dataclass(frozen=True, kw_only=True)
class Errors:
    """Mean absolute errors in the band: of alpha in 0–1, and of the colours over a new ground."""

    alpha: float
    colours: float


def main(given: Sequence[str] | None = None) -> int:
    """Measure, and print a table; returns 1 if matting is worse than feathering anywhere."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sides", nargs="+", type=int, default=SIDES, metavar="PIXELS")
    parser.add_argument("--seeds", nargs="+", type=int, default=SEEDS)
    parser.add_argument("--photos", nargs="+", type=Path, default=(), metavar="FILE")
    parser.add_argument("--sheet", type=Path, default=Path("hair.png"), help="where to write it")
    parser.add_argument("--save", action="store_true", help=f"put the table into {DOCUMENT.name}")
    options = parser.parse_args(given)
    if options.photos:
        picture = sheet(Studio(style="drawn"), options.photos)
        options.sheet.write_bytes(encode_png(picture))
        return 0
    lines = [HEAD, "|---|---|---|---|---|---|---|---|"]
    pairs: list[tuple[Errors, Errors]] = []
    for side in options.sides:
        for ground in GROUNDS:
            found = [measure(draw(side, ground, seed), seed) for seed in options.seeds]
            pairs += found
            lines.append(_row(f"{ground} | {side}", found))
            print(lines[-1], file=sys.stderr, flush=True)
    worse = sum(new.alpha > old.alpha or new.colours > old.colours for old, new in pairs)
    verdict = f"Worse than the feathered mask: {worse} of {len(pairs)} drawings."
    text = "\n".join([*lines, _row("all | all", pairs), "", verdict])
    print(text)
    if options.save:
        put_between(DOCUMENT, text, START, END)
    return int(worse > 0)


def measure(one: Composite, seed: int) -> tuple[Errors, Errors]:
    """The errors of a feathered and of a matted edge."""
    side = len(one.kept)
    small = fit_within((side, side), GRID)
    distance = _edge(one.solid, small)
    recipe = Recipe()
    width = recipe.mask_matte_width
    hair = (distance < 0).astype(np.int8)
    hair[int(0.62 * small[1]) :] = 0
    nothing = np.zeros(hair.shape, np.bool_)
    trimap = Trimap.around_edge(distance, hair, nothing, nothing, width)
    matte = Matte.solve(resize(one.picture, small), trimap, width)
    view = View(whole=(side, side), box=Box.whole((side, side)), size=(side, side))
    cutout = matte.cut(one.picture, view)
    soft = np.clip(0.5 + resample(distance, view) / recipe.mask_feather, 0, 1)
    band = resample(trimap.unknown.astype(np.float32), view) >= 0.5
    ground = np.random.default_rng(seed).uniform(0, 255, 3)

    def errors(repaint: Floats, colours: Floats) -> Errors:
        over = colours * (1 - repaint[..., None]) + ground * repaint[..., None]
        true = one.colours * one.kept[..., None] + ground * (1 - one.kept[..., None])
        return Errors(
            alpha=float(np.abs(1 - repaint - one.kept)[band].mean()),
            colours=float(np.abs(over - true)[band].mean() / 255),
        )

    return errors(soft, one.picture), errors(cutout.repaint, cutout.colours)


def _edge(solid: Floats, size: Size) -> Floats:
    """The signed distance to a mask's edge on a grid, positive outside, without dilation."""
    inside = cv2.resize(solid, size, interpolation=cv2.INTER_AREA) >= 0.5
    return -signed_distance(inside, SHORT_SIDE / min(size))


def _row(title: str, pairs: Sequence[tuple[Errors, Errors]]) -> str:
    old, new = ([pair[k] for pair in pairs] for k in (0, 1))
    cells = [title]
    for name in ("alpha", "colours"):
        before, now = (float(np.mean([getattr(one, name) for one in each])) for each in (old, new))
        cells += [f"{before:.3f}", f"{now:.3f}", f"{now / before:.2f}"]
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    sys.exit(main())
