"""Contact sheets of the evaluation: uploads and their paintings, and paintings beside drawings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from inference.picture.compositing import resize
from tools.evaluation.bench import SIZES, Bench, Pixels, sitter
from tools.evaluation.crispness import prompted
from tools.evaluation.prompt import recipe
from tools.portraits import draw
from tools.training.common import write_sheet

WIDE = (240, 300)  # of one picture
COLUMNS = 6
LINES: tuple[dict[str, Any], ...] = (
    {},
    {"controlnet": None},
    {"style": "ink"},
    {"style": "soft"},
)


def write(bench: Bench, path: Path, count: int) -> None:
    """Write a sheet, a column per portrait: upload, painting, without control, in ink, in soft."""
    known = {style.key for style in bench.studio.catalog.styles()}
    lines = [line for line in LINES if line.get("style", "drawn") in known]
    # Every second portrait is tall; only these, so that all cells have one aspect ratio.
    chosen = range(0, 2 * count, 2)
    pictures = [[resize(sitter(k).image, WIDE) for k in chosen]]
    for line in lines:
        pictures.append([_painted(bench, k, line) for k in chosen])
    write_sheet(path, pictures)


def write_beside(bench: Bench, path: Path, count: int) -> None:
    """Write a sheet at 100 %: rows of drawings, and below each the painting of its caption."""
    tall = range(0, 2 * count, 2)
    pairs = [(sitter(k), bench.paint(sitter(k).image, recipe(k))) for k in tall]
    drawn = [
        draw(prompted(upload.spec, k), SIZES[0], with_masks=False).image
        for k, (upload, _) in zip(tall, pairs, strict=True)
    ]
    painted = [np.zeros_like(drawn[0]) if one is None else one.image for _, one in pairs]
    rows = []
    for first in range(0, count - count % COLUMNS, COLUMNS):
        rows += [drawn[first : first + COLUMNS], painted[first : first + COLUMNS]]
    write_sheet(path, rows)


def _painted(bench: Bench, k: int, changes: dict[str, Any]) -> Pixels:
    painting = bench.paint(sitter(k).image, recipe(k, **changes))
    if painting is None:
        return np.zeros((WIDE[1], WIDE[0], 3), dtype=np.uint8)
    return resize(painting.image, WIDE)
