"""Result of a text-prompted selection: scores, words, threshold, strokes and mask."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from inference.errors import EmptyMask, WordsNotFound
from inference.mask.brush import NOTHING, Layer, RegionAt
from inference.mask.distance_field import DistanceField
from inference.mask.heatmap import Bools, Floats, Scores, at_least
from inference.matting.matte import Cutout, Matte
from inference.matting.trimap import Trimap, by_majority, without_edge
from inference.people.part_words import one_person
from inference.people.person_regions import PersonRegions, Place
from inference.picture.compositing import resize
from inference.picture.geometry import Box, Canvas, Size, View
from inference.picture.photo import Photo, Pixels
from inference.recipe.recipe import Recipe
from inference.runtime.cache import Cache

# Values of `Detection.reader`.
PHOTOGRAPH, DRAWING = "photograph", "drawing"
# Usual range of the repainted share of the picture; outside it the user is warned.
USUAL_SHARES = 0.01, 0.98


@dataclass(frozen=True, kw_only=True)
class Word:
    """One phrase and the detector's scores for it.

    Attributes:
        phrase: the phrase that was segmented.
        negative: whether it is subtracted.
        threshold: its own threshold in 0–1; None if the recipe's applies.
        score: its peak in the photo, in 0–1, never stretched.
        heat: (h, w) scores on the canvas, at about the detector's resolution.
    """

    phrase: str
    negative: bool
    threshold: float | None
    score: float
    heat: Scores = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class WordScore:
    """The score of one phrase, compared with its threshold.

    Attributes:
        phrase: the phrase that was segmented.
        score: its peak in the photo, in 0–1, never stretched.
        share: part of the canvas, in 0–1, where the score reaches the threshold.
        found: whether the score reaches the threshold anywhere.
        negative: whether it is subtracted.
    """

    phrase: str
    score: float
    share: float
    found: bool
    negative: bool


@dataclass(frozen=True, kw_only=True)
class Detection:
    """The detector's scores on a canvas, before threshold and strokes.

    Attributes:
        photo: the segmented photo.
        canvas: the part of the photo that becomes the result, by the recipe's size.
        native: side of the square whose area the style's model was trained at.
        scores: (h, w), all phrases combined, edges aligned with the photo's; covers the canvas.
        words: one per phrase, positive ones first.
        drawn: whether a mask image was combined with the words.
        preview: (h, w, 3), the canvas at the resolution of the scores.
        reader: `PHOTOGRAPH` where the photo reader found people, `DRAWING` where the segmenter
            knows such drawings, "" otherwise.
        people: whose each pixel of the photo is; None where no word is about people.
    """

    photo: Photo
    canvas: Canvas
    native: int
    scores: Scores = field(repr=False)
    words: tuple[Word, ...]
    drawn: bool
    preview: Pixels = field(repr=False)
    reader: str = ""
    people: PersonRegions | None = None

    @property
    def places(self) -> tuple[Place, ...]:
        """Where people are in the photo, from left to right; none where no word is about them."""
        return self.people.places if self.people is not None else ()

    def absence(self, phrase: str, score: float) -> str:
        """What is said about a phrase that was not found."""
        one = one_person(phrase)
        if one is None or self.people is None or self.people.index(one.which) is not None:
            return f"no {phrase} found ({score:.2f})"
        count = len(self.people.places)
        if not count:
            return "nobody found"
        return f"only {count} {'person' if count == 1 else 'people'} found"

    @property
    def view(self) -> View:
        """The canvas as a part of the photo, at the resolution of the scores."""
        height, width = self.scores.shape
        return View(whole=self.photo.size, box=self.canvas.box, size=(width, height))


@dataclass(frozen=True, kw_only=True)
class Selection:
    """A detection with threshold and brush strokes applied.

    Attributes:
        detection: scores and words.
        threshold: score in 0–1 from which a pixel counts as found.
        field: signed distance field of the selection; it covers the canvas.
        strokes: (h, w) uint8, the brush strokes on the detection's grid.
        region_at: returns what lies at a clicked point, (h, w) bool on the same grid.
        hair_and_body: returns where hair is and where the rest of people, as well.
        key: identifies it in the caches.
        mattes, cutouts: caches, shared between selections.
    """

    detection: Detection
    threshold: float
    field: DistanceField
    strokes: Layer = dataclasses.field(repr=False)
    region_at: RegionAt = dataclasses.field(repr=False)
    hair_and_body: Callable[[], tuple[Bools, Bools]] = dataclasses.field(repr=False)
    key: str = dataclasses.field(repr=False)
    mattes: Cache[Matte] = dataclasses.field(repr=False)
    cutouts: Cache[Cutout] = dataclasses.field(repr=False)

    @property
    def canvas(self) -> Canvas:
        """The part of the photo that becomes the result, by the recipe's size."""
        return self.detection.canvas

    @property
    def words(self) -> tuple[WordScore, ...]:
        """The score of each phrase, compared with its threshold."""
        return tuple(self._judge(word) for word in self.detection.words)

    def _judge(self, word: Word) -> WordScore:
        threshold = self.threshold if word.threshold is None else word.threshold
        return WordScore(
            phrase=word.phrase,
            score=word.score,
            share=float(at_least(word.heat, threshold).mean()),
            found=word.score >= threshold,
            negative=word.negative,
        )

    def picture(self, size: Size | None = None) -> Pixels:
        """The canvas cut from the photo, (H, W, 3), at its own size or another."""
        photo, canvas = self.detection.photo, self.canvas
        return resize(photo.pixels[canvas.box.slices], size or canvas.size)

    def alpha(self, recipe: Recipe, view: View | None = None) -> Floats:
        """The recipe's mask in 0–1, 1 = repaint; of the whole canvas if no view is given."""
        size = self.canvas.size
        view = view or View(whole=size, box=Box.whole(size), size=size)
        if not self.is_matted(recipe):
            return self.field.alpha(recipe, view)
        return self._matte(recipe).repaint(self._part(view), view)

    def cutout(self, recipe: Recipe, view: View) -> Cutout:
        """What the recipe keeps of a part of the canvas, with the colours that it is shown in."""
        if not self.is_matted(recipe):
            return Cutout(repaint=self.field.alpha(recipe, view), colours=self._part(view))
        key = repr((self.key, _edge_settings(recipe), view))
        return self.cutouts.get(key, lambda: self._matte(recipe).cut(self._part(view), view))

    def is_matted(self, recipe: Recipe) -> bool:
        """Whether the mask's edge is a matte and not a soft line."""
        if recipe.mask_edges is None:
            return self.detection.reader == PHOTOGRAPH
        return recipe.mask_edges == "matte"

    def edge_strength(self, recipe: Recipe, alpha: Floats) -> Floats | None:
        """How strongly to paint a soft edge, (H, W) in 0-1 as `alpha`; None paints it fully.

        Measured: a rim that is painted less strongly joins what the words name better to the photo
        around it, and brings the old background along where a person gets a new one.
        """
        joins = not recipe.mask_invert and not self.is_matted(recipe)
        return alpha if joins and bool(((alpha > 0) & (alpha < 1)).any()) else None

    def _matte(self, recipe: Recipe) -> Matte:
        key = repr((self.key, _edge_settings(recipe)))
        return self.mattes.get(key, lambda: self._solve(recipe))

    def _solve(self, recipe: Recipe) -> Matte:
        found, brushed = self.field.distance > 0, self.strokes != NOTHING
        holes = found & ~at_least(self.detection.scores, self.threshold)
        hair, body = self.hair_and_body()
        sides = by_majority(hair, found == recipe.mask_invert)
        width = recipe.mask_matte_width
        certain = brushed | without_edge(body, width)
        trimap = Trimap.around_edge(self.field.repainted(recipe), sides, holes, certain, width)
        return Matte.solve(self.detection.preview, trimap, width)

    def _part(self, view: View) -> Pixels:
        """A part of the canvas, (H, W, 3), at the view's resolution."""
        return resize(self.picture(view.whole)[view.box.slices], view.size)

    def preview_alpha(self, recipe: Recipe) -> Floats:
        """The recipe's mask with a soft edge, at the resolution of the detection."""
        return self.field.alpha(recipe)

    def warning(self, recipe: Recipe) -> str:
        """A sentence about a mask that is unusually small or large, "" for others."""
        low, high = USUAL_SHARES
        share = float((self.preview_alpha(recipe) >= 0.5).mean())
        if share < low:
            return f"Only {share:.1%} would be repainted: raise mask dilate, or turn invert."
        if share > high:
            return f"Only {1 - share:.1%} would be kept: lower the threshold or mask dilate."
        return ""

    def check(self, recipe: Recipe) -> None:
        """Raise an error for a mask that repaints or keeps nothing.

        Raises:
            WordsNotFound: none of the words is in the picture, and nothing was drawn by hand.
            EmptyMask: nothing would be repainted, or nothing kept.
        """
        by_hand = self.detection.drawn or any(one.mode == "add" for one in recipe.mask_strokes)
        wanted = [word for word in self.words if not word.negative]
        if not by_hand and not any(word.found for word in wanted):
            scores = {word.phrase: word.score for word in wanted}
            absences = (self.detection.absence(*item) for item in scores.items())
            seen = ", ".join(dict.fromkeys(absences))
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
        if bool(np.all(alpha == 1)):
            raise EmptyMask(
                "The mask covers all, nothing would be kept: mask less, or lower mask dilate."
            )


def _edge_settings(recipe: Recipe) -> tuple[object, ...]:
    """The settings that a matte depends on, beside the selection."""
    return recipe.mask_invert, recipe.mask_dilate, recipe.mask_matte_width
