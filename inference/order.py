"""What is asked of the painter: by a page, or by somebody's program over HTTP."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from inference.address import fetch_photo
from inference.errors import InvalidPhoto, InvalidRecipe
from inference.grid import Axis, Grid
from inference.photo import Photo
from inference.prompt_text import parse
from inference.recipe import Recipe


@dataclass(frozen=True, kw_only=True)
class Order:
    """One job.

    Attributes:
        photo: what is repainted.
        recipe: how.
        mask_image: counts as found where it is light, as words do.
        grid: the recipe's variations, where several are wanted.
        notes: sentences about what was not taken as it was sent.
    """

    photo: Photo
    recipe: Recipe
    mask_image: Photo | None = None
    grid: Grid | None = None
    notes: tuple[str, ...] = field(default=())


def grid_of(recipe: Recipe, styles: list[str] | None, vary: str | None) -> Grid | None:
    """The variations of a recipe, in styles and in the values of a field such as `steps=2, 5`.

    Raises:
        InvalidRecipe: they make no grid; None where there are none.
    """
    rows = Axis.parse(vary or "")
    if not styles and rows is None:
        return None
    return Grid.of(recipe, Axis(name="style", values=tuple(styles)) if styles else None, rows)


def order_of(photo: object, recipe: object, mask_image: object, folder: Path) -> Order:
    """Read what a program sent.

    Args:
        photo, mask_image: files as the web framework names uploaded ones, or None; then the
            recipe's `input_image_url` and `mask_image_url` count.
        recipe: a prompt block, or fields with their values.
        folder: where uploaded files lie; no other file is opened.

    Raises:
        InvalidPhoto: there is no photo, or none that can be used.
        InvalidRecipe: a field has a value that is not allowed.
    """
    read, unknown = _recipe(recipe)
    given = _picture(photo, "photo", read.input_image_url, folder)
    if given is None:
        raise InvalidPhoto("There is no photo: upload one, or name its input_image_url.")
    notes = [given.note, f"Unknown, so left out: {', '.join(unknown)}." if unknown else ""]
    return Order(
        photo=given,
        recipe=read,
        mask_image=_picture(mask_image, "mask_image", read.mask_image_url, folder),
        notes=tuple(filter(None, notes)),
    )


def _recipe(source: object) -> tuple[Recipe, tuple[str, ...]]:
    if source is None:
        return Recipe(), ()
    if isinstance(source, str):
        block = parse(source)
        return block.recipe, block.unknown
    if isinstance(source, dict):
        return Recipe.parse(source), ()
    raise InvalidRecipe("The recipe is a prompt block, or fields with their values: send either.")


def _picture(source: object, name: str, url: str, folder: Path) -> Photo | None:
    if source is None:
        return fetch_photo(url) if url else None
    path = source.get("path") if isinstance(source, dict) else None
    if not isinstance(path, str) or "\0" in path:
        raise InvalidPhoto(f"The {name} is no uploaded file: upload it first, and send its path.")
    if not Path(path).resolve().is_relative_to(folder.resolve()):
        raise InvalidPhoto(f"The {name} was not uploaded here: upload it first, and send its path.")
    return Photo.open(path)
