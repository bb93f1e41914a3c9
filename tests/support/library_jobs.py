"""Jobs for a library, with small pictures, and a clock that a test sets."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from inference import Recipe
from inference.library.library import Library
from inference.library.limits import Limits
from inference.library.records import KeptPicture, NewJob, Origin, Outcome


def picture_file(number: int = 0, side: int = 24) -> bytes:
    """A PNG that is another one for each number."""
    pixels = np.full((side, side, 3), number % 251, dtype=np.uint8)
    pixels[0, 0] = (number // 251 % 251, 1, 2)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def noise_file(number: int, side: int = 100) -> bytes:
    """A PNG of three bytes a pixel, because noise cannot be packed."""
    pixels = np.random.default_rng(number).integers(0, 256, (side, side, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def new_job(owner: str = "ann", photo: int | bytes = 0, **values: Any) -> NewJob:
    """A job with a recipe of these fields; those of `NewJob` are taken from it."""
    known = ("mask", "request", "notes", "fingerprint", "callback", "origin")
    given = {name: values.pop(name) for name in known if name in values}
    recipe = Recipe.parse({"prompt": "a garden", "style": "drawn", **values})
    given = {
        "origin": Origin.PAGE,
        "photo": photo if isinstance(photo, bytes) else picture_file(photo),
    } | given
    return NewJob(owner=owner, recipe=recipe, **given)


def outcome(*pictures: int, seed: int = 7) -> Outcome:
    """What a painting of these pictures gives."""
    kept = [KeptPicture(file=noise_file(k), thumbnail=picture_file(k, 16)) for k in pictures]
    recipe = Recipe(prompt="a garden", style="drawn", seed=seed)
    return Outcome(recipe=recipe, pictures=tuple(kept), report={"seed": seed}, notes=("Painted.",))


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self, now: float = 1_800_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


@contextmanager
def opened(folder: Path, limits: Limits | None = None, clock: Clock | None = None) -> Iterator[Any]:
    """A library in a folder, closed at the end."""
    library = Library(folder, limits, clock or Clock())
    try:
        yield library
    finally:
        library.close()


def files_in(folder: Path) -> list[str]:
    """The names of all files of a library's pictures."""
    return sorted(one.name for one in (folder / "files").rglob("*") if one.is_file())
