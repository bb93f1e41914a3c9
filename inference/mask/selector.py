"""Selects parts of photos by text; heatmaps are cached per photo and phrase."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import cv2
import numpy as np

from inference.control.openpose_skeleton import Keypoints
from inference.control.photo_pose import largest_person, one_of_people
from inference.errors import InvalidPhoto
from inference.mask.brush import paint_strokes
from inference.mask.click_regions import ClickRegions
from inference.mask.distance_field import make_field
from inference.mask.guided_upsampling import GuidedFilter
from inference.mask.heatmap import (
    Bools,
    Floats,
    Heatmap,
    Scores,
    at_least,
    binarize,
    centre,
    combine,
    logit,
    to_scores,
)
from inference.mask.heatmap_finder import FirstLook, HeatmapFinder
from inference.mask.selection import Detection, Selection, Word
from inference.matting.matte import Cutout, Matte
from inference.people.part_words import one_person, word_of
from inference.picture.compositing import resize
from inference.picture.geometry import Box, Canvas, Size, View, fit_within
from inference.picture.photo import Photo
from inference.picture.resampling import resample
from inference.recipe.mask_settings import Phrase
from inference.recipe.recipe import Recipe
from inference.runtime.cache import Cache

if TYPE_CHECKING:
    from inference.control.pose_estimator import PoseEstimator

Phrases = tuple[Phrase, ...]

# Longer side of the grid of a distance field and of its preview.
GRID = 768
# Longer side of a single word's scores; the detector's resolution is not higher.
HEAT_GRID = 192
PERSON, HAIR = "person", "hair"
# Words for a whole person: one of *But not* takes the person away.
WHOLE = ("person", "foreground")
PERSON_SCORE = 0.5
# Relative difference allowed between the aspect ratios of mask image and photo.
SHAPE_TOLERANCE = 0.02


@dataclass(kw_only=True)
class Selector:
    """Selects parts of photos by text, with caches. Thread-safe.

    Args:
        finder: finds the heatmaps of words.
        clicks: finds what lies at a click.
    """

    finder: HeatmapFinder
    clicks: ClickRegions = field(default_factory=ClickRegions)
    _guides: Cache[GuidedFilter] = field(default_factory=lambda: Cache(2))
    _sharp: Cache[Scores] = field(default_factory=lambda: Cache(64))
    _detections: Cache[Detection] = field(default_factory=lambda: Cache(16))
    _selections: Cache[Selection] = field(default_factory=lambda: Cache(16))
    _mattes: Cache[Matte] = field(default_factory=lambda: Cache(4))
    _cutouts: Cache[Cutout] = field(default_factory=lambda: Cache(2))
    _points: Cache[Keypoints] = field(default_factory=lambda: Cache(16))

    def select(
        self, photo: Photo, recipe: Recipe, family: str, native: int,
        mask_image: Photo | None = None,
    ) -> Selection:  # fmt: skip
        """Select the parts of a photo that a recipe's words, threshold and strokes describe.

        Args:
            photo: the photo.
            recipe: its words, threshold, strokes and size.
            family: key of the model family whose segmenter is used.
            native: side of the square whose area the painter was trained at.
            mask_image: of the photo's aspect ratio; its white is added to the selection, like
                words that were found.

        Raises:
            ModelUnavailable: the segmentation model is unavailable.
            InvalidPhoto: the mask image has another aspect ratio than the photo.
        """
        drawn = mask_image.digest if mask_image else ""
        words = (recipe.phrases, recipe.negative_phrases)
        shape = (recipe.w, recipe.h, recipe.ar)
        key = repr((photo.digest, drawn, family, native, words, shape))

        def make_selection() -> Selection:
            detection = self._detections.get(
                key, lambda: self._detect(photo, recipe, family, native, mask_image)
            )
            region_at = partial(self.clicks.region, photo, view=detection.view, family=family)
            strokes = paint_strokes(recipe.mask_strokes, detection.view, region_at)
            threshold = recipe.mask_threshold
            return Selection(
                detection=detection,
                threshold=threshold,
                field=make_field(detection.scores, threshold, strokes),
                strokes=strokes,
                region_at=region_at,
                hair_and_body=partial(self._hair_and_body, photo, family, detection.view),
                key=judged,
                mattes=self._mattes,
                cutouts=self._cutouts,
            )

        judged = repr((key, recipe.mask_threshold, recipe.mask_strokes))
        return self._selections.get(judged, make_selection)

    def _detect(
        self, photo: Photo, recipe: Recipe, family: str, native: int, mask_image: Photo | None
    ) -> Detection:
        wanted, unwanted = recipe.phrases, recipe.negative_phrases
        texts, apart = self._texts(photo, recipe, family)
        found = self.finder.heatmaps(photo, (*texts, *apart), family)
        heats = {heat.phrase: heat for heat in found if heat.phrase in texts}
        drawn = _drawn(mask_image, photo.size) if mask_image else None
        canvas = Canvas.plan(photo.size, recipe, centre(_coarse(recipe, heats, drawn, photo.size)))
        view = View(whole=photo.size, box=canvas.box, size=fit_within(canvas.size, GRID))
        small = View(whole=photo.size, box=canvas.box, size=fit_within(canvas.size, HEAT_GRID))
        preview = resize(photo.pixels[canvas.box.slices], view.size)

        def sharp(union: Phrases) -> Scores:
            """Scores whose edges are aligned with the picture's."""
            place = f"{family} {photo.digest} {view}"
            guide = partial(self._guides.get, place, partial(GuidedFilter.of, preview))
            return self._sharp.get(
                f"{place} {[one.text for one in union]}",
                lambda: to_scores(guide().sharpen(resample(_union(heats, union), view))),
            )

        words = [_word(one, heats[one.text], small, negative=False) for one in wanted]
        words += [_word(one, heats[one.text], small, negative=True) for one in unwanted]
        return Detection(
            photo=photo,
            canvas=canvas,
            native=native,
            scores=_combined(recipe, sharp, drawn, view),
            words=tuple(words),
            drawn=drawn is not None,
            preview=preview,
            reader=self.finder.reader_of(photo, family) if texts else "",
            people=self.finder.regions(photo, family) if apart else None,
        )

    def _texts(self, photo: Photo, recipe: Recipe, family: str) -> tuple[tuple[str, ...], ...]:
        """A recipe's phrases, and those that are looked for with them."""
        texts = tuple(phrase.text for phrase in (*recipe.phrases, *recipe.negative_phrases))
        return texts, self.finder.apart_by(photo, texts, family)

    def first_look(self, photo: Photo, recipe: Recipe, family: str) -> FirstLook:
        """What `select` looks up in a photo, for the finder of another process."""
        return self.finder.first_look(photo, sum(self._texts(photo, recipe, family), ()), family)

    def _hair_and_body(self, photo: Photo, family: str, view: View) -> tuple[Bools, Bools]:
        """Where hair is, and where the rest of people, on a grid."""
        heats = self.finder.heatmaps(photo, (HAIR, PERSON), family)
        scores = (to_scores(resample(heat.logits, view)) for heat in heats)
        hair, person = (at_least(one, PERSON_SCORE) for one in scores)
        return hair, person & ~hair

    def keypoints(
        self, photo: Photo, family: str, estimator: PoseEstimator, recipe: Recipe | None = None
    ) -> Keypoints:
        """The COCO key points, (17, 3), of the person that a recipe names, or the largest person.

        Args:
            photo: the photo.
            family: key of the model family.
            estimator: used unless the photo reader finds the key points itself.
            recipe: its words may name one person of several.

        Returns:
            In pixels of the photo.
        """
        named = None if recipe is None else self.named_person(photo, recipe, family)

        def find() -> Keypoints:
            people = self.finder.people(photo, family)
            if people is not None and people.anybody and not self.finder.is_general(family):
                if named is None:
                    return largest_person(people, photo.size)
                return one_of_people(people, self.finder.regions(photo, family), named, photo.size)
            phrase = PERSON if named is None else f"{PERSON} {named + 1}"
            heat = self.finder.heatmaps(photo, (phrase,), family)[0]
            return estimator.find(photo.pixels, _largest_blob(heat.logits, photo))

        return self._points.get(f"{family} {photo.digest} {named}", find)

    def named_person(self, photo: Photo, recipe: Recipe, family: str) -> int | None:
        """The index of the person that a recipe names, the largest of several; None for all."""
        wanted = [one for text, _ in recipe.phrases if (one := one_person(text))]
        unwanted = [one for text, _ in recipe.negative_phrases if (one := one_person(text))]
        if not wanted and not unwanted:
            return None
        regions = self.finder.regions(photo, family)
        chosen = {regions.index(one.which) for one in wanted} - {None}
        out = {regions.index(one.which) for one in unwanted if word_of(one.noun) in WHOLE}
        left = [k for k in chosen or range(len(regions.places)) if k is not None and k not in out]
        return max(left, key=lambda k: regions.places[k].area, default=None)


