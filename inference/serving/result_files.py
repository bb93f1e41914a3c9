"""Picture files of a job that the page shows: results, and previews while it runs."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from inference.picture import png_metadata
from inference.picture.compositing import resize
from inference.picture.geometry import fit_within
from inference.picture.image_files import encode_png, save_jpeg, save_png, write_whole
from inference.picture.photo import Photo, Pixels
from inference.picture.result import CONTROL_MAP, Result
from inference.recipe.recipe import Recipe
from inference.studio.grid import GridResult

File = str | Path | None

# Longer side of a picture on screen; downloads have the full size.
SCREEN_SIDE = 1280
# Number of previews kept, because a slow browser may still request an earlier one.
KEPT_PREVIEWS = 4


@dataclass(frozen=True, kw_only=True)
class ResultFiles:
    """Files of input, mask, control map and results, in this order.

    Attributes:
        captions: name of each picture.
        shown: JPEG files at screen size.
        files: PNG files at full size.
        first: index of the first result.
        folder: where all these files are.
        recipe: the painted recipe; None for a grid.
        source: the files of photo and mask image.
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
        """The control map at screen size; None without one, and for a grid."""
        return dict(zip(self.captions, self.shown, strict=True)).get(CONTROL_MAP)

    @classmethod
    def of(
        cls, done: Result | GridResult, folder: Path, source: tuple[File, ...] = ()
    ) -> ResultFiles:
        """Write a job's pictures into `folder`; a grid's with its contact sheet.

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
    def of_stored(
        cls, pictures: Sequence[bytes], recipe: Recipe, original: Pixels, folder: Path,
        source: tuple[File, ...],
    ) -> ResultFiles:  # fmt: skip
        """Write the pictures of a job of the library into `folder`.

        Args:
            pictures: PNG files with mask and recipe.
            recipe: of the first one, with its seed.
            original: the photo's pixels on the results' canvas.
            folder: where to write them.
            source: the files of photo and mask image.

        Raises:
            MasqueradeError: a file cannot be read or written.
        """
        named = {f"seed {(recipe.seed or 0) + k}": file for k, file in enumerate(pictures)}
        found = png_metadata.read(pictures[0])
        mask = {} if found is None or found.mask is None else {"mask": found.mask}
        files = {"input": encode_png(original), **mask, **named}
        places = [folder / f"masquerade-{name.replace(' ', '-')}" for name in files]
        return cls(
            captions=tuple(files),
            shown=tuple(
                _save_for_screen(Photo.open(file).pixels, place)
                for file, place in zip(files.values(), places, strict=True)
            ),
            files=tuple(
                write_whole(file, Path(f"{place}.png"))
                for file, place in zip(files.values(), places, strict=True)
            ),
            first=len(files) - len(named),
            folder=folder,
            recipe=recipe,
            source=source,
        )

    @classmethod
    def _of(
        cls, named: dict[str, Pixels], painted: dict[str, tuple[Result, int]], folder: Path
    ) -> ResultFiles:
        """Write all pictures; painted ones have recipe and mask embedded."""

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
            shown=tuple(_save_for_screen(one, place) for one, place in pairs),
            files=tuple(map(save, named, places)),
            first=next(k for k, name in enumerate(named) if name in painted),
            folder=folder,
        )


class PreviewFiles:
    """Preview files of a running job; only the last few are kept."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._count = 0

    def add(self, picture: Pixels) -> Path:
        """Write a preview under a new name, so that no cache shows an old one.

        Raises:
            MasqueradeError: the file cannot be written.
        """
        self._count += 1
        self._file(self._count - KEPT_PREVIEWS).unlink(missing_ok=True)
        return save_jpeg(picture, self._file(self._count))

    def keep(self, name: str, picture: Pixels) -> Path:
        """Write a picture that is kept as long as the folder."""
        return save_jpeg(picture, self._folder / f"{name}.jpg")

    def _file(self, number: int) -> Path:
        return self._folder / f"preview-{number}.jpg"


def pair_for_screen(
    before: Callable[[], Pixels], after: Callable[[], Pixels], place: Path
) -> tuple[Path, Path]:
    """Two pictures at screen size, written unless they are there.

    The first one is cropped to the shape of the second one, and has its size.
    """
    files = Path(f"{place}-before-shown.jpg"), Path(f"{place}-after-shown.jpg")
    if not all(file.exists() for file in files):
        first, second = before(), after()
        height, width = first.shape[:2]
        shape = second.shape[1] / second.shape[0]
        across, down = min(width, round(height * shape)), min(height, round(width / shape))
        left, top = (width - across) // 2, (height - down) // 2
        cropped = resize(first[top : top + down, left : left + across], second.shape[1::-1])
        _save_for_screen(cropped, Path(f"{place}-before"))
        _save_for_screen(second, Path(f"{place}-after"))
    return files


def _save_for_screen(picture: Pixels, place: Path) -> Path:
    size = fit_within(picture.shape[1::-1], SCREEN_SIDE)
    return save_jpeg(resize(picture, size), Path(f"{place}-shown.jpg"))
