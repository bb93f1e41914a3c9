"""Words and a photo become a selection; each phrase is looked up once per photo."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import cv2
import numpy as np

from inference.cache import Cache
from inference.compose import resize
from inference.errors import EmptyMask, WordsNotFound
from inference.geometry import Box, Canvas, fit_within, generation_size
from inference.masking import Field, Floats, Heatmap, View, centre, combine, logit, make_field
from inference.photo import Photo, Pixels
from inference.recipe import Recipe
from inference.skeleton import Keypoints

if TYPE_CHECKING:
    from inference.pose import PoseEstimator
    from inference.segmenter import Activations, Segmenter

# Longer side of the grid on which a mask's edge is measured, and of the preview.
GRID = 768
PERSON = "person"
PERSON_SCORE = 0.5


@dataclass(frozen=True, kw_only=True)
class WordScore:
    """How surely one phrase was found: its peak score in 0–1, never stretched."""

    phrase: str
    score: float
    found: bool
    negative: bool


@dataclass(frozen=True, kw_only=True)
class Selection:
    """What the words of a recipe select in a photo.

    Attributes:
        canvas: the part of the photo that the recipe asks for.
        native: side of the square whose area the style's model was trained at.
        field: the selection's signed distance field; it covers the canvas.
        words: one score per phrase.
        preview: (h, w, 3), the canvas at the resolution of the field's grid.
    """

    photo: Photo
    canvas: Canvas
    native: int
    field: Field
    words: tuple[WordScore, ...]
    preview: Pixels

    def picture(self) -> Pixels:
        """The canvas cut from the photo, (H, W, 3)."""
        return resize(self.photo.pixels[self.canvas.box.slices], self.canvas.size)

    def alpha(self, recipe: Recipe, view: View | None = None) -> Floats:
        """The recipe's mask in 0–1, 1 = repaint; the whole canvas where no view is given."""
        whole = View(whole=self.canvas.size, box=Box.whole(self.canvas.size), size=self.canvas.size)
        return self.field.alpha(recipe, view or whole)

    def preview_alpha(self, recipe: Recipe) -> Floats:
        """The recipe's mask at the resolution of `preview`."""
        return self.field.alpha(recipe)

    def check(self, recipe: Recipe) -> None:
        """Refuse a mask that is not worth painting.

        Raises:
            WordsNotFound: none of the words is in the picture.
            EmptyMask: nothing would be repainted, or nothing kept.
        """
        wanted = [word for word in self.words if not word.negative]
        if not any(word.found for word in wanted):
            scores = {word.phrase: word.score for word in wanted}
            seen = ", ".join(f"no {phrase} found ({score:.2f})" for phrase, score in scores.items())
            raise WordsNotFound(
                f"{(seen or 'no words given').capitalize()}: "
                "try other words, or lower the threshold.",
                scores=scores,
            )
        if not (self.field.distance > 0).any():
            raise EmptyMask("Nothing is left of what was found: take less out or crop less.")
        alpha = self.preview_alpha(recipe)
        if not (alpha > 0).any():
            raise EmptyMask
        if (alpha == 1).all():
            raise EmptyMask("The mask covers all, nothing would be kept: lower mask dilate.")


@dataclass(kw_only=True)
class Selector:
    """Looks things up, and remembers. Thread-safe: one look-up at a time.

    Args:
        segmenter: the detector of a model family, loaded when first called.
    """

    segmenter: Callable[[str], Segmenter]
    _seen: Cache[Activations] = field(default_factory=lambda: Cache(4))
    _heat: Cache[Heatmap] = field(default_factory=lambda: Cache(128))
    _fields: Cache[Selection] = field(default_factory=lambda: Cache(16))
    _points: Cache[Keypoints] = field(default_factory=lambda: Cache(16))
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def select(self, photo: Photo, recipe: Recipe, family: str, native: int) -> Selection:
        """Find a recipe's words in a photo.

        Args:
            family: which models to look with.
            native: side of the square whose area the painter was trained at.

        Raises:
            ModelUnavailable: the detector cannot be had.
        """
        shape = (recipe.w, recipe.h, recipe.ar, recipe.mask_threshold)
        words = (recipe.phrases, recipe.negative_phrases)
        key = repr((photo.digest, family, native, words, shape))
        return self._fields.get(key, lambda: self._select(photo, recipe, family, native))

    def _select(self, photo: Photo, recipe: Recipe, family: str, native: int) -> Selection:
        threshold = recipe.mask_threshold
        positive = self.heatmaps(photo, recipe.phrases, family)
        negative = self.heatmaps(photo, recipe.negative_phrases, family)
        nothing = np.full((1, 1), -np.inf, dtype=np.float32)
        logits = combine(positive, negative) if positive else nothing
        canvas = Canvas.plan(photo.size, recipe, centre(logits, threshold))
        view = View(whole=photo.size, box=canvas.box, size=fit_within(canvas.size, GRID))
        short_side = min(generation_size(canvas.size, native))
        return Selection(
            photo=photo,
            canvas=canvas,
            native=native,
            field=make_field(logits, threshold, view, short_side),
            words=_scores(positive, threshold, False) + _scores(negative, threshold, True),
            preview=resize(photo.pixels[canvas.box.slices], view.size),
        )

    def heatmaps(self, photo: Photo, phrases: Sequence[str], family: str) -> tuple[Heatmap, ...]:
        """One heatmap per phrase; only phrases that are new to the photo cost anything."""
        keys = {phrase: repr((family, photo.digest, phrase)) for phrase in phrases}
        with self._lock:
            # Taken out before anything is put in, which may push others out of the cache.
            heats = {phrase: self._heat.find(key) for phrase, key in keys.items()}
            if missing := [phrase for phrase, heat in heats.items() if heat is None]:
                segmenter = self.segmenter(family)
                seen = self._seen.get(
                    f"{family} {photo.digest}", lambda: segmenter.look(photo.pixels)
                )
                for heat in segmenter.find(seen, missing):
                    heats[heat.phrase] = self._heat.keep(keys[heat.phrase], heat)
            return tuple(heat for heat in heats.values() if heat is not None)

    def keypoints(self, photo: Photo, family: str, estimator: PoseEstimator) -> Keypoints:
        """The person's COCO key points, (17, 3), in pixels of the photo."""
        heat = self.heatmaps(photo, (PERSON,), family)[0]
        return self._points.get(
            f"{family} {photo.digest}",
            lambda: estimator.find(photo.pixels, _largest_blob(heat.logits, photo)),
        )


def _scores(heatmaps: Sequence[Heatmap], threshold: float, negative: bool) -> tuple[WordScore, ...]:
    return tuple(
        WordScore(
            phrase=heat.phrase, score=heat.peak, found=heat.found(threshold), negative=negative
        )
        for heat in heatmaps
    )


def _largest_blob(logits: Floats, photo: Photo) -> Box:
    """The box of the largest connected part above `PERSON_SCORE`; the whole photo without one."""
    inside = (logits >= logit(PERSON_SCORE)).astype(np.uint8)
    count, _, stats, _ = cv2.connectedComponentsWithStats(inside)
    if count < 2:
        return Box.whole(photo.size)
    left, top, width, height = stats[1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA])), :4]
    scale_x, scale_y = photo.size[0] / logits.shape[1], photo.size[1] / logits.shape[0]
    return Box(
        left=math.floor(left * scale_x),
        top=math.floor(top * scale_y),
        right=math.ceil((left + width) * scale_x),
        bottom=math.ceil((top + height) * scale_y),
    )
