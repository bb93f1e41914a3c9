"""Loads or downloads the models of a style that a recipe needs, with progress."""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from inference.catalog.catalog import FACE, INPAINT, TILE
from inference.catalog.download import Activity, DownloadProgress
from inference.catalog.download_plan import DownloadPlan
from inference.catalog.hub import Fetch, is_ready
from inference.catalog.schema import ControlModel, Style
from inference.catalog.sources import HubSource, LocalSource, Source
from inference.errors import Cancelled, HubUnreachable, MissingModel
from inference.finishing.face_restorer import FaceRestorer
from inference.picture.progress import Progress, Stage
from inference.recipe.control_list import Control
from inference.recipe.recipe import Recipe
from inference.runtime.background_task import TaskHandle, in_background
from inference.studio.styled_recipe import check

if TYPE_CHECKING:
    from inference.painting.painter import Painter
    from inference.studio.loaded_models import LoadedModels

log = logging.getLogger(__name__)

Value = TypeVar("Value")
# A download's progress, or what is read from the disk.
Report: TypeAlias = DownloadProgress | str
Task: TypeAlias = TaskHandle[Report]


class ModelLoader:
    """Loads the models of one style that a recipe needs: those of the mask, then all others.

    All downloads have one total. Closing a generator cancels; what is complete stays in the cache,
    and a model that is being read is kept in memory.

    Raises:
        InvalidRecipe: the recipe uses something that the style does not have.
        ModelUnavailable: raised by all generators: a model cannot be loaded or downloaded.
    """

    def __init__(self, models: LoadedModels, style: Style, recipe: Recipe) -> None:
        self._inpaints = recipe.inpainting_model and not recipe.controlnet_txt2img
        self._models = models
        self._plain = style
        self._recipe = recipe
        check(models.catalog, style, recipe)
        self._use(style.for_inpainting() if self._inpaints else style)
        self._plan: DownloadPlan | None = None

    @property
    def controls(self) -> tuple[Control, ...]:
        """The recipe's controls, and `inpaint` if the UNet does not see what is kept."""
        named = () if self._recipe.only_upscale else self._recipe.controls
        return (*named, Control(INPAINT)) if self._joins else named

    @property
    def _names(self) -> tuple[str, ...]:
        """Keys of the ControlNets and IP-Adapters."""
        names = dict.fromkeys(control.name for control in self.controls)
        later = ((TILE, self._recipe.uses_tile), (FACE, self._recipe.face_swap))
        return tuple(names | dict.fromkeys(name for name, is_used in later if is_used))

    def _use(self, style: Style) -> None:
        """Paint with a checkpoint of the style, its own or its inpainting one."""
        self._style = style
        known = self._models.catalog.family(style.family).controls
        named = self._recipe.controlnets or (self._recipe.controlnet,)
        sees = style == self._plain.for_inpainting() != self._plain
        self._joins = self._inpaints and not sees and INPAINT in known and INPAINT not in named

    def load_segmenter(self) -> Generator[Progress]:
        """Load the model that finds words."""

        def work(task: Task) -> None:
            self._models.segmenter(self._style.family, self._fetch(task))

        yield from self._reported(work)

    def load_photo_reader(self) -> Generator[Progress]:
        """Load the models that read people in photographs; where unavailable, go on without."""
        if not self._models.lacks_photo_reader(self._style.family):
            return

        def work(task: Task) -> None:
            self._models.photo_reader(self._style.family, self._fetch(task))

        yield from self._reported(work)

    def load_point_segmenter(self) -> Generator[Progress]:
        """Load the model that finds what lies at clicks; where unavailable, go on without."""
        if not self._models.lacks_point_segmenter(self._style.family):
            return

        def work(task: Task) -> None:
            self._models.point_segmenter(self._style.family, self._fetch(task))

        yield from self._reported(work)

    def load_painter(self) -> Generator[Progress, None, Painter]:
        """Load the checkpoint and all other models; returns the painter."""

        def work(task: Task) -> Painter:
            self._download_all(task)
            get, models, family = self._fetch(task), self._models, self._style.family
            models.pose(family, get)
            if self._recipe.super_resolution:
                models.enlarger(family, get)
            if self._recipe.face_correct:
                models.restorer(family, get)
            if models.checks(family):
                models.checker(family, get)
            if "depth" in self._names:
                models.depth(family, get)
            if "segroom" in self._names:
                models.rooms(family, get)
            reading = partial(_begin_reading, task)
            painter = models.checkpoints.painter(self._style, self._names, get, reading)
            self._joins = self._joins and not painter.inpaints
            return painter

        return (yield from self._reported(work))

    def download(self) -> Generator[Progress]:
        """Download all models but the photo reader's, without loading them."""
        yield from self._reported(self._download_all)

    def _download_all(self, task: Task) -> None:
        plan = self._plan_of(task)
        for source in self._sources():
            plan.fetch(source, task.report, task.cancelled)

    def _fetch(self, task: Task) -> Fetch:
        """A function that fetches a source, and reports downloads and then that it is read."""
        plan = self._plan_of(task)

        def get(source: Source) -> Path:
            folder = plan.fetch(source, task.report, task.cancelled)
            if not isinstance(source, LocalSource):
                name = source.repo if isinstance(source, HubSource) else source.package
                _begin_reading(task, name)
            return folder

        return get

    def _plan_of(self, task: Task) -> DownloadPlan:
        """The plan of all downloads, made once."""
        if self._plan is None:
            self._plan = self._made_plan(task)
        return self._plan

    def _made_plan(self, task: Task) -> DownloadPlan:
        """A new plan; without the models for inpainting that are not to be had."""
        while True:
            try:
                return DownloadPlan.of(self._planned(), task.report, task.cancelled)
            except (MissingModel, HubUnreachable) as error:
                if not self._does_without(error):
                    raise

    def _does_without(self, error: MissingModel | HubUnreachable) -> bool:
        """Give up a model for inpainting; whether there was one to give up."""
        is_missing = isinstance(error, MissingModel)
        if is_missing and self._style != self._plain:
            without = "its inpainting checkpoint"
            self._use(self._plain)
        elif self._joins and (is_missing or is_ready(self._style.base)):
            without = f"the control {INPAINT}"
            self._joins = False
        else:
            return False
        log.warning("%s paints without %s: %s", self._style.key, without, error)
        return True

    def _planned(self) -> Iterator[Source]:
        """The sources of all models that a job needs, those of the mask first."""
        yield from self._sources()
        reader = self._models.catalog.family(self._style.family).photo
        if reader is not None and self._models.lacks_photo_reader(self._style.family):
            yield reader.detectors

    def _sources(self) -> Iterator[Source]:
        catalog, style, recipe = self._models.catalog, self._style, self._recipe
        family, names = catalog.family(style.family), self._names
        wanted = (
            (family.segmenter, True),
            (family.pose, True),
            (family.enlarger, recipe.super_resolution),
            (family.restorer, recipe.face_correct and FaceRestorer.is_installed()),
            (family.checker, self._models.checks(family.key)),
            (family.depth, "depth" in names),
            (family.rooms, "segroom" in names),
            (style.configs or family.configs, style.checkpoint is not None),
            (style.base, True),
            (style.vae, True),
        )
        yield from (source for source, needed in wanted if source is not None and needed)
        yield from (catalog.lora(family.key, key).source for key in style.loras)
        for name in names:
            yield from _control_sources(catalog.control(family.key, name))

    def _reported(self, work: Callable[[Task], Value]) -> Generator[Progress, None, Value]:
        """Run `work` in the background, yield its reports as progress, return its value."""
        latest = Progress(stage=Stage.LOADING, detail=self._style.title)
        yield latest

        def alone(task: Task) -> Value:
            # Work that was cancelled may still be reading a model.
            with self._models.loading:
                if task.cancelled():
                    raise Cancelled
                return work(task)

        running = in_background(alone)
        with closing(running) as loading:
            while True:
                try:
                    report = next(loading)
                except StopIteration as finished:
                    value: Value = finished.value
                    return value
                latest = latest if report is None else _progress(self._style, report)
                yield latest


def _control_sources(control: ControlModel) -> Iterator[Source]:
    yield control.source
    if control.adapter is not None:
        yield control.adapter.encoder


def _begin_reading(task: Task, what: str) -> None:
    if task.cancelled():
        raise Cancelled
    task.report(what)


def _progress(style: Style, report: Report) -> Progress:
    """A report as an event for the user."""
    if isinstance(report, str):
        return Progress(stage=Stage.LOADING, detail=f"{style.title}: reading {report}")
    if report.activity in (Activity.ASKING, Activity.WAITING):
        what = f"{style.title}: {report.activity} ({report.file})"
        return Progress(stage=Stage.LOADING, detail=what)
    parts = [report.file, f"{report.bytes_done >> 20:,} of {report.bytes_total >> 20:,} MB"]
    if report.activity is Activity.CHECKING:
        parts.append(f"{report.activity}")
    elif report.bytes_per_second:
        parts.append(f"{report.bytes_per_second / 2**20:.1f} MB/s")
    return Progress(
        stage=Stage.LOADING,
        detail=f"{style.title}: {', '.join(parts)}",
        share=report.bytes_done / max(1, report.bytes_total),
        seconds_left=report.seconds_left,
    )
