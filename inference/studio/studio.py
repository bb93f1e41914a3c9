"""Main entry point: `Studio.paint` takes a photo and a recipe, yields progress and a result.

    studio = Studio()
    for event in studio.paint(Photo.open("me.jpg"), Recipe(prompt="astronaut, space")):
        ...

Models are loaded on first use, heatmaps are cached per photo and phrase, one job paints at a time,
and closing the generator cancels it within a step.
"""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterator
from contextlib import closing
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from inference.catalog.catalog import PACK, Catalog
from inference.catalog.hub import fetch
from inference.catalog.schema import Style
from inference.errors import ModelUnavailable
from inference.mask.click_regions import ClickRegions
from inference.mask.heatmap_finder import HeatmapFinder
from inference.mask.selection import Selection
from inference.mask.selector import Selector
from inference.picture.photo import Photo, Pixels
from inference.picture.progress import Progress, Stage
from inference.picture.result import Result
from inference.recipe.lora_tags import split_lora_tags
from inference.recipe.recipe import Recipe
from inference.runtime.cache import Cache
from inference.runtime.library_errors import translated_errors
from inference.studio.gpu_lease import GpuLease, GpuLender
from inference.studio.grid import Grid, GridResult, paint_cells
from inference.studio.job import Job
from inference.studio.model_loading import ModelLoader
from inference.studio.painting_cache import PaintingCache
from inference.studio.retry import with_retry

if TYPE_CHECKING:
    from inference.studio.loaded_models import LoadedModels

Event = TypeVar("Event")

# Seconds between two events of a job that waits.
POLL_SECONDS = 0.5


