"""Jobs for a library, with small pictures, a clock that a test sets, and places for a library."""

from __future__ import annotations

import io
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
from PIL import Image

from inference import Recipe
from inference.library.address import Place, Shared, SharedFolder, place_of
from inference.library.library import Library
from inference.library.limits import Limits
from inference.library.records import KeptPicture, NewJob, Origin, Outcome
from tests.support.postgresql import PostgresqlServer


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


PLACES = ("folder", "shared folder", "postgresql", "postgresql with objects")


def place_for(kind: str, folder: Path, server: PostgresqlServer | None) -> Place:
    """An empty place for a library, of a kind of `PLACES`.

    Files in a folder are where those of a library in `folder` are.
    """
    if kind == "folder":
        return folder
    if kind == "shared folder":
        return SharedFolder(path=folder)
    assert server is not None
    objects = f"memory://library/{secrets.token_hex(4)}"
    files = objects if kind.endswith("objects") else str(folder / "files")
    return place_of(server.create(), files)


@pytest.fixture(params=PLACES)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """An empty place for a library: the test runs for each kind."""
    server = None if request.param.endswith("folder") else request.getfixturevalue("postgresql")
    return place_for(request.param, tmp_path / "library", server)


@contextmanager
def opened(
    place: Place,
    limits: Limits | None = None,
    clock: Clock | None = None,
    lease: float | None = None,
) -> Iterator[Any]:
    """A library, closed at the end."""
    library = Library(place, limits, clock or Clock(), lease)
    try:
        yield library
    finally:
        library.close()


def files_in(place: Place) -> list[str]:
    """The names of all files of a library's pictures."""
    if isinstance(place, Shared) and place.files.startswith("memory://"):
        store, root = fsspec.core.url_to_fs(place.files)
        return sorted(path.rsplit("/", 1)[-1] for path in store.find(root))
    if isinstance(place, Shared):
        folder = Path(place.files)
    else:
        folder = (place if isinstance(place, Path) else place.path) / "files"
    return sorted(one.name for one in folder.rglob("*") if one.is_file())