def _word(phrase: Phrase, heat: Heatmap, view: View, *, negative: bool) -> Word:
    """A phrase with its scores on a canvas."""
    return Word(
        phrase=phrase.text, negative=negative, threshold=phrase.threshold,
        score=heat.peak, heat=to_scores(resample(heat.logits, view)),
    )  # fmt: skip


def _union(heats: Mapping[str, Heatmap], phrases: Phrases) -> Floats:
    """Logits of the union of phrases: their maximum, at the finest resolution among them."""
    maps = [heats[one.text].logits for one in phrases]
    fine = [cv2.resize(one, _finest(maps), interpolation=cv2.INTER_LINEAR) for one in maps]
    return np.asarray(np.max(fine, axis=0), np.float32)


def _finest(maps: Iterable[Floats]) -> Size:
    """Size of the largest map; that of words' scores if there is none."""
    sizes = [(one.shape[1], one.shape[0]) for one in maps]
    return max(sizes, key=math.prod, default=(HEAT_GRID, HEAT_GRID))


def _judged_together(phrases: Phrases) -> list[Phrases]:
    """Group phrases by threshold: each phrase with its own alone, all others together."""
    alone = [(one,) for one in phrases if one.threshold is not None]
    together = tuple(one for one in phrases if one.threshold is None)
    return [*alone, together] if together else list(alone)