class Studio:
    """Computes masks, pictures and grids; holds models and caches in memory. Thread-safe.

    Args:
        catalog: models and styles; the built-in catalog by default.
        style: key of the style for recipes that name none. When left out: the first full-size one
            on a machine with a GPU, the embedded pack's otherwise.
        safety_checker: withhold pictures that the style's safety checker flags, if it has one.
        compiled: compile denoising steps in the background; None compiles where it pays.
        kept_paintings: number of painted outputs in the cache, for jobs that differ from them only
            in stages after the painting.
        lend: runs a task on a GPU allocated per call (ZeroGPU); the rest then runs on the CPU.
    """

    def __init__(
        self,
        *,
        catalog: Catalog | None = None,
        style: str | None = None,
        safety_checker: bool = False,
        compiled: bool | None = None,
        kept_paintings: int = 0,
        lend: GpuLender | None = None,
    ) -> None:
        self.catalog = catalog or Catalog.load()
        self._default = style
        self._safety_checker = safety_checker
        self._compiled = compiled
        self.fallback_reason = ""
        self._models: LoadedModels | None = None
        self._models_lock = threading.Lock()
        self._job_lock = threading.Lock()
        self._selector = Selector(
            finder=HeatmapFinder(
                segmenter=lambda family: self.models().segmenter(family, fetch),
                reader=lambda family: self.models().photo_reader(family, fetch),
            ),
            clicks=ClickRegions(
                segmenter=lambda family: self.models().point_segmenter(family, fetch)
            ),
        )
        self._maps: Cache[Pixels] = Cache(16)
        self._paintings = PaintingCache(kept_paintings)
        self._gpu_lease: GpuLease | None = None
        if lend is not None:
            on_gpu = Studio(
                catalog=self.catalog, style=style, safety_checker=safety_checker, compiled=compiled
            )
            self._gpu_lease = GpuLease(on_gpu.paint, on_gpu.warm_up, lend)

    @property
    def selector(self) -> Selector:
        """Finds words in photos; those of two processes can exchange their first looks."""
        return self._selector

    def models(self) -> LoadedModels:
        """The models in memory; the first call imports torch, which takes seconds."""
        with self._models_lock:
            if self._models is None:
                from inference.runtime.device import Device
                from inference.studio.loaded_models import LoadedModels

                is_lent = self._gpu_lease is not None
                self._models = LoadedModels(
                    self.catalog,
                    Device.cpu("a GPU for each painting") if is_lent else Device.probe(),
                    checks=self._safety_checker,
                    compiled=self._compiled,
                )
            return self._models

    def style(self, key: str | None = None) -> Style:
        """The style with this key, or the default one.

        Raises:
            MissingModel: there is no such style.
        """
        if key is None and self._default is None:
            full_size = self._gpu_lease is not None or self.models().device.is_gpu
            self._default = self.catalog.default_style(full_size=full_size).key
        return self.catalog.style(key or self._default or "")

    def compile_ahead(self) -> None:
        """Compile the first step ahead of time, if the GPU is allocated per call; takes minutes."""
        if self._gpu_lease is None or self._compiled is False:
            return
        try:
            for _ in ModelLoader(self.models(), self.style(), Recipe()).download():
                pass
        except ModelUnavailable:
            return  # `warm_up` reports it
        self._gpu_lease.compile_first_step()

    def warm_up(self) -> Generator[Progress]:
        """Load the default style, before the first job.

        Where its models are unavailable, the embedded pack becomes the default.
        """
        yield Progress(stage=Stage.LOADING, detail="starting PyTorch")
        style, recipe = self.style(), Recipe()
        try:
            yield from self._exclusively(self._load_style(style, recipe))
        except ModelUnavailable as error:
            if style.family == PACK:
                raise
            style = self.fall_back(str(error))
            yield from self._exclusively(self._load_style(style, recipe))

    def _load_style(self, style: Style, recipe: Recipe) -> Generator[Progress]:
        """Load a style, its segmenter first; if steps are compiled, run a first step."""
        loader = ModelLoader(self.models(), style, recipe)
        yield from loader.load_segmenter()
        yield from loader.load_photo_reader()
        yield from loader.load_point_segmenter()
        black = Photo.of(np.zeros((64, 64, 3), dtype=np.uint8))
        self._selector.select(black, recipe, style.family, style.native_size)
        if self._gpu_lease is not None:
            yield from loader.download()
            return
        yield from loader.load_painter()
        if self.models().compiles:
            yield Progress(stage=Stage.LOADING, detail="the first step")
            self.models().checkpoints.warm_up_step(recipe, style.native_size)

    def fall_back(self, reason: str) -> Style:
        """Make the embedded pack the default, because another style's models are unavailable."""
        self.fallback_reason = reason
        self._default = self.catalog.styles(PACK)[0].key
        return self.style()

    def select(self, photo: Photo, recipe: Recipe, mask_image: Photo | None = None) -> Selection:
        """Segment a photo by the recipe's words; takes milliseconds for cached phrases.

        Args:
            photo: the photo.
            recipe: its words, threshold, strokes and size.
            mask_image: of the photo's aspect ratio; its white is added to the selection, like
                words that were found.

        Raises:
            ModelUnavailable: the segmentation model is unavailable.
            InvalidPhoto: the mask image has another aspect ratio than the photo.
        """
        style = self.style(recipe.style)
        with translated_errors():
            return self._selector.select(photo, recipe, style.family, style.native_size, mask_image)

    def paint(
        self, photo: Photo, recipe: Recipe, mask_image: Photo | None = None
    ) -> Generator[Progress | Result]:
        """Repaint a photo with a recipe and an optional mask image (see `select`).

        Yields:
            `Progress` while it works and one `Result` at the end. Closing the generator cancels.

        Raises:
            MasqueradeError: the job failed; the message says what to do.
        """
        yield Progress(stage=Stage.LOADING, detail=photo.note)
        job = self._job(photo, recipe, mask_image)
        yield from self._exclusively(
            self._paint_here(job) if self._gpu_lease is None else self._paint_on_lease(job)
        )

    def _paint_on_lease(self, job: Job) -> Generator[Progress | Result]:
        """Download the models in this process, then paint on an allocated GPU."""
        assert self._gpu_lease is not None
        loader = ModelLoader(job.models, job.style, job.recipe)
        yield from loader.download()
        yield from loader.load_photo_reader()
        yield from loader.load_point_segmenter()
        yield from self._gpu_lease.paint(job.photo, job.recipe, job.mask_image)

    def _paint_here(self, job: Job) -> Generator[Progress | Result]:
        """Paint in this process, and withhold pictures that the safety checker flags."""
        work, family = with_retry(job), job.style.family
        if not job.models.checks(family):
            return work
        from inference.finishing.safety_checker import withhold_flagged

        return withhold_flagged(
            work, lambda images: job.models.checker(family, fetch).flags(images)
        )

    def control_maps(
        self, photo: Photo, recipe: Recipe, mask_image: Photo | None = None
    ) -> dict[str, Pixels]:
        """The map of each of the recipe's controls for a photo, by name: (h, w, 3) uint8 each.

        Raises:
            MasqueradeError: as `paint`.
        """
        job = self._job(photo, recipe, mask_image)
        with self._job_lock, translated_errors():
            return job.control_maps()

    def _job(self, photo: Photo, recipe: Recipe, mask_image: Photo | None) -> Job:
        style = self.style(recipe.style)
        recipe = recipe.with_seed().model_copy(update={"style": style.key})
        fast = self.catalog.fast(style).loras if recipe.fast else {}
        style = self.catalog.with_loras(style, {**fast, **split_lora_tags(recipe.prompt).loras})
        return Job(
            models=self.models(),
            selector=self._selector,
            maps=self._maps,
            paintings=self._paintings,
            style=style,
            trigger_words=self.catalog.trigger_words(style),
            photo=photo,
            recipe=recipe,
            mask_image=mask_image,
        )

    def paint_grid(
        self, photo: Photo, grid: Grid, mask_image: Photo | None = None
    ) -> Generator[Progress | GridResult]:
        """Paint every cell of a grid; a failed cell does not stop the others.

        Yields:
            `Progress` while it works and one `GridResult` at the end. Closing cancels.

        Raises:
            MasqueradeError: no cell could be painted; the error of the first one.
        """
        return paint_cells(grid, lambda recipe: self.paint(photo, recipe, mask_image))

    def _exclusively(self, work: Generator[Event, None, object]) -> Iterator[Event | Progress]:
        """Run work as soon as no other job runs; yields `WAITING` until then."""
        while not self._job_lock.acquire(timeout=POLL_SECONDS):
            yield Progress(stage=Stage.WAITING)
        try:
            with translated_errors(), closing(work):
                yield from work
        finally:
            self._job_lock.release()
