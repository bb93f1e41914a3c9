"""One painting from start to end: load, select, draw the control map, paint, compose."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from inference.background import Watch, in_background
from inference.cache import Cache
from inference.catalog import Style
from inference.compose import Alpha, kept_pixels_changed, paste, resize
from inference.controls import CONTROLS, Scene
from inference.errors import InvalidRecipe
from inference.geometry import Box, Size, View, generation_size, mask_box
from inference.hub import DownloadProgress, fetch
from inference.patch import Guide, Painted, Patch
from inference.photo import Photo, Pixels
from inference.recipe import Recipe
from inference.results import Progress, Result, Stage
from inference.selection import Selection
from inference.selector import Selector
from inference.skeleton import Keypoints

if TYPE_CHECKING:
    from inference.models import Models
    from inference.painter import Painter

# The picture as it forms is shown this often, because showing it costs time too.
PREVIEW_SECONDS = 0.3


def load(models: Models, style: Style, recipe: Recipe) -> Generator[Progress, None, Painter]:
    """Load what a recipe needs of a style, reporting downloads; returns the painter.

    Raises:
        ModelUnavailable: a model cannot be had.
    """

    def work(watch: Watch[DownloadProgress]) -> Painter:
        get = partial(fetch, progress=watch.report, cancelled=watch.cancelled)
        models.segmenter(style.family, get)
        models.pose(style.family, get)
        return models.painter(style, controls_of(recipe), get)

    yield Progress(stage=Stage.LOADING, detail=style.title)
    with closing(in_background(work)) as loading:
        while True:
            try:
                done = next(loading)
            except StopIteration as finished:
                painter: Painter = finished.value
                return painter
            megabytes = f"{done.bytes_done >> 20} of {done.bytes_total >> 20} MB"
            yield Progress(stage=Stage.LOADING, detail=f"{style.title}: {done.file}, {megabytes}")


def controls_of(recipe: Recipe) -> tuple[str, ...]:
    """The controls that a recipe uses.

    Raises:
        InvalidRecipe: it names a control that does not exist.
    """
    if recipe.controlnet is None or recipe.controlnet_conditioning_scale == 0:
        return ()
    if recipe.controlnet not in CONTROLS:
        known = ", ".join(CONTROLS)
        raise InvalidRecipe(f"Control (controlnet): takes one of {known}.", field="controlnet")
    return (recipe.controlnet,)


@dataclass(kw_only=True)
class Job:
    """A photo, a recipe with a concrete seed, and what is needed to paint them.

    `maps` keeps control maps between jobs; `trigger_words` open the prompt; what is light in the
    mask image counts as found, as words do.
    """

    models: Models
    selector: Selector
    maps: Cache[Pixels]
    style: Style
    trigger_words: str
    photo: Photo
    recipe: Recipe
    mask_image: Photo | None = None
    _seconds: dict[str, float] = field(default_factory=dict)

    def run(self) -> Generator[Progress | Result]:
        """Do it; see `Studio.paint`."""
        with self._timed(Stage.LOADING):
            painter = yield from load(self.models, self.style, self.recipe)
        yield Progress(stage=Stage.MASK)
        with self._timed(Stage.MASK):
            selection = self._select()
            alpha = np.rint(selection.alpha(self.recipe) * 255).astype(np.uint8)
            box = mask_box(alpha > 0, min_side=self.style.native_size)
        yield Progress(stage=Stage.CONTROL)
        with self._timed(Stage.CONTROL):
            patch = self._patch(selection, box)
        control_map = patch.guides[0].map if patch.guides else None
        yield Progress(stage=Stage.CONTROL, control_map=control_map)
        with self._timed(Stage.PAINTING):
            painted = yield from self._paint(painter, patch)
        yield Progress(stage=Stage.FINISHING)
        yield self._compose(selection.picture(), alpha, box, painted.pictures, control_map)

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
        scene = Scene(picture=picture, keypoints=partial(self._keypoints, selection, box, size))
        return Patch(
            picture=picture,
            repaint=selection.alpha(self.recipe, view) > 0,
            guides=tuple(
                Guide(
                    control=control,
                    map=self.maps.get(f"{place} {control}", partial(CONTROLS[control], scene)),
                    scale=self.recipe.controlnet_conditioning_scale,
                )
                for control in controls_of(self.recipe)
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

    def _paint(self, painter: Painter, patch: Patch) -> Generator[Progress, None, Painted]:
        """Run the painter, turning its steps into progress."""
        started = time.monotonic()
        shown = 0.0
        with closing(painter.paint(patch, self._dressed())) as steps:
            for event in steps:
                if isinstance(event, Painted):
                    return event
                now = time.monotonic()
                due = now - shown >= PREVIEW_SECONDS
                shown = now if due else shown
                yield Progress(
                    stage=Stage.PAINTING,
                    step=event.step,
                    steps=event.steps,
                    preview=event.preview() if due else None,
                    seconds_left=(now - started) / event.step * (event.steps - event.step),
                )
        raise AssertionError("the painter always ends with its pictures")

    def _compose(
        self,
        original: Pixels,
        alpha: Alpha,
        box: Box,
        pictures: tuple[Pixels, ...],
        control_map: Pixels | None,
    ) -> Result:
        with self._timed(Stage.FINISHING):
            images = tuple(paste(original, picture, alpha, box) for picture in pictures)
            changed = max(kept_pixels_changed(original, image, alpha) for image in images)
        return Result(
            images=images,
            original=original,
            mask=alpha,
            control_map=control_map,
            box=box,
            recipe=self.recipe,
            seconds=dict(self._seconds),
            kept_pixels=int(np.count_nonzero(alpha == 0)),
            kept_pixels_changed=changed,
        )

    def _dressed(self) -> Recipe:
        """The recipe as the painter takes it: with the words that belong to the style."""
        style, recipe = self.style, self.recipe
        negative = ", ".join(filter(None, (style.negative_prompt, recipe.negative_prompt)))
        words = (self.trigger_words, style.prompt_prefix, recipe.prompt, style.prompt_suffix)
        return recipe.model_copy(update={"prompt": "".join(words), "negative_prompt": negative})

    @contextmanager
    def _timed(self, stage: Stage) -> Iterator[None]:
        started = time.perf_counter()
        try:
            yield
        finally:
            self._seconds[stage.name.lower()] = time.perf_counter() - started
