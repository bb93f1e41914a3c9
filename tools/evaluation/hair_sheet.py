"""Sheet of crops of hair at 100 %: the photograph, feathered and matted over other grounds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from inference import Photo, Recipe, Studio
from inference.mask.selection import Selection
from inference.picture.geometry import Box, Size, View
from inference.picture.photo import Pixels

SIDE = 400
GROUNDS = (30, 60, 40), (225, 190, 150)


def sheet(studio: Studio, photos: Sequence[Path]) -> Pixels:
    """Two rows for each photograph that shows hair: its left and its right side.

    Columns: the photo; over each of `GROUNDS` the feathered and the matted cut-out.
    """
    rows = [row for path in photos for row in _rows(studio, Photo.open(path))]
    width = (1 + 2 * len(GROUNDS)) * SIDE
    return np.concatenate([np.zeros((0, width, 3), np.uint8), *rows])


def _rows(studio: Studio, photo: Photo) -> list[Pixels]:
    recipes = [Recipe(mask_negative="", mask_edges=edges) for edges in ("soft", "matte")]
    selection = studio.select(photo, recipes[0])
    rows = []
    for box in _crops(selection.hair_and_body()[0], selection.canvas.size):
        view = View(whole=selection.canvas.size, box=box, size=box.size)
        cells = [selection.picture()[box.slices]]
        for ground in GROUNDS:
            cells += [_over(selection, recipe, view, ground) for recipe in recipes]
        rows.append(np.concatenate([_filled(cell) for cell in cells], axis=1))
    return rows


def _crops(hair: npt.NDArray[np.bool_], size: Size) -> list[Box]:
    """Squares at the upper left and at the right of the hair, in pixels of the picture."""
    rows, columns = np.nonzero(hair)
    if not len(rows):
        return []
    scale = size[0] / hair.shape[1]
    high, low = np.percentile(rows, (10, 50))
    middles = (np.percentile(columns, 10), high), (columns.max(), low)
    return [_square(x * scale, y * scale, size) for x, y in middles]


def _square(x: float, y: float, size: Size) -> Box:
    sides = [min(SIDE, length) for length in size]
    left, top = (
        int(np.clip(at - side / 2, 0, length - side))
        for at, side, length in zip((x, y), sides, size, strict=True)
    )
    return Box(left=left, top=top, right=left + sides[0], bottom=top + sides[1])


def _over(selection: Selection, recipe: Recipe, view: View, ground: tuple[int, ...]) -> Pixels:
    cutout = selection.cutout(recipe, view)
    share = cutout.repaint[..., None]
    return np.rint(cutout.colours * (1 - share) + np.array(ground) * share).astype(np.uint8)


def _filled(cell: Pixels) -> Pixels:
    """A crop of a small picture, on gray."""
    whole = np.full((SIDE, SIDE, 3), 128, np.uint8)
    whole[: cell.shape[0], : cell.shape[1]] = cell
    return whole
