"""One painting job: load, select, draw control maps, paint, finish, compose."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from inference.catalog.catalog import PACK, POSE
from inference.catalog.hub import fetch
from inference.catalog.schema import Style
from inference.control.control_maps import CONTROLS, MASKED_CONTROLS, Scene
from inference.control.openpose_skeleton import Keypoints
from inference.errors import InvalidPhoto
from inference.finishing.face_regions import portrait_of
from inference.finishing.face_restorer import HOW_TO_INSTALL, FaceRestorer
from inference.finishing.finisher import Finished, Finisher, upscale_source
from inference.finishing.outpainter import WiderCanvas
from inference.mask.heatmap import Heatmap
from inference.mask.inpaint_crop import InpaintCrop
from inference.mask.selection import PHOTOGRAPH, Selection
from inference.mask.selector import Selector
from inference.painting.inpainting import ControlInput, InpaintInput, Paint, Painting, report_steps
from inference.picture.compositing import kept_pixels_changed, resize
from inference.picture.geometry import Box, View, generation_size
from inference.picture.photo import Photo, Pixels
from inference.picture.progress import Progress, Stage
from inference.picture.result import Result
from inference.recipe.control_list import Control
from inference.recipe.recipe import Recipe
from inference.runtime.cache import Cache
from inference.studio.low_memory import paint_in_pieces
from inference.studio.model_loading import ModelLoader
from inference.studio.painting_cache import PaintingCache
from inference.studio.styled_recipe import controls_of, painters

if TYPE_CHECKING:
    from inference.painting.painter import Painter
    from inference.studio.loaded_models import LoadedModels

DRAWS = "The built-in style draws: for a photographic scene choose a full-size style such as Photo."


@dataclass(kw_only=True)
class Job:
    """One job: a photo, a recipe with a concrete seed, and the models and caches to paint them.

    Attributes:
        models: the models in memory.
        selector: segments the photo by the recipe's words.
        maps, paintings: caches of control maps and painted outputs, shared between jobs.
        style: the style, with the LoRAs of the prompt added.
        trigger_words: trigger words of the style's LoRAs, prepended to the prompt.
        photo: the upload.
        recipe: all settings, with a concrete seed and style.
        mask_image: its white is added to the selection, like words that were found.
        thrifty: use less memory and more time.
    """

    models: LoadedModels
    selector: Selector
    maps: Cache[Pixels]
    paintings: PaintingCache
    style: Style
    trigger_words: str
    photo: Photo
    recipe: Recipe
    mask_image: Photo | None = None
    thrifty: bool = False
    _seconds: dict[str, float] = field(default_factory=dict)

    def run(self) -> Generator[Progress | Result]:
        """Run all stages; yields and raises as `Studio.paint`."""
        loader = ModelLoader(self.models, self.style, self.recipe)
        with self._timed(Stage.LOADING):
            yield from loader.load_segmenter()
            if self.selector.finder.is_photograph(self.photo, self.style.family):
                yield from loader.load_photo_reader()
            if self.recipe.has_clicks:
                yield from loader.load_point_segmenter()
        yield Progress(stage=Stage.MASK)
        with self._timed(Stage.MASK):
            selection = self._select()
        with self._timed(Stage.LOADING):  # after the mask, which may be refused
            painter = yield from loader.load_painter()
        with self._timed(Stage.MASK):
            finisher = self._finisher(painter, selection, loader.controls)
        if self.recipe.only_outpaints:
            yield from self._outpaint(finisher, selection)
            return
        with self._timed(Stage.MASK):
            crop = self._crop(selection)
        painter_recipe = finisher.recipe
        control_map = None
        if self.recipe.only_upscale:
            patches = (upscale_source(crop, self.style.native_size),) * self.recipe.num_images
        else:
            patch, control_map = yield from self._guided(
                painter, selection, crop.box, loader.controls
            )
            with self._timed(Stage.PAINTING):
                painting = self._once(partial(self._painting, painter), patch, painter_recipe)
                patches = (yield from report_steps(painting, Stage.PAINTING)).pictures
        with self._timed(Stage.FINISHING):
            finished = yield from finisher.run(patches, crop)
        unread = painter.unread(painter_recipe.prompt, use_lpw=painter_recipe.use_lpw)
        hint = self._hint(selection)
        yield replace(self._result(finished, control_map), unread=unread, hint=hint)

    def _guided(
        self, painter: Painter, selection: Selection, box: Box, controls: tuple[Control, ...]
    ) -> Generator[Progress, None, tuple[InpaintInput, Pixels | None]]:
        """The painter's input with its control maps, and the one that is shown."""
        yield Progress(stage=Stage.CONTROL)
        with self._timed(Stage.CONTROL):
            patch = self._patch(selection, box, controls)
            if not painter.inpaints:  # measured: to a 4-channel UNet a soft edge brings nothing
                patch = replace(patch, strength=None)
        control_map = patch.guides[0].map if self.recipe.controls else None
        yield Progress(stage=Stage.CONTROL, control_map=control_map)
        return patch, control_map

    def _outpaint(self, finisher: Finisher, selection: Selection) -> Generator[Progress | Result]:
        """Paint around the photo, of which all is kept."""
        with self._timed(Stage.FINISHING):
            finished = yield from finisher.outpaint(selection.picture())
        yield replace(self._result(finished, None), hint=self._hint(selection))

    def _finisher(
        self, painter: Painter, selection: Selection, controls: tuple[Control, ...]
    ) -> Finisher:
        models, family, recipe = self.models, self.style.family, self.recipe
        swaps = recipe.face_swap and not recipe.only_outpaints
        poses = tuple(control for control in controls if control.name == POSE)
        return Finisher(
            recipe=painters(recipe, models.catalog, self.style, self.trigger_words),
            native=self.style.native_size,
            paint=partial(self._once, painter.paint),
            enlarger=partial(models.enlarger, family, fetch),
            find=self._find,
            keypoints=lambda picture, box: models.pose(family, fetch).find(picture, box),
            restorer=partial(models.restorer, family, fetch),
            posed=partial(self._with_maps, selection, poses),
            likeness=self._likeness() if swaps else None,
        )

    def _once(self, paint: Paint, patch: InpaintInput, recipe: Recipe) -> Painting:
        """Paint, or take the cached output of the same input, style and memory mode."""
        return self.paintings.paint_once(paint, patch, recipe, self.style, self.thrifty)

    def _painting(self, painter: Painter, patch: InpaintInput, recipe: Recipe) -> Painting:
        painter.tile(self.thrifty)
        if self.thrifty:
            return paint_in_pieces(painter, patch, recipe, self.style.native_size)
        return painter.paint(patch, recipe)

    def control_maps(self) -> dict[str, Pixels]:
        """The map of each of the recipe's controls, by name, without painting."""
        controls = controls_of(self.recipe, self.models.catalog, self.style)
        selection = self._select()
        patch = self._patch(selection, self._crop(selection).box, controls)
        return {guide.control: guide.map for guide in patch.guides}

    def _find(self, photo: Photo, word: str) -> Heatmap:
        return self.selector.finder.heatmaps(photo, (word,), self.style.family)[0]

    def _likeness(self) -> Pixels:
        """A crop of the photo's largest face, or of that of the person whom the words name."""
        named = self.selector.named_person(self.photo, self.recipe, self.style.family)
        word = "face" if named is None else f"face {named + 1}"
        face = portrait_of(self._find(self.photo, word), self.photo.pixels)
        if face is None:
            raise InvalidPhoto("The photo shows no face to take a likeness from: turn it off.")
        return face

    def _crop(self, selection: Selection) -> InpaintCrop:
        """The part of the canvas that is painted."""
        return InpaintCrop.around_mask(selection, self.recipe, self.style.native_size)

    def _select(self) -> Selection:
        selection = self.selector.select(
            self.photo, self.recipe, self.style.family, self.style.native_size, self.mask_image
        )
        if self.recipe.outpaint is not None:
            WiderCanvas.plan(self.recipe, selection.canvas.size)  # refuses it before the painting
        if not (self.recipe.only_outpaints or self.recipe.enlarges_all):
            selection.check(self.recipe)
        return selection

    def _patch(self, selection: Selection, box: Box, controls: tuple[Control, ...]) -> InpaintInput:
        """The painter's input: the canvas in `box` at generation size, with its control maps."""
        size = generation_size(box.size, self.style.native_size)
        view = View(whole=selection.canvas.size, box=box, size=size)
        picture = resize(selection.picture()[box.slices], size)
        everything = self.recipe.controlnet_txt2img  # the painter gets nothing of the photo
        alpha = selection.alpha(self.recipe, view)
        repaint = (alpha > 0) | everything
        strength = None if everything else selection.edge_strength(self.recipe, alpha)
        patch = InpaintInput(picture=picture, repaint=repaint, strength=strength)
        return self._with_maps(selection, controls, view, patch)

    def _with_maps(
        self, selection: Selection, controls: tuple[Control, ...], view: View, patch: InpaintInput
    ) -> InpaintInput:
        """The painter's input with the maps of controls; `view` is what it shows of the canvas."""
        family = self.style.family
        scene = Scene(
            picture=patch.picture,
            keypoints=partial(self._keypoints, selection, view),
            nearness=lambda: self.models.depth(family, fetch).find(patch.picture),
            classes=lambda: self.models.rooms(family, fetch).find(patch.picture),
            repaint=patch.repaint,
        )
        named = self.selector.named_person(self.photo, self.recipe, family)
        shown = repr((self.photo.digest, family, selection.canvas, view, named))
        maps = tuple(self._guide(control, scene, shown) for control in controls)
        return replace(patch, guides=maps)

    def _guide(self, control: Control, scene: Scene, shown: str) -> ControlInput:
        """A control's map of a scene; `shown` identifies that in the cache of maps."""
        draw = partial(CONTROLS[control.name], scene)
        masked = control.name in MASKED_CONTROLS  # its map changes with the mask
        return ControlInput(
            control=control.name,
            map=draw() if masked else self.maps.get(f"{shown} {control.name}", draw),
            scale=control.weight,
            start=control.window[0],
            end=control.window[1],
            hidden=scene.repaint if masked else None,
        )

    def _keypoints(self, selection: Selection, view: View) -> Keypoints:
        """The person's key points in pixels of a view of the canvas, or beyond it."""
        family = self.style.family
        estimator, canvas = self.models.pose(family, fetch), selection.canvas
        points = self.selector.keypoints(self.photo, family, estimator, self.recipe).copy()
        starts = zip((canvas.box.left, canvas.box.top), (view.box.left, view.box.top), strict=True)
        for axis, (start, offset) in enumerate(starts):
            on_canvas = (points[:, axis] - start) * view.whole[axis] / canvas.box.size[axis]
            points[:, axis] = (on_canvas - offset) * view.size[axis] / view.box.size[axis]
        return points

    def _result(self, finished: Finished, control_map: Pixels | None) -> Result:
        original, alpha = finished.original, finished.alpha
        changed = [kept_pixels_changed(original, image, alpha) for image in finished.images]
        return Result(
            images=finished.images,
            original=original,
            mask=alpha,
            control_map=control_map,
            box=finished.box,
            recipe=self.recipe,
            seconds=dict(self._seconds),
            kept_pixels=int(np.count_nonzero(alpha == 0)),
            kept_pixels_changed=max(changed),
            edge_pixels=int(np.count_nonzero((alpha > 0) & (alpha < 255))),
        )

    def _hint(self, selection: Selection) -> str:
        """Sentences for the user about how to improve the result, "" for none."""
        restores = self.models.catalog.family(self.style.family).restorer is not None
        faint = self.recipe.face_correct and restores and not FaceRestorer.is_installed()
        reader = selection.detection.reader
        drawn = self.style.family == PACK and reader == PHOTOGRAPH
        unread = "" if reader else self.models.photo_note
        by_colours = self.models.click_note if self.recipe.has_clicks else ""
        sentences = (
            (HOW_TO_INSTALL, faint),
            (DRAWS, drawn),
            (unread, bool(unread)),
            (by_colours, bool(by_colours)),
        )
        return " ".join(sentence for sentence, applies in sentences if applies)

    @contextmanager
    def _timed(self, stage: Stage) -> Iterator[None]:
        started = time.perf_counter()
        try:
            yield
        finally:
            name, seconds = stage.name.lower(), time.perf_counter() - started
            self._seconds[name] = self._seconds.get(name, 0.0) + seconds
