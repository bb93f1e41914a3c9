"""The studio wires everything together: photo and recipe in, progress and a result out.

    studio = Studio()
    for event in studio.paint(Photo.open("me.jpg"), Recipe(prompt="astronaut, space")):
        ...

Models load when first needed, words are looked up once per photo and phrase, one job paints at a
time, and closing the generator cancels it within a step.
"""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from inference.cache import Cache
from inference.catalog import Catalog, Style
from inference.errors import MasqueradeError, ModelUnavailable
from inference.faults import told
from inference.grid import Grid, GridResult
from inference.hub import fetch
from inference.job import Job
from inference.loading import download, load
from inference.loan import Loan
from inference.paintings import Paintings
from inference.photo import Photo, Pixels
from inference.prompt_words import read
from inference.recipe import Recipe
from inference.results import Progress, Result, Stage
from inference.retry import with_retry
from inference.selection import Selection
from inference.selector import Selector
from inference.zero_gpu import Lender

if TYPE_CHECKING:
    from inference.models import Models
    from inference.segmenter import Segmenter

Event = TypeVar("Event")

# The family of the embedded models, which are always at hand.
PACK = "pack"
# How often a waiting job says that it still waits.
POLL_SECONDS = 0.5


class Studio:
    """Everything a page, a script or a server needs. Thread-safe.

    Args:
        catalog: which models there are; the built-in catalog when left out.
        style: key of the style for recipes that name none. When left out: the first full-size one
            on a machine with a GPU, the embedded pack's otherwise.
        safety_checker: hold back what a style's own safety checker flags, where it has one.
        compiled: whether denoising steps are compiled behind the scenes; when left out, where
            that pays.
        kept_paintings: how many paintings are kept, so that a job that differs from one of them
            only in what comes after the painting need not paint.
        lend: how the GPU is lent, where it is; it then paints, and all else has the CPU.
    """

    def __init__(
        self,
        *,
        catalog: Catalog | None = None,
        style: str | None = None,
        safety_checker: bool = False,
        compiled: bool | None = None,
        kept_paintings: int = 0,
        lend: Lender | None = None,
    ) -> None:
        self.catalog = catalog or Catalog.load()
        self._default = style
        self._safety_checker = safety_checker
        self._compiled = compiled
        self.fallback_reason = ""
        self._models: Models | None = None
        self._models_lock = threading.Lock()
        self._engine = threading.Lock()
        self._selector = Selector(segmenter=self._segmenter)
        self._maps: Cache[Pixels] = Cache(16)
        self._paintings = Paintings(kept_paintings)
        self._loan: Loan | None = None
        if lend is not None:
            there = Studio(
                catalog=self.catalog, style=style, safety_checker=safety_checker, compiled=compiled
            )
            self._loan = Loan(there, lend)

    def models(self) -> Models:
        """The models in memory; the first call imports torch, which takes seconds."""
        with self._models_lock:
            if self._models is None:
                from inference.device import Device
                from inference.models import Models

                lent = self._loan is not None
                self._models = Models(
                    self.catalog,
                    Device.cpu("a GPU for each painting") if lent else Device.probe(),
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
            full_size = self._loan is not None or self.models().device.is_gpu
            styles = self.catalog.styles()
            suited = [style for style in styles if (style.family != PACK) == full_size]
            self._default = (suited or styles)[0].key
        return self.catalog.style(key or self._default or "")

    def compile_ahead(self) -> None:
        """Where the GPU is lent: have the first step compiled, before a page starts.

        It takes minutes once, and as long as loading where it was done before.
        """
        if self._loan is None or self._compiled is False:
            return
        try:
            for _ in download(self.models(), self.style(), Recipe()):
                pass
        except ModelUnavailable:
            return  # as `warm_up` says
        self._loan.ready()

    def warm_up(self) -> Iterator[Progress]:
        """Load what the default style needs, before anybody asks for it.

        Where its models cannot be had, the embedded pack becomes the default.
        """
        yield Progress(stage=Stage.LOADING, detail="starting PyTorch")
        style, recipe = self.style(), Recipe()
        try:
            yield from self._alone(self._readied(style, recipe))
        except ModelUnavailable as error:
            if style.family == PACK:
                raise
            style = self.fall_back(str(error))
            yield from self._alone(self._readied(style, recipe))

    def _readied(self, style: Style, recipe: Recipe) -> Generator[Progress]:
        """Load a style; where steps are compiled, have the first one begun.

        What looks at photos comes first, so that a visitor who comes at once has a mask soon.
        """
        yield from download(self.models(), style, recipe)
        black = Photo.of(np.zeros((64, 64, 3), dtype=np.uint8))
        self._selector.select(black, recipe, style.family, style.native_size)
        if self._loan is not None:
            return
        yield from load(self.models(), style, recipe)
        if self.models().compiles:
            yield Progress(stage=Stage.LOADING, detail="the first step")
            self.models().checkpoints.rehearse(recipe, style.native_size)

    def fall_back(self, reason: str) -> Style:
        """Make the embedded pack the default, because another style's models cannot be had."""
        self.fallback_reason = reason
        self._default = self.catalog.styles(PACK)[0].key
        return self.style()

    def select(self, photo: Photo, recipe: Recipe, mask_image: Photo | None = None) -> Selection:
        """Find the recipe's words in a photo: milliseconds, once they were looked up.

        Args:
            mask_image: of the photo's shape; what is light in it counts as found, as words do.

        Raises:
            ModelUnavailable: the detector cannot be had.
            InvalidPhoto: the mask image has another shape than the photo.
        """
        style = self.style(recipe.style)
        with told():
            return self._selector.select(photo, recipe, style.family, style.native_size, mask_image)

    def paint(
        self, photo: Photo, recipe: Recipe, mask_image: Photo | None = None
    ) -> Generator[Progress | Result]:
        """Repaint a photo by a recipe, and a mask image where one is given (see `select`).

        Yields:
            `Progress` while it works and one `Result` at the end. Closing the generator cancels.

        Raises:
            MasqueradeError: it cannot be done; the message says what to do.
        """
        yield Progress(stage=Stage.LOADING, detail=photo.note)
        job = self._job(photo, recipe, mask_image)
        yield from self._alone(self._work(job) if self._loan is None else self._lent(job))

    def _lent(self, job: Job) -> Generator[Progress | Result]:
        """A job that is done where the GPU is, which is not lent for downloads."""
        assert self._loan is not None
        yield from download(job.models, job.style, job.recipe)
        yield from self._loan.paint(job.photo, job.recipe, job.mask_image)

    def _work(self, job: Job) -> Generator[Progress | Result]:
        """What a job does, without the pictures that are held back."""
        work, family = with_retry(job), job.style.family
        if not job.models.checks(family):
            return work
        from inference.safety import held_back

        return held_back(work, lambda images: job.models.checker(family, fetch).flags(images))

    def control_maps(
        self, photo: Photo, recipe: Recipe, mask_image: Photo | None = None
    ) -> dict[str, Pixels]:
        """What each of the recipe's controls sees of a photo, by name: (h, w, 3) uint8 each.

        Raises:
            MasqueradeError: as `paint`.
        """
        job = self._job(photo, recipe, mask_image)
        with self._engine, told():
            return job.control_maps()

    def _job(self, photo: Photo, recipe: Recipe, mask_image: Photo | None) -> Job:
        style = self.style(recipe.style)
        recipe = recipe.with_seed().model_copy(update={"style": style.key})
        fast = self.catalog.fast(style).loras if recipe.fast else {}
        style = self.catalog.wearing(style, {**fast, **read(recipe.prompt).loras})
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
        """Paint every cell of a grid; one that fails does not take the others with it.

        Yields:
            `Progress` while it works and one `GridResult` at the end. Closing cancels.

        Raises:
            MasqueradeError: no cell could be painted; says why the first one could not.
        """
        results: dict[int, Result] = {}
        failures: dict[int, MasqueradeError] = {}
        # A style's cells one after the other, so that each base is loaded once.
        for k in sorted(range(len(grid.cells)), key=lambda k: grid.cells[k].recipe.style or ""):
            cell = grid.cells[k]
            where = f"{len(results) + len(failures) + 1} of {len(grid.cells)}: {cell.label}"
            try:
                with closing(self.paint(photo, cell.recipe, mask_image)) as events:
                    for event in events:
                        if isinstance(event, Result):
                            results[k] = event
                        else:
                            detail = ", ".join(filter(None, (where, event.detail)))
                            yield replace(event, detail=detail)
            except MasqueradeError as error:
                failures[k] = error
        if not results:
            raise failures[min(failures)]
        yield GridResult(
            grid=grid,
            results=tuple(results.get(k) for k in range(len(grid.cells))),
            failures={grid.cells[k].label: str(failures[k]) for k in sorted(failures)},
        )

    def _alone(self, work: Generator[Event, None, object]) -> Iterator[Event | Progress]:
        """Run work once nothing else runs on the device, saying so while it waits."""
        while not self._engine.acquire(timeout=POLL_SECONDS):
            yield Progress(stage=Stage.WAITING)
        try:
            with told(), closing(work):
                yield from work
        finally:
            self._engine.release()

    def _segmenter(self, family: str) -> Segmenter:
        return self.models().segmenter(family, fetch)
