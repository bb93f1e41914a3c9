"""Contact sheet of the evaluation: uploads and their paintings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from inference.picture.compositing import resize
from tools.evaluation.bench import Bench, Pixels, sitter
from tools.evaluation.prompt import recipe
from tools.training.common import write_sheet

WIDE = (240, 300)  # of one picture
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


def _painted(bench: Bench, k: int, changes: dict[str, Any]) -> Pixels:
    painting = bench.paint(sitter(k).image, recipe(k, **changes))
    if painting is None:
        return np.zeros((WIDE[1], WIDE[0], 3), dtype=np.uint8)
    return resize(painting.image, WIDE)
