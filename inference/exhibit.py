"""What a page shows of a finished job."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from inference.compose import resize
from inference.geometry import fit_within
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
        named = result.pictures()
        return cls(
            captions=tuple(named),
            shown=tuple(resize(one, fit_within(one.shape[1::-1], SHOWN)) for one in named.values()),
            files=tuple(
                save_png(one, folder / f"masquerade-{name.replace(' ', '-')}.png")
                for name, one in named.items()
            ),
            first=len(named) - len(result.images),
        )
