"""The stages after the painting: enlarge → refine → faces → outpaint → light → grain → grading.

After each stage, the pixels that the mask keeps are restored from the upload, unless the recipe's
`protect` is off.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from inference.catalog.catalog import FACE, TILE
from inference.control.openpose_skeleton import Keypoints
from inference.finishing.area import Area, whole_patch
from inference.finishing.face_regions import find_faces
from inference.finishing.face_restorer import FaceRestorer
from inference.finishing.looks import run_looks
from inference.finishing.outpainter import DETAIL, STRENGTH, WiderCanvas
from inference.mask.heatmap import Heatmap
from inference.mask.inpaint_crop import InpaintCrop
from inference.painting.inpainting import ControlInput, InpaintInput, Paint, report_steps
from inference.picture.compositing import Alpha, paste, resize
from inference.picture.geometry import Box, View, round_to
from inference.picture.photo import Photo, Pixels
from inference.picture.progress import Progress, Stage
from inference.recipe.recipe import Recipe

if TYPE_CHECKING:
    from inference.finishing.enlarger import Enlarger

# Scale at which a painting is refined if it was not enlarged.
REFINE_SCALE = 2
# Side of a photo that is only enlarged, at most, in those of the square that the painter was
# trained at: an enlargement of twice that has about 25 windows.
SOURCE = 2
# Denoising strengths: of `face_correct` without a restoration model, and of `face_swap`.
CORRECTION, LIKENESS = 0.25, 0.75
# Context around a face, in its sides on each side, in which its key points are found.
BUST = 0.5

Pictures: TypeAlias = tuple[Pixels, ...]
#: A stage on one picture, and on all pictures: yields progress, returns the changed pictures.
Work: TypeAlias = Generator[Progress, None, Pixels]
Stages: TypeAlias = Generator[Progress, None, Pictures]
PictureStage: TypeAlias = "Callable[[Finisher, Pictures, Area], Stages]"


@dataclass(frozen=True, kw_only=True)
class Finished:
    """Whole pictures, the box of them that was painted, and the upload and mask at their size."""

    images: Pictures
    box: Box
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
        posed: adds the pose of the photo's person to an input that shows a view of the picture.
        likeness: crop of the photo's face, for `face_swap`.
    """

    recipe: Recipe
    native: int
    paint: Paint
    enlarger: Callable[[], Enlarger]
    find: Callable[[Photo, str], Heatmap]
    keypoints: Callable[[Pixels, Box], Keypoints]
    restorer: Callable[[], FaceRestorer | None]
    posed: Callable[[View, InpaintInput], InpaintInput]
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
        grows = recipe.super_resolution or recipe.refines
        if grows:
            patches = tuple(crop.put_back(patch) for patch in patches)
        if recipe.super_resolution:
            patches = yield from self._each(patches, lambda _k, one: self._enlarge(one, crop))
        if recipe.refines:
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
        scale = crop.size[0] / crop.selection.canvas.size[0]
        return (yield from self._finish(images, area, crop.box, scale))

    def outpaint(self, photo: Pixels) -> Generator[Progress, None, Finished]:
        """Paint around a photo of which all is kept, and run the stages after that."""
        nothing = np.zeros(photo.shape[:2], np.uint8)
        area = Area(original=photo, alpha=nothing, reach=nothing)
        images = (photo,) * self.recipe.num_images
        return (yield from self._finish(images, area, Box.whole(photo.shape[1::-1]), 1.0))

    def _finish(
        self, images: Pictures, area: Area, box: Box, scale: float
    ) -> Generator[Progress, None, Finished]:
        """Run the stages on whole pictures; `scale` is that by which they were enlarged."""
        recipe = self.recipe
        for is_wanted, stage in FACE_STAGES:
            if is_wanted(recipe):
                images = yield from stage(self, images, area)
        if recipe.outpaint is not None:
            canvas = WiderCanvas.plan(recipe, images[0].shape[1::-1], scale)
            images = yield from self._each(images, partial(self._widen, canvas))
            area, box = area.widened(canvas), Box.whole(canvas.size)
        images = yield from run_looks(images, area, recipe)
        return Finished(images=images, box=box, original=area.original, alpha=area.alpha)

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
        return self._guarded((yield from self._enlarged(patch)), crop)

    def _enlarged(self, patch: Pixels) -> Work:
        yield Progress(stage=Stage.ENLARGING)
        tiles = self.enlarger().tiles(patch)
        while True:
            try:
                done, total = next(tiles)
            except StopIteration as finished:
                enlarged: Pixels = finished.value
                return enlarged
            yield Progress(stage=Stage.ENLARGING, step=done, steps=total)

    def _refine(self, k: int, patch: Pixels, crop: InpaintCrop) -> Work:
        """`hires_fix`, `tiled_upscale`: image-to-image over the enlarged crop, through windows."""
        if not self.recipe.super_resolution:
            patch = resize(patch, (REFINE_SCALE * patch.shape[1], REFINE_SCALE * patch.shape[0]))
        size = patch.shape[1], patch.shape[0]
        everywhere = np.ones(size[::-1], dtype=np.bool_)
        repaint = crop.repaint(size) if self.recipe.protect else everywhere
        tile = ControlInput(control=TILE, map=patch, scale=self.recipe.resemblance)
        guides = (tile,) if self.recipe.uses_tile else ()
        again = InpaintInput(picture=patch, repaint=repaint, window=self.native, guides=guides)
        scale = self.recipe.hires_cfg_scale
        recipe = self.recipe.model_copy(update={} if scale is None else {"cfg_scale": scale})
        steps = self._paint_again(k, again, Stage.REFINING, recipe.refine_strength, recipe)
        return self._guarded((yield from steps), crop)

    def _paint_again(
        self, k: int, patch: InpaintInput, stage: Stage, strength: float,
        recipe: Recipe | None = None,
    ) -> Work:  # fmt: skip
        changes = {"num_images": 1, "seed": self._seed(k), "denoising_strength": strength}
        again = (recipe or self.recipe).model_copy(update=changes)
        painted = yield from report_steps(self.paint(patch, again), stage)
        return painted.pictures[0]

    def _widen(self, canvas: WiderCanvas, k: int, picture: Pixels) -> Work:
        """`outpaint`: paint the rest of a larger canvas."""
        patch = canvas.to_compose(picture, self.native)
        patch = self.posed(canvas.view(patch), patch)
        prompt = self.recipe.outpaint_prompt or self.recipe.prompt
        again = self.recipe.model_copy(update={"prompt": prompt})
        painted = yield from self._paint_again(k, patch, Stage.OUTPAINTING, STRENGTH, again)
        finer = canvas.to_refine(picture, patch, painted, self.native)
        if finer is not None:
            patch = finer
            painted = yield from self._paint_again(k, patch, Stage.REFINING, DETAIL, again)
        if self.recipe.super_resolution:
            painted = yield from self._enlarged(painted)
        return canvas.finish(picture, patch, painted)

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


def upscale_source(crop: InpaintCrop, native: int) -> Pixels:
    """The photo's part that `only_upscale` enlarges, (h, w, 3) with sides that are multiples of 8.

    Args:
        crop: the part, with the photo's own pixels.
        native: side of the square whose area the painter was trained at.
    """
    width, height = crop.box.size
    scale = min(1.0, SOURCE * native / math.sqrt(width * height))
    return resize(
        crop.original()[crop.box.slices], (round_to(width * scale), round_to(height * scale))
    )


# The stages on faces in their order: whether a recipe selects it, and its method.
FACE_STAGES: tuple[tuple[Callable[[Recipe], bool], PictureStage], ...] = (
    (lambda recipe: recipe.inpaint_faces, Finisher._repaint_faces),
    (lambda recipe: recipe.face_correct, Finisher._correct_faces),
    (lambda recipe: recipe.face_swap, Finisher._swap_faces),
)
