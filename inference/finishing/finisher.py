"""The stages after the painting: enlarge → refine → faces → light → film grain → colour grading.

After each stage, the pixels that the mask keeps are restored from the upload, unless the recipe's
`protect` is off.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from inference.catalog.catalog import FACE
from inference.control.openpose_skeleton import Keypoints
from inference.finishing import color_grading, film_grain
from inference.finishing.area import Area, whole_patch
from inference.finishing.color_match import shift_towards
from inference.finishing.face_regions import find_faces
from inference.finishing.face_restorer import FaceRestorer
from inference.finishing.light_wrap import wrap
from inference.mask.heatmap import Heatmap
from inference.mask.inpaint_crop import InpaintCrop
from inference.painting.inpainting import ControlInput, InpaintInput, Paint, report_steps
from inference.picture.compositing import Alpha, paste, resize
from inference.picture.geometry import Box
from inference.picture.photo import Photo, Pixels
from inference.picture.progress import Progress, Stage
from inference.recipe.length import pixels_of
from inference.recipe.recipe import Recipe

if TYPE_CHECKING:
    from inference.finishing.enlarger import Enlarger

# Scale at which a painting is refined if it was not enlarged.
REFINE_SCALE = 2
# Denoising strengths: of `face_correct` without a restoration model, and of `face_swap`.
CORRECTION, LIKENESS = 0.25, 0.6
# Context around a face, in its sides on each side, in which its key points are found.
BUST = 0.5
# Least amount of grain if the recipe takes the amount from the photo.
LEAST_GRAIN = 3.0

Pictures: TypeAlias = tuple[Pixels, ...]
#: A stage on one picture, and on all pictures: yields progress, returns the changed pictures.
Work: TypeAlias = Generator[Progress, None, Pixels]
Stages: TypeAlias = Generator[Progress, None, Pictures]
PictureStage: TypeAlias = "Callable[[Finisher, Pictures, Area], Stages]"


@dataclass(frozen=True, kw_only=True)
class Finished:
    """Whole pictures with their crop, and the upload and its mask at their size."""

    images: Pictures
    crop: InpaintCrop
    original: Pixels
    alpha: Alpha


@dataclass(frozen=True, kw_only=True)
class Finisher:
    """Runs the finishing stages that a recipe selects.

    Attributes:
        recipe: the painter's recipe, with a concrete seed.
        native: side of the square whose area the painter was trained at.
        paint: paints an input for the stages that repaint.
        enlarger: returns the enlarger, loaded on the first call.
        find: returns the heatmap of a word in a picture.
        keypoints: returns the COCO key points of the person in a box of a picture.
        restorer: returns the face restorer, or None.
        likeness: crop of the photo's face, for `face_swap`.
    """

    recipe: Recipe
    native: int
    paint: Paint
    enlarger: Callable[[], Enlarger]
    find: Callable[[Photo, str], Heatmap]
    keypoints: Callable[[Pixels, Box], Keypoints]
    restorer: Callable[[], FaceRestorer | None]
    likeness: Pixels | None = None

    def run(self, patches: Pictures, crop: InpaintCrop) -> Generator[Progress, None, Finished]:
        """Finish painted crops.

        Args:
            patches: (h, w, 3) uint8 each, as painted.
            crop: the place of the crops in the picture.

        Raises:
            MissingModel: the style's models have no enlarger.
        """
        recipe = self.recipe
        grows = recipe.super_resolution or recipe.hires_fix
        if grows:
            patches = tuple(crop.put_back(patch) for patch in patches)
        if recipe.super_resolution:
            patches = yield from self._each(patches, lambda _k, one: self._enlarge(one, crop))
        if recipe.hires_fix:
            patches = yield from self._each(patches, lambda k, one: self._refine(k, one, crop))
        yield Progress(stage=Stage.FINISHING)
        crop = crop.grown(patches[0].shape[1::-1]) if grows else crop
        original, alpha = crop.original(), crop.alpha
        if recipe.protect or not grows:
            images = tuple(map(crop.put_in, patches))
        else:
            wide = whole_patch(crop)
            images = tuple(paste(original, patch, wide, crop.box) for patch in patches)
        area = Area(
            original=original,
            alpha=alpha,
            reach=alpha if recipe.protect else np.full_like(alpha, 255),
            is_matted=crop.selection.is_matted(recipe),
        )
        for is_wanted, stage in PICTURE_STAGES:
            if is_wanted(recipe):
                images = yield from stage(self, images, area)
        return Finished(images=images, crop=crop, original=original, alpha=alpha)

    def _each(self, pictures: Pictures, stage: Callable[[int, Pixels], Work]) -> Stages:
        """Run a stage on each picture; its progress gives the picture's number."""
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

    def _guarded(self, patch: Pixels, crop: InpaintCrop) -> Pixels:
        return crop.put_back(patch) if self.recipe.protect else patch

    def _enlarge(self, patch: Pixels, crop: InpaintCrop) -> Work:
        """`super_resolution`: enlarge by the enlarger's scale."""
        yield Progress(stage=Stage.ENLARGING)
        tiles = self.enlarger().tiles(patch)
        while True:
            try:
                done, total = next(tiles)
            except StopIteration as finished:
                return self._guarded(finished.value, crop)
            yield Progress(stage=Stage.ENLARGING, step=done, steps=total)

    def _refine(self, k: int, patch: Pixels, crop: InpaintCrop) -> Work:
        """`hires_fix`: image-to-image over the enlarged crop, through windows."""
        if not self.recipe.super_resolution:
            patch = resize(patch, (REFINE_SCALE * patch.shape[1], REFINE_SCALE * patch.shape[0]))
        size = patch.shape[1], patch.shape[0]
        everywhere = np.ones(size[::-1], dtype=np.bool_)
        repaint = crop.repaint(size) if self.recipe.protect else everywhere
        again = InpaintInput(picture=patch, repaint=repaint, window=self.native)
        strength = self.recipe.hires_denoising_strength
        painted = yield from self._paint_again(k, again, Stage.REFINING, strength)
        return self._guarded(painted, crop)

    def _paint_again(self, k: int, patch: InpaintInput, stage: Stage, strength: float) -> Work:
        changes = {"num_images": 1, "seed": self._seed(k), "denoising_strength": strength}
        recipe = self.recipe.model_copy(update=changes)
        painted = yield from report_steps(self.paint(patch, recipe), stage)
        return painted.pictures[0]

    # --- stages on whole pictures -------------------------------------------------------------

    def _repaint_faces(self, images: Pictures, area: Area) -> Stages:
        """`inpaint_faces`: paint each face again at generation size."""
        strength = self.recipe.hires_denoising_strength
        work = partial(self._faces, area.reach, Stage.FACES, strength)
        return (yield from self._each(images, work))

    def _correct_faces(self, images: Pictures, area: Area) -> Stages:
        """`face_correct`: restore each face or, without a restorer, repaint it at low strength."""
        restorer = self.restorer()
        work = partial(self._faces, area.reach, Stage.CORRECTING, CORRECTION)
        if restorer is not None:
            work = partial(self._restored, restorer, area.reach)
        return (yield from self._each(images, work))

    def _swap_faces(self, images: Pictures, area: Area) -> Stages:
        """`face_swap`: repaint each face with the likeness of the photo's."""
        work = partial(self._faces, area.reach, Stage.LIKENESS, LIKENESS)
        return (yield from self._each(images, work))

    def _match_colors(self, images: Pictures, area: Area) -> Stages:
        """`color_match`: the painted part's light nearer to the photo's."""
        yield Progress(stage=Stage.MATCHING)
        strength = self.recipe.color_match

        def matched(image: Pixels) -> Pixels:
            shift = shift_towards(area.original, image, area.alpha, strength)
            return image if shift is None else area.paste(image, shift.apply(image))

        return tuple(map(matched, images))

    def _wrap_light(self, images: Pictures, area: Area) -> Stages:
        """`light_wrap`: light of the new scene over a matted edge."""
        yield from ()
        if not area.is_matted:
            return images
        return tuple(wrap(one, area.alpha, self.recipe.light_wrap) for one in images)

    def _add_grain(self, images: Pictures, area: Area) -> Stages:
        """`film_grain`: the recipe's grain; amount or size of None are those of the photo."""
        yield Progress(stage=Stage.GRAIN)
        own = film_grain.measure(area.original)
        amount, size = self.recipe.film_grain_amount, self.recipe.film_grain_size
        short_side = min(area.original.shape[:2])
        grain = film_grain.Grain(
            amount=max(own.amount, LEAST_GRAIN) if amount is None else amount,
            size=own.size if size is None else pixels_of(size, short_side),
        )
        grainy = (film_grain.add(one, grain, self._seed(k)) for k, one in enumerate(images))
        return tuple(map(area.paste, images, grainy))

    def _grade(self, images: Pictures, area: Area) -> Stages:
        """`color_grading`: one of the looks."""
        look = str(self.recipe.color_grading)
        yield Progress(stage=Stage.GRADING, detail=look)
        graded = (color_grading.grade(one, look) for one in images)
        return tuple(map(area.paste, images, graded))

    def _faces(self, reach: Alpha, stage: Stage, strength: float, k: int, image: Pixels) -> Work:
        """Repaint each face of a picture at generation size."""
        yield Progress(stage=stage)
        shown = self.likeness if stage is Stage.LIKENESS else None
        guides = () if shown is None else (ControlInput(control=FACE, map=shown),)
        heat = self.find(Photo.of(image), "face")
        for face in find_faces(heat, reach, self.native):
            inside = face.box.slices
            patch = InpaintInput(
                picture=resize(image[inside], face.size),
                repaint=(face.at(face.size) > 0) & (resize(reach[inside], face.size) > 0),
                guides=guides,
            )
            painted = yield from self._paint_again(k, patch, stage, strength)
            alpha = np.zeros_like(reach)
            alpha[inside] = np.minimum(face.at(face.box.size), reach[inside])
            image = paste(image, painted, alpha, face.box)
        return image

    def _restored(self, restorer: FaceRestorer, reach: Alpha, _k: int, image: Pixels) -> Work:
        """Restore each face of a picture, except faces that are turned away."""
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


# The stages on whole pictures in their order: whether a recipe selects it, and its method.
PICTURE_STAGES: tuple[tuple[Callable[[Recipe], bool], PictureStage], ...] = (
    (lambda recipe: recipe.inpaint_faces, Finisher._repaint_faces),
    (lambda recipe: recipe.face_correct, Finisher._correct_faces),
    (lambda recipe: recipe.face_swap, Finisher._swap_faces),
    (lambda recipe: recipe.color_match > 0, Finisher._match_colors),
    (lambda recipe: recipe.light_wrap > 0, Finisher._wrap_light),
    (lambda recipe: recipe.film_grain, Finisher._add_grain),
    (lambda recipe: recipe.color_grading is not None, Finisher._grade),
)