def _combined(
    recipe: Recipe, scores: Callable[[Phrases], Scores], drawn: Scores | None, view: View
) -> Scores:
    """Combine the recipe's words and a mask image on a grid."""

    def judged(phrases: Phrases) -> list[Scores]:
        return [binarize(scores(one), one[0].threshold) for one in _judged_together(phrases)]

    positive, negative = judged(recipe.phrases), judged(recipe.negative_phrases)
    if drawn is not None:
        on_grid = resample(drawn.astype(np.float32), view)
        positive.append(np.rint(on_grid).astype(np.uint8))
    nothing: Scores = np.zeros(view.size[::-1], dtype=np.uint8)
    return combine(positive or [nothing], negative)


def _coarse(
    recipe: Recipe, heats: Mapping[str, Heatmap], drawn: Scores | None, photo: Size
) -> Scores:
    """A recipe's words and a mask image over a whole photo, at the finest heatmap's resolution."""
    size = _finest(heat.logits for heat in heats.values())
    view = View(whole=photo, box=Box.whole(photo), size=size)
    return _combined(
        recipe, lambda union: to_scores(resample(_union(heats, union), view)), drawn, view
    )


def _drawn(mask_image: Photo, photo: Size) -> Scores:
    """A mask image as scores that cover the photo, at twice the grid's resolution at most."""
    width, height = mask_image.size
    if abs(width * photo[1] / (height * photo[0]) - 1) > SHAPE_TOLERANCE:
        raise InvalidPhoto(
            f"The mask image is {width}×{height} and the photo {photo[0]}×{photo[1]}: "
            "give a mask of the photo's shape."
        )
    gray = cv2.cvtColor(mask_image.pixels, cv2.COLOR_RGB2GRAY)
    size = fit_within(mask_image.size, 2 * GRID)
    return np.asarray(cv2.resize(gray, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def _largest_blob(logits: Floats, photo: Photo) -> Box:
    """Box of the largest connected part above `PERSON_SCORE`; the whole photo if there is none."""
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
