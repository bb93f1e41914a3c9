"""One painting from start to end: load, select, draw the control map, paint, compose."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from inference.cache import Cache
from inference.catalog import Style
from inference.compose import kept_pixels_changed, resize
from inference.controls import CONTROLS, Scene
from inference.errors import InvalidPhoto
from inference.faces import portrait_of
from inference.finishing import Finished, Finisher
from inference.geometry import Box, Size, View, generation_size
from inference.hub import fetch
from inference.loading import controls_of, load
from inference.masking import Heatmap
from inference.paintings import Paint, Painting, Paintings
from inference.patch import Guide, Patch
from inference.photo import Photo, Pixels
from inference.placement import Placement
from inference.prompt_words import read
from inference.recipe import Recipe
from inference.restorer import HOW_TO_INSTALL, Restorer
from inference.results import Progress, Result, Stage
from inference.retry import in_pieces
from inference.selection import Selection
from inference.selector import Selector
from inference.skeleton import Keypoints
from inference.steps import watched

if TYPE_CHECKING:
    from inference.models import Models
    from inference.painter import Painter


@dataclass(kw_only=True)
class Job:
    """A photo, a recipe with a concrete seed, and what is needed to paint them.

    `maps` and `paintings` keep control maps and what was painted between jobs; `trigger_words` open
    the prompt; what is light in the mask image counts as found, as words do; a thrifty job takes
    less memory and more time.
    """

    models: Models
    selector: Selector
    maps: Cache[Pixels]
    paintings: Paintings
    style: Style
    trigger_words: str
    photo: Photo
    recipe: Recipe
    mask_image: Photo | None = None
    thrifty: bool = False
    _seconds: dict[str, float] = field(default_factory=dict)

    def run(self) -> Generator[Progress | Result]:
        """Do it; see `Studio.paint`."""
        with self._timed(Stage.LOADING):
            painter = yield from load(self.models, self.style, self.recipe)
        yield Progress(stage=Stage.MASK)
        with self._timed(Stage.MASK):
            selection = self._select()
            place = self._place(selection)
            likeness = self._likeness() if self.recipe.face_swap else None
        yield Progress(stage=Stage.CONTROL)
        with self._timed(Stage.CONTROL):
            patch = self._patch(selection, place.box)
        control_map = patch.guides[0].map if patch.guides else None
        yield Progress(stage=Stage.CONTROL, control_map=control_map)
        dressed = self._dressed()
        with self._timed(Stage.PAINTING):
            painting = self._once(partial(self._painting, painter), patch, dressed)
            painted = yield from watched(painting, Stage.PAINTING)
        finisher = self._finisher(painter, dressed, likeness)
        with self._timed(Stage.FINISHING):
            finished = yield from finisher.run(painted.pictures, place)
        unread = painter.unread(dressed.prompt, use_lpw=dressed.use_lpw)
        yield replace(self._result(finished, control_map), unread=unread)

    def _finisher(self, painter: Painter, dressed: Recipe, likeness: Pixels | None) -> Finisher:
        models, family = self.models, self.style.family
        return Finisher(
            recipe=dressed,
            native=self.style.native_size,
            paint=partial(self._once, painter.paint),
            enlarger=partial(models.enlarger, family, fetch),
            find=self._find,
            keypoints=lambda picture, box: models.pose(family, fetch).find(picture, box),
            restorer=partial(models.restorer, family, fetch),
            likeness=likeness,
        )

    def _once(self, paint: Paint, patch: Patch, recipe: Recipe) -> Painting:
        """Paint what was not painted before by the same style and in the same way."""
        return self.paintings.once(paint, patch, recipe, self.style, self.thrifty)

    def _painting(self, painter: Painter, patch: Patch, recipe: Recipe) -> Painting:
        painter.tile(self.thrifty)
        if self.thrifty:
            return in_pieces(painter, patch, recipe, self.style.native_size)
        return painter.paint(patch, recipe)

    def control_maps(self) -> dict[str, Pixels]:
        """What each of the recipe's controls would see, by name, without painting anything."""
        selection = self._select()
        patch = self._patch(selection, self._place(selection).box)
        return {guide.control: guide.map for guide in patch.guides}

    def _find(self, photo: Photo, word: str) -> Heatmap:
        return self.selector.heatmaps(photo, (word,), self.style.family)[0]

    def _likeness(self) -> Pixels:
        """The face of the photo."""
        face = portrait_of(self._find(self.photo, "face"), self.photo.pixels)
        if face is None:
            raise InvalidPhoto("The photo shows no face to take a likeness from: turn it off.")
        return face

    def _place(self, selection: Selection) -> Placement:
        """The part of the canvas to paint."""
        return Placement.around_mask(selection, self.recipe, self.style.native_size)

    def _select(self) -> Selection:
        selection = self.selector.select(
            self.photo, self.recipe, self.style.family, self.style.native_size, self.mask_image
        )
        selection.check(self.recipe)
        return selection

    def _patch(self, selection: Selection, box: Box) -> Patch:
        """The part of the canvas in `box`, at generation size, with its control maps."""
        size = generation_size(box.size, self.style.native_size)
        view = View(whole=selection.canvas.size, box=box, size=size)
        picture = resize(selection.picture()[box.slices], size)
        place = repr((self.photo.digest, self.style.family, selection.canvas, box, size))
        family = self.style.family
        scene = Scene(
            picture=picture,
            keypoints=partial(self._keypoints, selection, box, size),
            nearness=lambda: self.models.depth(family, fetch).find(picture),
            classes=lambda: self.models.rooms(family, fetch).find(picture),
        )
        everything = self.recipe.controlnet_txt2img  # so the painter sees nothing of the photo
        return Patch(
            picture=picture,
            repaint=(selection.alpha(self.recipe, view) > 0) | everything,
            guides=tuple(
                Guide(
                    control=one.name,
                    map=self.maps.get(f"{place} {one.name}", partial(CONTROLS[one.name], scene)),
                    scale=one.weight,
                    start=one.window[0],
                    end=one.window[1],
                )
                for one in controls_of(self.recipe, self.models.catalog, self.style)
            ),
        )

    def _keypoints(self, selection: Selection, box: Box, size: Size) -> Keypoints:
        """The person's key points in pixels of the patch."""
        estimator = self.models.pose(self.style.family, fetch)
        points = self.selector.keypoints(self.photo, self.style.family, estimator).copy()
        canvas = selection.canvas
        for axis, start, offset in ((0, canvas.box.left, box.left), (1, canvas.box.top, box.top)):
            on_canvas = (points[:, axis] - start) * canvas.size[axis] / canvas.box.size[axis]
            points[:, axis] = (on_canvas - offset) * size[axis] / box.size[axis]
        return points

    def _result(self, finished: Finished, control_map: Pixels | None) -> Result:
        original, alpha = finished.original, finished.alpha
        changed = [kept_pixels_changed(original, image, alpha) for image in finished.images]
        return Result(
            images=finished.images,
            original=original,
            mask=alpha,
            control_map=control_map,
            box=finished.place.box,
            recipe=self.recipe,
            seconds=dict(self._seconds),
            kept_pixels=int(np.count_nonzero(alpha == 0)),
            kept_pixels_changed=max(changed),
            hint=self._hint(),
        )

    def _hint(self) -> str:
        """What would have made more of the pictures, "" for nothing."""
        restores = self.models.catalog.family(self.style.family).restorer is not None
        faint = self.recipe.face_correct and restores and not Restorer.is_installed()
        return HOW_TO_INSTALL if faint else ""

    def _dressed(self) -> Recipe:
        """The recipe as the painter takes it: with the words and settings of the style."""
        style, recipe = self.style, self.recipe
        strength = 1.0 if recipe.controlnet_txt2img else recipe.denoising_strength
        negative = ", ".join(filter(None, (style.negative_prompt, recipe.negative_prompt)))
        asked = read(recipe.prompt).text  # its LoRAs are in the style
        words = (self.trigger_words, style.prompt_prefix, asked, style.prompt_suffix)
        fast = self.models.catalog.fast(style).settings if recipe.fast else {}
        return recipe.model_copy(
            update={
                "cfg_scale": style.cfg_scale if recipe.cfg_scale is None else recipe.cfg_scale,
                "control_mode": recipe.control_mode or style.control_mode,
                **fast,
                "prompt": "".join(words),
                "negative_prompt": negative,
                "denoising_strength": strength,
            }
        )

    @contextmanager
    def _timed(self, stage: Stage) -> Iterator[None]:
        started = time.perf_counter()
        try:
            yield
        finally:
            self._seconds[stage.name.lower()] = time.perf_counter() - started
