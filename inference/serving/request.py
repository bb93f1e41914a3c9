"""Painting requests, parsed and validated: from the page's form or over HTTP."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from inference.errors import InvalidPhoto, InvalidRecipe
from inference.library.records import Origin
from inference.picture.photo import Photo
from inference.picture.url_fetch import fetch_file
from inference.recipe.prompt_block import parse
from inference.recipe.recipe import Recipe
from inference.studio.grid import Axis, Grid

#: Where the file of a photo is: its path, or its content; None if it is not known.
Source = Path | bytes | None


@dataclass(frozen=True, kw_only=True)
class PaintRequest:
    """A request for one job.

    Attributes:
        photo: the photo to repaint.
        recipe: all settings.
        mask_image: its white is added to the selection, like words that were found.
        grid: variations of the recipe; None for the recipe alone.
        notes: sentences about what was changed or left out on reading.
        photo_file, mask_file: their files, for the library.
        owner: whose the job is; None for a job that is not kept in the library.
        origin: the interface that it came through.
        stored: its number in the library, if it is there already.
        is_retouch: whether it takes the place of the owner's last job.
    """

    photo: Photo
    recipe: Recipe
    mask_image: Photo | None = None
    grid: Grid | None = None
    notes: tuple[str, ...] = ()
    photo_file: Source = field(default=None, repr=False)
    mask_file: Source = field(default=None, repr=False)
    owner: str | None = None
    origin: Origin = Origin.PAGE
    stored: int | None = None
    is_retouch: bool = False


def grid_of(recipe: Recipe, styles: list[str] | None, vary: str | None) -> Grid | None:
    """The grid of a recipe in several styles and values of a field such as `steps=2, 5`.

    Returns:
        None if neither is given.

    Raises:
        InvalidRecipe: a style or value is invalid, or there are too many cells.
    """
    rows = Axis.parse(vary or "")
    if not styles and rows is None:
        return None
    return Grid.of(recipe, Axis(name="style", values=tuple(styles)) if styles else None, rows)


def request_of(photo: object, recipe: object, mask_image: object, folder: Path) -> PaintRequest:
    """Parse the request of an HTTP client.

    Args:
        photo, mask_image: uploaded files in Gradio's format; without one, the recipe's
            `input_image_url` or `mask_image_url` is fetched.
        recipe: a prompt block, or fields with their values.
        folder: where uploaded files are; no other file is opened.

    Raises:
        InvalidPhoto: there is no photo, or it cannot be used.
        InvalidRecipe: a field has an invalid value.
    """
    settings, unknown = _recipe(recipe)
    photo_file = _file(photo, "photo", settings.input_image_url, folder)
    if photo_file is None:
        raise InvalidPhoto("There is no photo: upload one, or name its input_image_url.")
    given = Photo.open(photo_file)
    mask_file = _file(mask_image, "mask_image", settings.mask_image_url, folder)
    notes = [given.note, f"Unknown, so left out: {', '.join(unknown)}." if unknown else ""]
    return PaintRequest(
        photo=given,
        recipe=settings,
        mask_image=None if mask_file is None else Photo.open(mask_file),
        notes=tuple(filter(None, notes)),
        photo_file=photo_file,
        mask_file=mask_file,
    )


def _recipe(source: object) -> tuple[Recipe, tuple[str, ...]]:
    """The recipe and the names of unknown fields."""
    if source is None:
        return Recipe(), ()
    if isinstance(source, str):
        block = parse(source)
        return block.recipe, block.unknown
    if isinstance(source, dict):
        return Recipe.parse(source), ()
    raise InvalidRecipe("The recipe is a prompt block, or fields with their values: send either.")


def _file(source: object, name: str, url: str, folder: Path) -> Source:
    """The file that a client uploaded, or that its recipe's address leads to."""
    if source is None:
        return fetch_file(url) if url else None
    path = source.get("path") if isinstance(source, dict) else None
    if not isinstance(path, str) or "\0" in path:
        raise InvalidPhoto(f"The {name} is no uploaded file: upload it first, and send its path.")
    if not Path(path).resolve().is_relative_to(folder.resolve()):
        raise InvalidPhoto(f"The {name} was not uploaded here: upload it first, and send its path.")
    return Path(path)
