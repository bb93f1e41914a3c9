"""What becomes of a painting: enlarge → refine → faces → film grain → colour grading.

Each stage is a step of its own, and after each of them what the mask keeps is the upload's again,
unless the recipe says otherwise (`protect`).
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from inference import grading, grain
from inference.catalog import FACE
from inference.compose import Alpha, paste, resize
from inference.faces import find_faces
from inference.geometry import Box
from inference.masking import Heatmap
from inference.paintings import Paint
from inference.patch import Guide, Patch
from inference.photo import Photo, Pixels
from inference.placement import Placement
from inference.recipe import Recipe
from inference.restorer import Restorer
from inference.results import Progress, Stage
from inference.skeleton import Keypoints
from inference.steps import watched

if TYPE_CHECKING:
    from inference.enlarger import Enlarger

# How much larger a painting is refined at where no enlarger made it larger.
REFINED = 2
# Denoising strength at which a face is corrected, so that it stays who it is, and at which it is
# given another's likeness.
CORRECTION, LIKENESS = 0.25, 0.6
# How much wider than a face, in the face's sides on each side, is what shows whose face it is.
BUST = 0.5
# The least grain that is asked for by asking for grain.
LEAST_GRAIN = 3.0

Work = Generator[Progress, None, Pixels]
Pictures = tuple[Pixels, ...]


@dataclass(frozen=True, kw_only=True)
class Finished:
    """Whole pictures, where the painting lies in them, and the upload at their size."""

    images: Pictures
    place: Placement
    original: Pixels
    alpha: Alpha


@dataclass(frozen=True, kw_only=True)
class Finisher:
    """The stages after the painting.

    Attributes:
        recipe: as the painter takes it, with a concrete seed.
        native: side of the square whose area the painter was trained at.
        paint: paints once more where a stage asks for it.
        enlarger: loads the enlarger when it is needed.
        find: looks words up in a picture.
        keypoints: finds the COCO key points of the person in a box of a picture.
        restorer: loads the model for faces when it is needed; None where there is none.
        likeness: the photo's face, for `face_swap`.
    """

    recipe: Recipe
    native: int
    paint: Paint
    enlarger: Callable[[], Enlarger]
    find: Callable[[Photo, str], Heatmap]
    keypoints: Callable[[Pixels, Box], Keypoints]
    restorer: Callable[[], Restorer | None]
    likeness: Pixels | None = None

    def run(self, patches: Pictures, place: Placement) -> Generator[Progress, None, Finished]:
        """Finish painted patches.

        Args:
            patches: (h, w, 3) uint8 each, as the painter made them.
            place: where they belong.

        Raises:
            MissingModel: the style's models have no enlarger.
        """
        recipe = self.recipe
        grows = recipe.super_resolution or recipe.hires_fix
        if grows:
            patches = tuple(place.put_back(patch) for patch in patches)
        if recipe.super_resolution:
            patches = yield from self._each(patches, lambda _k, one: self._enlarge(one, place))
        if recipe.hires_fix:
            patches = yield from self._each(patches, lambda k, one: self._refine(k, one, place))
        yield Progress(stage=Stage.FINISHING)
        place = place.grown(patches[0].shape[1::-1]) if grows else place
        original, alpha = place.original(), place.alpha
        wide = alpha if recipe.protect or not grows else _whole_patch(place)
        images = tuple(paste(original, patch, wide, place.box) for patch in patches)
        reach = alpha if recipe.protect else np.full_like(alpha, 255)
        restorer = self.restorer() if recipe.face_correct else None
        for wanted, stage, strength in (
            (recipe.inpaint_faces, Stage.FACES, recipe.hires_denoising_strength),
            (recipe.face_correct, Stage.CORRECTING, CORRECTION),
            (recipe.face_swap, Stage.LIKENESS, LIKENESS),
        ):
            if wanted and stage is Stage.CORRECTING and restorer is not None:
                images = yield from self._each(images, partial(self._restored, restorer, reach))
            elif wanted:
                work = partial(self._faces, reach=reach, stage=stage, strength=strength)
                images = yield from self._each(images, work)
        if recipe.film_grain:
            yield Progress(stage=Stage.GRAIN)
            lays = self._grain(original)
            grainy = (grain.add(one, lays, self._seed(k)) for k, one in enumerate(images))
            images = tuple(map(_laid(reach), images, grainy))
        if recipe.color_grading is not None:
            yield Progress(stage=Stage.GRADING, detail=recipe.color_grading)
            graded = (grading.grade(one, recipe.color_grading) for one in images)
            images = tuple(map(_laid(reach), images, graded))
        return Finished(images=images, place=place, original=original, alpha=alpha)

    def _each(
        self, pictures: Pictures, stage: Callable[[int, Pixels], Work]
    ) -> Generator[Progress, None, Pictures]:
        """A stage over all pictures, saying which one it is at."""
        done = []
        for k, picture in enumerate(pictures):
            work = stage(k, picture)
            which = f"picture {k + 1} of {len(pictures)}" if len(pictures) > 1 else ""
            try:
                while True:
                    progress = next(work)
                    detail = ", ".join(filter(None, (which, progress.detail)))
                    yield replace(progress, detail=detail)
            except StopIteration as finished:
                done.append(finished.value)
            finally:
                work.close()
        return tuple(done)

    def _seed(self, k: int) -> int:
        assert self.recipe.seed is not None, "the studio makes the seed concrete"
        return self.recipe.seed + k

    def _guarded(self, patch: Pixels, place: Placement) -> Pixels:
        return place.put_back(patch) if self.recipe.protect else patch

    def _enlarge(self, patch: Pixels, place: Placement) -> Work:
        """`super_resolution`: as many times larger as the enlarger makes it."""
        yield Progress(stage=Stage.ENLARGING)
        tiles = self.enlarger().tiles(patch)
        while True:
            try:
                done, total = next(tiles)
            except StopIteration as finished:
                return self._guarded(finished.value, place)
            yield Progress(stage=Stage.ENLARGING, step=done, steps=total)

    def _refine(self, k: int, patch: Pixels, place: Placement) -> Work:
        """`hires_fix`: image to image over the enlarged patch, window by window."""
        if not self.recipe.super_resolution:
            patch = resize(patch, (REFINED * patch.shape[1], REFINED * patch.shape[0]))
        size = patch.shape[1], patch.shape[0]
        everywhere = np.ones(size[::-1], dtype=np.bool_)
        repaint = place.repaint(size) if self.recipe.protect else everywhere
        again = Patch(picture=patch, repaint=repaint, window=self.native)
        strength = self.recipe.hires_denoising_strength
        painted = yield from self._paint_again(k, again, Stage.REFINING, strength)
        return self._guarded(painted, place)

    def _paint_again(self, k: int, patch: Patch, stage: Stage, strength: float) -> Work:
        changes = {"num_images": 1, "seed": self._seed(k), "denoising_strength": strength}
        recipe = self.recipe.model_copy(update=changes)
        painted = yield from watched(self.paint(patch, recipe), stage)
        return painted.pictures[0]

    def _faces(self, k: int, image: Pixels, reach: Alpha, stage: Stage, strength: float) -> Work:
        """`inpaint_faces` and its kin: each face that may be changed, closer up."""
        yield Progress(stage=stage)
        shown = self.likeness if stage is Stage.LIKENESS else None
        guides = () if shown is None else (Guide(control=FACE, map=shown),)
        heat = self.find(Photo.of(image), "face")
        for face in find_faces(heat, reach, self.native):
            inside = face.box.slices
            patch = Patch(
                picture=resize(image[inside], face.size),
                repaint=(face.at(face.size) > 0) & (resize(reach[inside], face.size) > 0),
                guides=guides,
            )
            painted = yield from self._paint_again(k, patch, stage, strength)
            alpha = np.zeros_like(reach)
            alpha[inside] = np.minimum(face.at(face.box.size), reach[inside])
            image = paste(image, painted, alpha, face.box)
        return image

    def _restored(self, restorer: Restorer, reach: Alpha, _k: int, image: Pixels) -> Work:
        """`face_correct` where there is a model for it; faces that are turned away stay."""
        yield Progress(stage=Stage.CORRECTING)
        for face in find_faces(self.find(Photo.of(image), "face"), reach, self.native):
            points = self.keypoints(image, face.box.grown(BUST, image.shape[1::-1]))
            restored = restorer.restore(image, points, face.box)
            if restored is None:
                continue
            inside = face.box.slices
            alpha = np.zeros_like(reach)
            shown = np.minimum(face.at(face.box.size), restored.alpha)
            alpha[inside] = np.minimum(shown, reach[inside])
            image = paste(image, restored.pixels, alpha, face.box)
        return image

    def _grain(self, original: Pixels) -> grain.Grain:
        """As the recipe says, or as the photo has it."""
        own = grain.measure(original)
        amount, size = self.recipe.film_grain_amount, self.recipe.film_grain_size
        return grain.Grain(
            amount=max(own.amount, LEAST_GRAIN) if amount is None else amount,
            size=own.size if size is None else size,
        )


def _laid(reach: Alpha) -> Callable[[Pixels, Pixels], Pixels]:
    """Lays what a stage made over what it was made of, only as far as the mask reaches."""
    whole = Box.whole((reach.shape[1], reach.shape[0]))
    return lambda before, after: paste(before, after, reach, whole)


def _whole_patch(place: Placement) -> Alpha:
    """All of a patch, fading towards those of its sides that lie within the picture."""
    width, height = place.size
    box = place.box
    fade = max(1, min(box.size) // 16)

    def side(first: int, last: int, length: int) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
        at = np.arange(length, dtype=np.float32) + 0.5
        rising = (at - first) / fade if first > 0 else np.ones_like(at)
        falling = (last - at) / fade if last < length else np.ones_like(at)
        return np.clip(np.minimum(rising, falling), 0, 1)

    share = np.outer(side(box.top, box.bottom, height), side(box.left, box.right, width))
    return np.rint(255 * share).astype(np.uint8)
