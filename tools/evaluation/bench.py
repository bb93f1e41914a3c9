"""Shared parts of the evaluation: held-out portraits, and a studio that caches its paintings."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from inference import Photo, Recipe, Result, Studio
from inference.catalog.hub import fetch
from inference.errors import EmptyMask
from inference.mask.selector import PERSON
from tools.portraits import HELD_OUT_SEED, Portrait, draw, sample_spec, solo

Pixels = NDArray[np.uint8]
Mask = NDArray[np.bool_]
Keypoints = NDArray[np.float32]

SIZES = ((384, 480), (480, 480))  # of uploads; (width, height)
FAMILY = "pack"
FOUND = 128  # from this value of a mask on, a pixel counts as repainted


@dataclass(frozen=True, kw_only=True)
class Painting:
    """A result, (h, w, 3), and the mask of its repainted pixels, (h, w)."""

    image: Pixels
    repainted: Mask


def held_out(k: int) -> Portrait:
    """The k-th held-out portrait, in any style, of one person or two."""
    return draw(sample_spec(HELD_OUT_SEED + k), SIZES[k % 2])


def sitter(k: int) -> Portrait:
    """The main person of the k-th held-out portrait alone, in flat style: the input photo."""
    return draw(solo(sample_spec(HELD_OUT_SEED + k)), SIZES[k % 2])


def overlap(found: Mask, truth: Mask) -> float:
    """Intersection over union."""
    return float((found & truth).sum() / (found | truth).sum())


def share(verdicts: list[bool]) -> float:
    """Share of true verdicts, in 0-1; 0 for an empty list."""
    return float(np.mean(verdicts)) if verdicts else 0.0


class Bench:
    """Runs `Studio.select` and `Studio.paint` for the evaluation, with a cache of paintings."""

    def __init__(self, studio: Studio, gallery: Path | None = None, most_steps: int = 50) -> None:
        """Measure with `studio`; no painting takes more steps than `most_steps`.

        `gallery` is the folder of finished paintings, so that a run can be resumed.
        """
        self.studio = studio
        self._most_steps = most_steps
        self._gallery = gallery
        if gallery is not None:
            gallery.mkdir(parents=True, exist_ok=True)

    def find(self, picture: Pixels, words: str) -> tuple[Mask, float]:
        """The mask of words in a picture, and their peak score in 0-1."""
        recipe = Recipe(
            mask_prompt=words, mask_negative="", mask_invert=False, mask_dilate=0, mask_feather=0
        )
        selection = self.studio.select(Photo.of(picture), recipe)
        return selection.alpha(recipe) > 0, selection.words[0].score

    def paint(self, picture: Pixels, recipe: Recipe) -> Painting | None:
        """Repaint a picture; None if the words are not found."""
        photo = Photo.of(picture)
        recipe = recipe.model_copy(update={"steps": min(recipe.steps, self._most_steps)})
        path = None
        if self._gallery is not None:
            key = f"{photo.digest} {recipe.model_dump_json()}"
            path = (
                self._gallery / f"{hashlib.blake2b(key.encode(), digest_size=16).hexdigest()}.png"
            )
            if path.exists():
                return _read(path)
        try:
            painting = self.paint_anew(photo, recipe)
        except EmptyMask:
            return None
        if path is not None:
            _write(path, painting)
        return painting

    def paint_anew(self, photo: Photo, recipe: Recipe) -> Painting:
        """Repaint a photo without the cache of paintings.

        Raises:
            EmptyMask: the words are not found.
        """
        *_, result = self.studio.paint(photo, recipe)
        assert isinstance(result, Result)
        return Painting(image=result.images[0], repainted=result.mask >= FOUND)

    def keypoints(self, picture: Pixels) -> Keypoints:
        """The person's COCO key points, (17, 3), in the person's box as in the product."""
        self.find(picture, PERSON)  # as the page does before it paints
        estimator = self.studio.models().pose(FAMILY, fetch)
        return self.studio._selector.keypoints(Photo.of(picture), FAMILY, estimator)

    def pack_files(self) -> Iterator[Path]:
        """Every file of the embedded pack."""
        folder = Path(self.studio.catalog.family(FAMILY).segmenter.folder).parent
        yield from sorted(path for path in folder.rglob("*") if path.is_file())

    def pack_digest(self, folder: str = "") -> str:
        """Digest of the pack's styles and models, or of the model in `folder`; not of documents."""
        code = hashlib.blake2b(digest_size=8)
        for style in () if folder else self.studio.catalog.styles(FAMILY):
            code.update(style.model_dump_json(exclude={"base"}).encode())
        for path in self.pack_files():
            if path.parent.name != "pack" and (not folder or folder in path.parts):
                code.update(path.name.encode() + path.read_bytes())
        return code.hexdigest()


def _write(path: Path, painting: Painting) -> None:
    alpha = painting.repainted.astype(np.uint8)[..., None] * 255
    picture = np.concatenate([painting.image[..., ::-1], alpha], axis=2)
    partial = path.with_suffix(".part.png")
    cv2.imwrite(str(partial), picture)
    partial.rename(path)


def _read(path: Path) -> Painting:
    picture = np.asarray(cv2.imread(str(path), cv2.IMREAD_UNCHANGED), dtype=np.uint8)
    image = np.ascontiguousarray(picture[..., 2::-1])
    return Painting(image=image, repainted=picture[..., 3] >= FOUND)
