"""What a page shows of a job, as files: the pictures as they form, and those at the end."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

from inference.compose import resize
from inference.geometry import fit_within
from inference.grid import GridResult
from inference.photo import Pixels
from inference.recipe import Recipe
from inference.results import CONTROL_MAP, Result, save_jpeg, save_png

File = str | Path | None

# Longer side of a picture on the screen; the files have the full size.
SHOWN = 1280
# How many sketches a browser may lag behind.
STAY = 4


@dataclass(frozen=True, kw_only=True)
class Exhibit:
    """Input, mask, control map and results, in this order.

    Attributes:
        captions: what each picture is.
        shown: the pictures at screen size, as JPEG files.
        files: the pictures at full size, as PNG files.
        first: index of the first result.
        folder: where all these files are.
        recipe: what was painted, None for a grid.
        source: the files that it was painted from.
    """

    captions: tuple[str, ...]
    shown: tuple[Path, ...]
    files: tuple[Path, ...]
    first: int
    folder: Path
    recipe: Recipe | None = None
    source: tuple[File, ...] = ()

    @property
    def control_map(self) -> Path | None:
        """What guided, as shown on the screen; None if nothing did, and of a grid."""
        return dict(zip(self.captions, self.shown, strict=True)).get(CONTROL_MAP)

    @classmethod
    def of(cls, done: Result | GridResult, folder: Path, source: tuple[File, ...] = ()) -> Exhibit:
        """Scale the pictures down and write the files into `folder`.

        Of a grid: input and mask, every picture, and the sheet of them all.

        Raises:
            MasqueradeError: a file cannot be written.
        """
        if isinstance(done, Result):
            named = done.pictures()
            painted = {name: (done, k) for k, name in enumerate(list(named)[-len(done.images) :])}
            shown = cls._of(named, painted, folder)
            return replace(shown, recipe=done.recipe, source=source)
        first = done.first.pictures()
        named = {"input": first["input"], "mask": first["mask"]}
        named |= {label: result.images[0] for label, result in done.painted.items()}
        painted = {label: (result, 0) for label, result in done.painted.items()}
        return cls._of(named | {"contact sheet": done.sheet()}, painted, folder)

    @classmethod
    def _of(
        cls, named: dict[str, Pixels], painted: dict[str, tuple[Result, int]], folder: Path
    ) -> Exhibit:
        """Write all pictures; those that were painted tell how."""

        def save(name: str, place: Path) -> Path:
            file = Path(f"{place}.png")
            if name not in painted:
                return save_png(named[name], file)
            result, k = painted[name]
            return result.save(file, k)

        places = [folder / f"masquerade-{re.sub(r'[^A-Za-z0-9.]+', '-', name)}" for name in named]
        pairs = list(zip(named.values(), places, strict=True))
        return cls(
            captions=tuple(named),
            shown=tuple(
                save_jpeg(
                    resize(one, fit_within(one.shape[1::-1], SHOWN)), Path(f"{place}-shown.jpg")
                )
                for one, place in pairs
            ),
            files=tuple(map(save, named, places)),
            first=next(k for k, name in enumerate(named) if name in painted),
            folder=folder,
        )


class Sketches:
    """Pictures of a running job; only the last ones stay, because each replaces the one before."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._count = 0

    def add(self, picture: Pixels) -> Path:
        """A file of this picture, under a new name, so that nobody shows an old one for it.

        Raises:
            MasqueradeError: the file cannot be written.
        """
        self._count += 1
        self._file(self._count - STAY).unlink(missing_ok=True)
        return save_jpeg(picture, self._file(self._count))

    def keep(self, name: str, picture: Pixels) -> Path:
        """A file of a picture that stays as long as the folder."""
        return save_jpeg(picture, self._folder / f"{name}.jpg")

    def _file(self, number: int) -> Path:
        return self._folder / f"sketch-{number}.jpg"
