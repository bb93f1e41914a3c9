"""What the studio hands out: progress while it works, a result at the end."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from pathlib import Path

import cv2

from inference import metadata
from inference.compose import Alpha
from inference.errors import MasqueradeError
from inference.geometry import Box
from inference.photo import Pixels
from inference.recipe import Recipe

CONTROL_MAP = "control map"  # what it is called among a result's pictures


class Stage(StrEnum):
    """What is being done; the value is what a person reads."""

    WAITING = "Waiting for the painter"
    LOADING = "Loading models"
    MASK = "Finding the words"
    CONTROL = "Drawing the control map"
    PAINTING = "Painting"
    ENLARGING = "Enlarging"
    REFINING = "Refining"
    FINISHING = "Putting the person back"
    FACES = "Repainting faces"
    CORRECTING = "Correcting faces"
    LIKENESS = "Giving faces their likeness"
    GRAIN = "Adding film grain"
    GRADING = "Grading the colours"


@dataclass(frozen=True, kw_only=True)
class Progress:
    """A sign of life.

    Attributes:
        stage: what is being done.
        step, steps: how far it is; both 0 where that is not known.
        detail: a word more, such as which file is being downloaded.
        preview: (H, W, 3) uint8, the picture as it forms, now and then.
        control_map: (H, W, 3) uint8, once, when it is drawn.
        seconds_left: an estimate; None while there is nothing to go by.
    """

    stage: Stage
    step: int = 0
    steps: int = 0
    detail: str = ""
    preview: Pixels | None = field(default=None, repr=False)
    control_map: Pixels | None = field(default=None, repr=False)
    seconds_left: float | None = None

    def report(self) -> dict[str, object]:
        """How far it is, as JSON has it."""
        return {"stage": str(self.stage), "step": self.step, "steps": self.steps}


@dataclass(frozen=True, kw_only=True)
class Result:
    """The finished pictures, and the proof that what was to be kept was kept.

    Attributes:
        images: (H, W, 3) uint8 RGB each; picture k was painted with seed + k.
        original: (H, W, 3) uint8, the upload's own pixels on the result's canvas.
        mask: (H, W) uint8, 0 = kept, 255 = repainted.
        control_map: (h, w, 3) uint8 at generation size, or None without a control.
        box: the part of the canvas that was painted.
        recipe: the recipe with its concrete seed and style.
        seconds: how long each stage took.
        kept_pixels: how many pixels were to be kept.
        kept_pixels_changed: how many of those differ from the upload in any image; counted.
        unread: what of the prompt was not read because it is too long; "" for nothing.
        hint: what would have made more of it, a sentence; "" for nothing.
        thrifty: whether it was painted in smaller pieces, because memory was short.
        withheld: indices of the images that the safety checker held back; gray in their place.
    """

    images: tuple[Pixels, ...] = field(repr=False)
    original: Pixels = field(repr=False)
    mask: Alpha = field(repr=False)
    control_map: Pixels | None = field(repr=False)
    box: Box
    recipe: Recipe
    seconds: Mapping[str, float]
    kept_pixels: int
    kept_pixels_changed: int
    unread: str = ""
    hint: str = ""
    thrifty: bool = False
    withheld: tuple[int, ...] = ()

    @property
    def notes(self) -> tuple[str, ...]:
        """What to know of it beside the picture, a sentence each."""
        notes = []
        if self.unread:
            notes.append(f"Too long, so not read: «{_short(self.unread)}».")
        if self.hint:
            notes.append(self.hint)
        if self.thrifty:
            notes.append("Memory was short, so it was painted in pieces: a smaller size is faster.")
        if self.withheld:
            count = f"{len(self.withheld)} of {len(self.images)}"
            notes.append(f"The safety checker held back {count}: try another seed or prompt.")
        return tuple(notes)

    def report(self, notes: tuple[str, ...] = ()) -> dict[str, object]:
        """Everything but the pictures, as JSON has it, with these notes and its own."""
        return {
            "seed": self.recipe.seed,
            "kept_pixels": self.kept_pixels,
            "kept_pixels_changed": self.kept_pixels_changed,
            "seconds": {stage: round(seconds, 3) for stage, seconds in self.seconds.items()},
            "notes": [*notes, *self.notes],
            "recipe": self.recipe.model_dump(mode="json"),
        }

    def pictures(self) -> dict[str, Pixels]:
        """Input, mask, control map and results by their names, all as (H, W, 3) uint8."""
        named = {"input": self.original, "mask": self.mask[..., None].repeat(3, axis=2)}
        if self.control_map is not None:
            named[CONTROL_MAP] = self.control_map
        seed = self.recipe.seed or 0
        return named | {f"seed {seed + k}": image for k, image in enumerate(self.images)}

    def save(self, path: str | Path, image: int = 0) -> Path:
        """Write one image as a PNG, with the recipe that paints it alone and the mask in it.

        Raises:
            MasqueradeError: the file cannot be written.
        """
        seed = None if self.recipe.seed is None else self.recipe.seed + image
        alone = self.recipe.model_copy(update={"seed": seed, "num_images": 1})
        return _write(metadata.embed(_png(self.images[image]), alone, self._mask), Path(path))

    @cached_property
    def _mask(self) -> bytes:
        return _png(self.mask)


def save_png(picture: Pixels, path: Path) -> Path:
    """Write a picture, RGB or gray, as a PNG.

    Raises:
        MasqueradeError: the file cannot be written; also from the next.
    """
    return _write(_png(picture), path)


def save_jpeg(picture: Pixels, path: Path) -> Path:
    """Write an RGB picture as a JPEG, small enough for a page."""
    return _write(_encoded(picture, ".jpg"), path)


def _png(picture: Pixels) -> bytes:
    return _encoded(picture, ".png")


def _encoded(picture: Pixels, kind: str) -> bytes:
    """The file of a picture; OpenCV's encoders are several times faster than Pillow's."""
    in_order = picture if picture.ndim == 2 else cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
    return cv2.imencode(kind, in_order)[1].tobytes()


def _write(data: bytes, path: Path) -> Path:
    """Write beside the file's place and move it there, so that half a picture is never seen."""
    part = path.with_name(f".{path.name}.part")
    try:
        part.write_bytes(data)
        os.replace(part, path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise MasqueradeError(f"{path.name} cannot be written: free some disk space.") from error
    return path


def _short(text: str) -> str:
    """A text cut where it would fill the page."""
    return text if len(text) <= 200 else f"{text[:200]}…"
