"""Batch processing: paints many photos with one recipe, each with its own mask, into a folder."""

from __future__ import annotations

import os
import time
from collections.abc import Generator, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import TypeVar

from inference.errors import InvalidRecipe, MasqueradeError, ModelUnavailable
from inference.picture.photo import Photo
from inference.picture.progress import Progress
from inference.picture.result import Result
from inference.recipe.recipe import Recipe
from inference.studio.studio import Studio

SUFFIXES = (
    ".jpg", ".jpeg", ".png", ".webp", ".avif", ".gif", ".bmp", ".tif", ".tiff",
    ".heic", ".heif",
)  # fmt: skip

Place = TypeVar("Place", bound=PurePath)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The outcome of one photo.

    Attributes:
        photo: its file, or its address.
        files: the files that were written, or their addresses; so also the next ones.
        left: files that existed already and were not overwritten.
        seconds: duration.
        seed: the seed of the first picture; None where nothing was painted.
        kept_pixels_changed: the result's count; None where nothing was painted.
        notes: what the result says to the user; see `Result.notes`.
        error: the error's message, "" without an error.
    """

    photo: Path | str
    files: tuple[Path | str, ...] = ()
    left: tuple[Path | str, ...] = ()
    seconds: float = 0.0
    seed: int | None = None
    kept_pixels_changed: int | None = None
    notes: tuple[str, ...] = ()
    error: str = ""


def pictures(paths: Iterable[Path]) -> list[Path]:
    """List the given files, and the pictures in the given folders sorted by name.

    Folders within folders and hidden files are left out; each file is listed once.

    Raises:
        MasqueradeError: a path does not exist, or there is no picture at all.
    """
    found: dict[Path, Path] = {}
    for path in paths:
        try:
            files = sorted(filter(_is_picture, path.iterdir())) if path.is_dir() else [path]
        except OSError as error:
            raise MasqueradeError(f"{path} cannot be read: check its permissions.") from error
        for file in files:
            if not file.is_file():
                raise MasqueradeError(f"There is no file {file}: check the path.")
            found.setdefault(file.resolve(), file)
    if not found:
        raise MasqueradeError(f"There is no picture to paint: put some of {', '.join(SUFFIXES)}.")
    return list(found.values())


def run(
    studio: Studio,
    recipe: Recipe,
    photos: Sequence[Path],
    out: Path,
    *,
    overwrite: bool = False,
) -> Generator[Progress | Outcome]:
    """Paint each photo with the recipe and write `<name>.png`, `<name>-2.png`, … into a folder.

    Brush strokes of the recipe belong to the photo on which they were drawn and are ignored. Files
    are written atomically.

    Args:
        photos: picture files; two of one name get the format added to it, as in `me-jpg.png`.
        out: the folder to write to, created if missing; it must not be a folder of the photos.
        overwrite: replace existing files; otherwise they are kept and not painted again.

    Yields:
        `Progress` while it works, and one `Outcome` for each photo, in their order. Closing the
        generator cancels.

    Raises:
        InvalidRecipe: the recipe cannot be used for any photo.
        ModelUnavailable: a model that every photo needs is unavailable.
        MasqueradeError: the folder cannot be written to.
    """
    if out.resolve() in {photo.resolve().parent for photo in photos}:
        raise MasqueradeError(f"The photos themselves are in {out}: choose another folder.")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise MasqueradeError(f"{out} cannot be made: choose another folder.") from error
    recipe = recipe.model_copy(update={"mask_strokes": ()})
    for photo, targets in targets_of(photos, recipe.num_images, out):
        left = () if overwrite else tuple(target for target in targets if target.exists())
        if left == targets:
            yield Outcome(photo=photo, left=left)
        else:
            yield from _one(studio, recipe, photo, targets, left)


def targets_of(
    photos: Sequence[Place], count: int, out: Place
) -> list[tuple[Place, tuple[Place, ...]]]:
    """The target files of each photo, with unique names also on case-insensitive file systems."""
    taken: set[str] = set()
    plan: list[tuple[Place, tuple[Place, ...]]] = []
    for photo in photos:
        stem, tries = photo.stem, 0
        while taken & {name.casefold() for name in _names(stem, count)}:
            tries += 1
            again = "" if tries == 1 else f"-{tries}"
            stem = f"{photo.stem}-{photo.suffix.removeprefix('.').lower()}{again}"
        taken |= {name.casefold() for name in _names(stem, count)}
        plan.append((photo, tuple(out / name for name in _names(stem, count))))
    return plan


def _names(stem: str, count: int) -> list[str]:
    return [f"{stem}.png" if k == 1 else f"{stem}-{k}.png" for k in range(1, count + 1)]


def _is_picture(path: Path) -> bool:
    visible = not path.name.startswith(".") and path.suffix.lower() in SUFFIXES
    return visible and path.is_file()


def _one(
    studio: Studio,
    recipe: Recipe,
    photo: Path,
    targets: tuple[Path, ...],
    left: tuple[Path, ...],
) -> Generator[Progress | Outcome]:
    """Paint one photo and write those of its targets that are not in `left`."""
    started = time.monotonic()
    try:
        result = yield from _painted(studio, photo, recipe)
        for image, target in enumerate(targets):
            if target not in left:
                _write(result, image, target)
    except (InvalidRecipe, ModelUnavailable):
        raise
    except MasqueradeError as error:
        yield Outcome(photo=photo, seconds=time.monotonic() - started, error=str(error))
        return
    yield Outcome(
        photo=photo,
        files=tuple(target for target in targets if target not in left),
        left=left,
        seconds=time.monotonic() - started,
        seed=result.recipe.seed,
        kept_pixels_changed=result.kept_pixels_changed,
        notes=result.notes,
    )


def _painted(studio: Studio, photo: Path, recipe: Recipe) -> Generator[Progress, None, Result]:
    with closing(studio.paint(Photo.open(photo), recipe)) as events:
        for event in events:
            if isinstance(event, Result):
                return event
            yield event
    raise AssertionError("the studio always ends with a result")


def _write(result: Result, image: int, target: Path) -> None:
    """Write one image atomically: under a temporary name, which is then renamed."""
    part = target.with_name(f".{target.stem}.part.png")
    try:
        result.save(part, image)
        os.replace(part, target)
    except OSError as error:
        raise MasqueradeError(f"{target.name} cannot be written: free its place.") from error
    finally:
        part.unlink(missing_ok=True)
