"""Loads or downloads the models of a style that a recipe needs, with progress."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from inference.catalog.catalog import FACE, Catalog
from inference.catalog.hub import DownloadProgress, fetch
from inference.catalog.schema import ControlModel, Source, Style
from inference.control.control_maps import CONTROLS
from inference.errors import InvalidRecipe
from inference.finishing.face_restorer import FaceRestorer
from inference.picture.progress import Progress, Stage
from inference.recipe.control_list import Control
from inference.recipe.recipe import Recipe
from inference.runtime.background_task import TaskHandle, in_background

if TYPE_CHECKING:
    from inference.painting.painter import Painter
    from inference.studio.loaded_models import LoadedModels

Value = TypeVar("Value")


def load(models: LoadedModels, style: Style, recipe: Recipe) -> Generator[Progress, None, Painter]:
    """Load all models of a style that a recipe needs; returns the painter.

    Raises:
        InvalidRecipe: the recipe uses something that the style does not have.
        ModelUnavailable: a model cannot be loaded or downloaded.
    """
    names = _networks(models.catalog, style, recipe)

    def work(watch: TaskHandle[DownloadProgress]) -> Painter:
        get = partial(fetch, progress=watch.report, cancelled=watch.cancelled)
        models.segmenter(style.family, get)
        models.pose(style.family, get)
        if recipe.super_resolution:
            models.enlarger(style.family, get)
        if recipe.face_correct:
            models.restorer(style.family, get)
        if models.checks(style.family):
            models.checker(style.family, get)
        if "depth" in names:
            models.depth(style.family, get)
        if "segroom" in names:
            models.rooms(style.family, get)
        return models.checkpoints.painter(style, names, get)

    return (yield from _reported(work, style))


def download(models: LoadedModels, style: Style, recipe: Recipe) -> Generator[Progress]:
    """Download the models that `load` would load, without loading them.

    Raises:
        As `load`.
    """
    sources = tuple(_needed(models, style, recipe))

    def work(watch: TaskHandle[DownloadProgress]) -> None:
        for source in sources:
            fetch(source, progress=watch.report, cancelled=watch.cancelled)

    yield from _reported(work, style)


def load_photo_reader(models: LoadedModels, style: Style) -> Generator[Progress]:
    """Load the models that read people in photographs; where they are unavailable, go on without.

    Raises:
        Cancelled: the generator was closed during a download.
    """

    if not models.lacks_photo_reader(style.family):
        return

    def work(watch: TaskHandle[DownloadProgress]) -> None:
        models.photo_reader(
            style.family, partial(fetch, progress=watch.report, cancelled=watch.cancelled)
        )

    yield from _reported(work, style)


def controls_of(recipe: Recipe, catalog: Catalog, style: Style) -> tuple[Control, ...]:
    """The controls that a recipe uses, checked against the style.

    Raises:
        InvalidRecipe: the style has no such control; lists those that it has.
    """
    known = [control.key for control in catalog.controls(style.family) if control.key in CONTROLS]
    if any(control.name not in known for control in recipe.controls):
        field = "controlnets" if recipe.controlnets else "controlnet"
        title = Recipe.model_fields[field].title
        choice = f"takes one of {', '.join(known)}" if known else "has to be empty"
        raise InvalidRecipe(
            f"{title} ({field}): with the style {style.title} it {choice}.", field=field
        )
    return recipe.controls


def _networks(catalog: Catalog, style: Style, recipe: Recipe) -> tuple[str, ...]:
    """Keys of the ControlNets and IP-Adapters that a recipe uses."""
    controls = controls_of(recipe, catalog, style)
    if recipe.face_swap and catalog.family(style.family).face is None:
        title = Recipe.model_fields["face_swap"].title
        raise InvalidRecipe(
            f"{title} (face_swap): the style {style.title} has no model for it, so turn it off or "
            "choose another style.",
            field="face_swap",
        )
    return (*(control.name for control in controls), *((FACE,) if recipe.face_swap else ()))


def _needed(models: LoadedModels, style: Style, recipe: Recipe) -> Iterator[Source]:
    """The sources of all models that `load` needs."""
    catalog = models.catalog
    names, family = _networks(catalog, style, recipe), catalog.family(style.family)
    wanted = (
        (family.segmenter, True),
        (family.pose, True),
        (family.enlarger, recipe.super_resolution),
        (family.restorer, recipe.face_correct and FaceRestorer.is_installed()),
        (family.checker, models.checks(family.key)),
        (family.depth, "depth" in names),
        (family.rooms, "segroom" in names),
        (family.configs, style.checkpoint is not None),
        (style.base, True),
        (style.vae, True),
    )
    yield from (source for source, needed in wanted if source is not None and needed)
    yield from (catalog.lora(family.key, key).source for key in style.loras)
    for name in names:
        yield from _sources(catalog.control(family.key, name))


def _sources(control: ControlModel) -> Iterator[Source]:
    yield control.source
    if control.adapter is not None:
        yield control.adapter.encoder


def _reported(
    work: Callable[[TaskHandle[DownloadProgress]], Value], style: Style
) -> Generator[Progress, None, Value]:
    """Run `work` in the background, yield its downloads as progress, return its value."""
    yield Progress(stage=Stage.LOADING, detail=style.title)
    with closing(in_background(work)) as loading:
        while True:
            try:
                done = next(loading)
            except StopIteration as finished:
                value: Value = finished.value
                return value
            megabytes = f"{done.bytes_done >> 20} of {done.bytes_total >> 20} MB"
            yield Progress(stage=Stage.LOADING, detail=f"{style.title}: {done.file}, {megabytes}")
