"""Evaluate masks and key points on photographs: `python tools/eval_photos.py FOLDER`.

All measurements use the product's own code, as for a user's photo; `tools/evaluation/photos.py`
says what the folder holds. `--each` lists every photograph; `--sheet FILE` writes the photographs
with what their words cover; `--worst FILE` the three masks that miss their goals most, as masks
alone: white where both agree, orange where the word was missed, blue where it was seen wrongly;
`--drawings 500` also tells held-out drawings apart.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from inference import Studio  # noqa: E402
from inference.catalog.catalog import Catalog  # noqa: E402
from inference.people.part_words import PARTS  # noqa: E402
from tools.evaluation.bench import Bench  # noqa: E402
from tools.evaluation.photos import (  # noqa: E402
    GOALS,
    LabelledPhoto,
    Measured,
    labelled_photos,
    measure,
    rows,
)
from tools.evaluation.table import plain  # noqa: E402

SHEET_WIDTH = 240
WORST, WORST_HEIGHT = 3, 240
AGREED, MISSED, WRONG = (255, 255, 255), (240, 140, 40), (60, 110, 240)
SHEET_WORDS = ("person", "head", "face", "hair", "skin", "clothes", "hat", "glasses")


def _each(found: Measured) -> str:
    """IoU of each word in each photograph."""
    names = sorted({name for values in found.overlaps.values() for name in values})
    lines = []
    for name in names:
        values = [
            f"{word} {found.overlaps[word][name]:.3f}"
            for word in PARTS
            if name in found.overlaps.get(word, {})
        ]
        lines.append(f"{name}: {', '.join(values)}")
    return "\n".join(lines)


def _sheet(bench: Bench, photos: Sequence[LabelledPhoto]) -> NDArray[np.uint8]:
    """A row for each photograph: it, and what each of `SHEET_WORDS` covers."""
    lines = []
    for one in photos:
        picture = one.photo.pixels
        size = SHEET_WIDTH, round(SHEET_WIDTH * picture.shape[0] / picture.shape[1])
        cells = [cv2.resize(picture, size, interpolation=cv2.INTER_AREA)]
        for word in SHEET_WORDS:
            mask = bench.find(picture, word)[0].astype(np.uint8) * 255
            small = cv2.resize(mask, size, interpolation=cv2.INTER_AREA)[..., None] / 255
            gray = np.full((*size[::-1], 3), 90.0)
            cells.append((small * cells[0] + (1 - small) * gray).astype(np.uint8))
        lines.append(np.hstack(cells))
    return np.asarray(np.vstack(lines), np.uint8)


def _worst(
    bench: Bench, photos: Sequence[LabelledPhoto], found: Measured
) -> tuple[NDArray[np.uint8], str]:
    """The masks that miss their goals most, one of a photograph, and a line about each."""
    missing = sorted(
        (value - GOALS[word], word, name)
        for word, values in found.overlaps.items()
        for name, value in values.items()
    )
    chosen: dict[str, str] = {}
    for _, word, name in missing:
        chosen.setdefault(name, word)
    cells, lines = [], []
    for name, word in list(chosen.items())[:WORST]:
        one = next(photo for photo in photos if photo.name == name)
        truth, mask = one.masks[word], bench.find(one.photo.pixels, word)[0]
        shown = np.zeros((*truth.shape, 3), np.uint8)
        kinds = ((truth & mask, AGREED), (truth & ~mask, MISSED), (mask & ~truth, WRONG))
        for where, colour in kinds:
            shown[where] = colour
        size = round(WORST_HEIGHT * truth.shape[1] / truth.shape[0]), WORST_HEIGHT
        cells.append(cv2.resize(shown, size, interpolation=cv2.INTER_AREA))
        lines.append(f"{word}: IoU {found.overlaps[word][name]:.3f}")
    gap = np.full((WORST_HEIGHT, 8, 3), 128, np.uint8)
    row = [part for cell in cells for part in (cell, gap)][:-1]
    return np.asarray(np.hstack(row), np.uint8), "\n".join(lines)


def main() -> None:
    """Measure the photographs of a folder and print one table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--drawings", type=int, default=0, help="held-out drawings to tell apart")
    parser.add_argument("--each", action="store_true", help="list every photograph")
    parser.add_argument("--sheet", type=Path, help="write a contact sheet to this file")
    parser.add_argument("--worst", type=Path, help="write the three worst masks to this file")
    parser.add_argument("--catalog", type=Path, help="another pack, laid over the built-in one")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    cv2.setNumThreads(args.threads)
    bench = Bench(Studio(catalog=Catalog.load(args.catalog), style="drawn"))
    photos = list(labelled_photos(args.folder))
    found = measure(bench, photos, args.drawings)
    if args.each:
        print(_each(found) + "\n")
    print(plain(rows(found)))
    if args.sheet:
        sheet = cv2.cvtColor(_sheet(bench, photos), cv2.COLOR_RGB2BGR)
        cv2.imwrite(str(args.sheet), sheet)
    if args.worst:
        picture, text = _worst(bench, photos, found)
        cv2.imwrite(str(args.worst), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
        print(text)
    if bench.studio.models().photo_note:
        print(bench.studio.models().photo_note)


if __name__ == "__main__":
    main()
