"""The result of a job: its pictures, its mask, and the count of kept pixels that changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from inference.picture import png_metadata
from inference.picture.compositing import Alpha
from inference.picture.geometry import Box
from inference.picture.image_files import encode_png, write_whole
from inference.picture.photo import Pixels
from inference.recipe.recipe import Recipe

CONTROL_MAP = "control map"  # its name in `Result.pictures`


@dataclass(frozen=True, kw_only=True)
class Result:
    """The finished pictures of a job, with mask, recipe and the count of changed kept pixels.

    Attributes:
        images: (H, W, 3) uint8 RGB each; picture k was painted with seed + k.
        original: (H, W, 3) uint8, the upload's pixels on the result's canvas.
        mask: (H, W) uint8, 0 = kept, 255 = repainted.
        control_map: (h, w, 3) uint8 at generation size, or None without a control.
        box: the part of the canvas that was painted.
        recipe: the recipe with its concrete seed and style.
        seconds: duration of each stage, by its name.
        kept_pixels: number of pixels that the mask keeps.
        kept_pixels_changed: number of those that differ from the upload in any image.
        edge_pixels: number of pixels that are partly kept, along the mask's edge.
        unread: the end of the prompt that was too long to be read, "" for none.
        hint: sentences for the user about how to improve the result, "" for none.
        thrifty: whether it was painted in smaller pieces because memory ran out.
        withheld: indices of images that the safety checker flagged; they are replaced by gray.
        remarks: sentences about what became of the result after it was painted.
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
    edge_pixels: int = 0
    unread: str = ""
    hint: str = ""
    thrifty: bool = False
    withheld: tuple[int, ...] = ()
    remarks: tuple[str, ...] = ()

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences for the user about how it was made."""
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
        return (*notes, *self.remarks)

    def report(self, notes: tuple[str, ...] = ()) -> dict[str, object]:
        """Everything but the pictures, ready for JSON, with these notes before its own."""
        return {
            "seed": self.recipe.seed,
            "kept_pixels": self.kept_pixels,
            "kept_pixels_changed": self.kept_pixels_changed,
            "edge_pixels": self.edge_pixels,
            "seconds": {stage: round(seconds, 3) for stage, seconds in self.seconds.items()},
            "notes": [*notes, *self.notes],
            "recipe": self.recipe.model_dump(mode="json"),
        }

    def pictures(self) -> dict[str, Pixels]:
        """Input, mask, control map and results by name, as (H, W, 3) uint8."""
        named = {"input": self.original, "mask": self.mask[..., None].repeat(3, axis=2)}
        if self.control_map is not None:
            named[CONTROL_MAP] = self.control_map
        seed = self.recipe.seed or 0
        return named | {f"seed {seed + k}": image for k, image in enumerate(self.images)}

    def save(self, path: str | Path, image: int = 0) -> Path:
        """Write one image as a PNG; see `png`.

        Raises:
            MasqueradeError: the file cannot be written.
        """
        return write_whole(self.png(image), Path(path))

    def png(self, image: int = 0) -> bytes:
        """The PNG file of one image, with its mask and the recipe that paints it alone."""
        seed = None if self.recipe.seed is None else self.recipe.seed + image
        alone = self.recipe.model_copy(update={"seed": seed, "num_images": 1})
        return png_metadata.embed(encode_png(self.images[image]), alone, self._mask_png)

    @cached_property
    def _mask_png(self) -> bytes:
        return encode_png(self.mask)


def _short(text: str) -> str:
    """A text cut to 200 characters."""
    return text if len(text) <= 200 else f"{text[:200]}…"
