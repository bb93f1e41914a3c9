"""What the studio hands out: progress while it works, a result at the end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

import cv2

from inference.compose import Alpha
from inference.errors import MasqueradeError
from inference.geometry import Box
from inference.photo import Pixels
from inference.recipe import Recipe


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

    def pictures(self) -> dict[str, Pixels]:
        """Input, mask, control map and results by their names, all as (H, W, 3) uint8."""
        named = {"input": self.original, "mask": self.mask[..., None].repeat(3, axis=2)}
        if self.control_map is not None:
            named["control map"] = self.control_map
        seed = self.recipe.seed or 0
        return named | {f"seed {seed + k}": image for k, image in enumerate(self.images)}

    def save(self, path: str | Path, image: int = 0) -> Path:
        """Write one image as a PNG.

        Raises:
            MasqueradeError: the file cannot be written.
        """
        return save_png(self.images[image], Path(path))


def save_png(picture: Pixels, path: Path) -> Path:
    """Write an RGB picture as a PNG; OpenCV's encoder is several times faster than Pillow's."""
    done, data = cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    try:
        if not done:
            raise OSError("the encoder refused the picture")
        path.write_bytes(data.tobytes())
    except OSError as error:
        raise MasqueradeError(f"{path.name} cannot be written: free some disk space.") from error
    return path
