"""What a page shows of a finished job."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from inference.compose import resize
from inference.geometry import fit_within
from inference.grid import GridResult
from inference.photo import Pixels
from inference.results import Result, save_png

# Longer side of a picture on the screen; the files have the full size.
SHOWN = 1280


@dataclass(frozen=True, kw_only=True)
class Exhibit:
    """Input, mask, control map and results, in this order.

    Attributes:
        captions: what each picture is.
        shown: the pictures at screen size, (h, w, 3) uint8.
        files: the pictures at full size, as PNG files.
        first: index of the first result.
    """

    captions: tuple[str, ...]
    shown: tuple[Pixels, ...]
    files: tuple[Path, ...]
    first: int

    @classmethod
    def of(cls, result: Result, folder: Path) -> Exhibit:
        """Scale the pictures down and write the files into `folder`.

        Raises:
            MasqueradeError: a file cannot be written.
        """
        return cls._of(result.pictures(), len(result.images), folder)

    @classmethod
    def of_grid(cls, done: GridResult, folder: Path) -> Exhibit:
        """Input and mask, every picture of a grid, and the sheet of them all.

        Raises:
            MasqueradeError: a file cannot be written.
        """
        first = done.first.pictures()
        named = {"input": first["input"], "mask": first["mask"]}
        named |= {label: result.images[0] for label, result in done.painted.items()}
        return cls._of(named | {"contact sheet": done.sheet()}, len(done.painted) + 1, folder)

    @classmethod
    def _of(cls, named: dict[str, Pixels], results: int, folder: Path) -> Exhibit:
        return cls(
            captions=tuple(named),
            shown=tuple(resize(one, fit_within(one.shape[1::-1], SHOWN)) for one in named.values()),
            files=tuple(
                save_png(one, folder / f"masquerade-{re.sub(r'[^A-Za-z0-9.]+', '-', name)}.png")
                for name, one in named.items()
            ),
            first=len(named) - results,
        )
