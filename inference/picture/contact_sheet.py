"""Contact sheets: captioned pictures in rows, as one picture."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from inference.picture.compositing import resize
from inference.picture.geometry import fit_within
from inference.picture.photo import Pixels

# Longer side of a picture on the sheet, in pixels.
CELL = 640
GAP, CAPTION, LETTERS = 12, 34, 20
PAPER, INK = (255, 255, 255), (28, 32, 40)


def contact_sheet(named: Sequence[tuple[str, Pixels]], width: int) -> Pixels:
    """Lay captioned pictures out in rows.

    Args:
        named: captions and (h, w, 3) uint8 pictures, row by row; large ones are scaled down.
        width: number of pictures in a row.

    Returns:
        (H, W, 3) uint8.
    """
    cells = [(text, resize(one, fit_within(one.shape[1::-1], CELL))) for text, one in named]
    high = max(one.shape[0] for _, one in cells)
    wide = max(one.shape[1] for _, one in cells)
    rows = -(-len(cells) // width)
    size = (GAP + width * (wide + GAP), GAP + rows * (high + CAPTION + GAP))
    sheet = Image.new("RGB", size, PAPER)
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(LETTERS)
    for k, (text, picture) in enumerate(cells):
        left = GAP + k % width * (wide + GAP)
        top = GAP + k // width * (high + CAPTION + GAP)
        sheet.paste(Image.fromarray(picture), (left, top))
        draw.text((left, top + high + 4), _fitting(text, font, wide), fill=INK, font=font)
    return np.asarray(sheet)


def _fitting(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, wide: int) -> str:
    """A caption cut to the width of its picture."""
    if font.getlength(text) <= wide:
        return text
    while text and font.getlength(f"{text}…") > wide:
        text = text[:-1]
    return f"{text}…"
