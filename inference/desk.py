"""Where orders come in: each gets a number, is painted, and leaves one line in the log.

A line tells what a keeper of the server needs and nothing about who asked: no word of a prompt, no
name of a file, no picture.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Generator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from threading import Event
from traceback import extract_tb
from typing import Any

from inference import metadata
from inference.address import fetch_file
from inference.contact_sheet import contact_sheet
from inference.errors import (
    Cancelled,
    InvalidPhoto,
    MasqueradeError,
    ModelFailed,
    ModelUnavailable,
    PaintingFailed,
)
from inference.exhibit import Exhibit, File
from inference.faults import told
from inference.form import converted, recipe_of
from inference.grid import GridResult
from inference.mask_view import mask_report, mask_view
from inference.metadata import Embedded
from inference.order import Order, grid_of, order_of
from inference.photo import Photo, Pixels
from inference.recipe import CFG_SCALE, Length, Unit
from inference.results import Progress, Result, save_png
from inference.selection import Selection
from inference.shelf import Shelf
from inference.studio import Studio
from inference.workplace import Workplace

log = logging.getLogger(__name__)

Work = Generator[Progress | Result | GridResult]
Answers = Generator[tuple[list[Path], dict[str, object]]]


class Desk:
    """Hands orders to the studio, and keeps the photos that they are about at hand."""

    def __init__(self, studio: Studio, work: Workplace) -> None:
        self._studio = studio
        self._workplace = work
        self._shelf = Shelf()

    def photo(self, path: File) -> Photo | None:
        """The photo in a file; None for no file.

        Raises:
            InvalidPhoto: it is none; also from all that follows.
        """
        return None if path is None else self._in_use(path)

    def fetched(self, url: str) -> Path | None:
        """The file of the photo behind an address, now here; None for no address."""
        return self.kept(fetch_file(url) if url else None)

    def embedded(self, path: File) -> Embedded | None:
        """What a picture of ours says of itself; None for any other file.

        Raises:
            InvalidRecipe: its settings are damaged.
        """
        ours = None if path is None else metadata.read(Path(path).read_bytes())
        if ours is None or ours.recipe.style in self._studio.catalog.style_by_key:
            return ours
        return replace(ours, recipe=ours.recipe.model_copy(update={"style": None}))

    def kept(self, picture: bytes | None) -> Path | None:
        """The file of a picture that came inside another one, now here; None for none.

        Raises:
            InvalidPhoto: it is none.
        """
        if picture is None:
            return None
        path = self._workplace.keep(picture, None)
        self.photo(path)
        return path

    def order(self, photo: File, mask_image: File, fields: dict[str, Any]) -> Order:
        """What the controls of a page ask for, by their names; see `form.recipe_of`.

        Raises:
            InvalidRecipe: a value is not allowed.
        """
        if photo is None:
            raise InvalidPhoto("Choose a photo first, or pick an example.")
        given = dict(fields)
        styles, vary = given.pop("styles", None), given.pop("vary", None)
        recipe = recipe_of(given)
        resting = self._studio.style(recipe.style).cfg_scale if recipe.style else CFG_SCALE
        if recipe.cfg_scale == resting and (styles or not recipe.style):
            # Nobody moved the slider, which cannot show what suits a style that is not known yet.
            recipe = recipe.model_copy(update={"cfg_scale": None})
        return Order(
            photo=self._in_use(photo),
            recipe=recipe,
            mask_image=self.photo(mask_image),
            grid=grid_of(recipe, styles, vary),
        )

    def retouch(
        self, photo: File, mask_image: File, fields: dict[str, Any], shown: Exhibit | None
    ) -> Order | None:
        """The painting that is shown with another grain or look; None where more was changed."""
        if shown is None or shown.recipe is None or shown.source != (photo, mask_image):
            return None
        try:
            order = self.order(photo, mask_image, {**fields, "seed": str(shown.recipe.seed)})
        except MasqueradeError:
            return None
        alone = order.grid is None and order.recipe.is_retouch_of(shown.recipe)
        return order if alone else None

    def select(self, order: Order) -> Selection:
        """What the words of an order find; raises as `Studio.select`."""
        return self._studio.select(order.photo, order.recipe, order.mask_image)

    def view(self, photo: File, mask_image: File, fields: dict[str, Any]) -> dict[str, Any]:
        """What a browser needs to draw the mask, or {"error": why there is none}."""
        try:
            order = self.order(photo, mask_image, fields)
            return mask_view(self.select(order).evidence, order.recipe)
        except MasqueradeError as error:
            return {"error": str(error)}

    def converted(self, photo: File, mask_image: File, fields: dict[str, Any]) -> Length:
        """The dilation that was given in the other unit, in this one.

        Raises:
            MasqueradeError: as `order` and `select`.
        """
        unit, short_side = Unit(fields["dilate_unit"]), 512
        if photo is not None:
            order = self.order(photo, mask_image, {**fields, "mask_dilate": 0})
            short_side = self.select(order).evidence.short_side
        return converted(fields["mask_dilate"], unit, short_side)

    def control_sheet(self, photo: File, mask_image: File, fields: dict[str, Any]) -> Pixels | None:
        """What guides the painting, all in one picture; None where nothing does.

        Raises:
            MasqueradeError: as `order` and `Studio.control_maps`.
        """
        order = self.order(photo, mask_image, fields)
        maps = self._studio.control_maps(order.photo, order.recipe, order.mask_image)
        return contact_sheet(list(maps.items()), len(maps)) if maps else None

    def paint_for_program(self, photo: object, recipe: object, mask_image: object) -> Answers:
        """Paint what somebody's program sent; see `order_of`.

        Yields:
            Files and a report: how far it is, without files, and at the end the pictures.

        Raises:
            MasqueradeError: as `order_of` and `paint`.
        """
        order = order_of(photo, recipe, mask_image, self._workplace.root)
        with closing(self.paint(order)) as events:
            for event in events:
                if isinstance(event, Progress):
                    yield [], event.report()
                elif isinstance(event, Result):
                    folder = self._workplace.folder(None)
                    count = range(len(event.images))
                    files = [event.save(folder / f"masquerade-{k}.png", k) for k in count]
                    yield files, event.report(order.notes)

    def mask_for_program(
        self, photo: object, recipe: object, mask_image: object
    ) -> tuple[Path, dict[str, Any]]:
        """The mask of what somebody's program sent, as a file and a report of the words.

        Raises:
            MasqueradeError: as `order_of` and `select`.
        """
        order = order_of(photo, recipe, mask_image, self._workplace.root)
        mask, report = mask_report(self.select(order), order.recipe)
        return save_png(mask, self._workplace.folder(None) / "masquerade-mask.png"), report

    def paint(self, order: Order, cancelled: Event | None = None) -> Work:
        """Paint an order; closing the generator, or setting `cancelled`, stops it within a step.

        Yields:
            `Progress` while it works, and a `Result` or, of a grid, a `GridResult` at the end.

        Raises:
            Cancelled: `cancelled` was set.
            ModelUnavailable: the style cannot be had; the built-in one is now the default.
            ModelFailed: something broke that should not; its sentence has the number of the job.
            MasqueradeError: as `Studio.paint`.
        """
        number, started, outcome = secrets.token_hex(4), time.perf_counter(), "left"
        try:
            with told(), closing(self._work(order)) as events:
                for event in events:
                    if cancelled is not None and cancelled.is_set():
                        raise Cancelled
                    if not isinstance(event, Progress):
                        outcome = "painted"
                    yield event
        except ModelUnavailable as error:
            outcome = type(error).__name__
            if order.recipe.style not in {None, *self._studio.catalog.style_by_key}:
                raise
            style = self._studio.fall_back(str(error))
            now = f"{error} The style is now {style.title}, which is built in."
            raise ModelUnavailable(now) from error
        except ModelFailed as error:
            outcome = _cause(error)
            if isinstance(error, PaintingFailed):
                raise
            raise _numbered(error, number) from error.__cause__
        except MasqueradeError as error:
            outcome = type(error).__name__
            raise
        finally:
            seconds = time.perf_counter() - started
            log.info("job %s: %s: %s in %.1f s", number, _size(order), outcome, seconds)

    def _in_use(self, path: str | Path) -> Photo:
        self._workplace.touch(Path(path))
        return self._shelf.photo(path)

    def _work(self, order: Order) -> Work:
        if order.grid is not None:
            return self._studio.paint_grid(order.photo, order.grid, order.mask_image)
        return self._studio.paint(order.photo, order.recipe, order.mask_image)


def _size(order: Order) -> str:
    """How much work it is."""
    width, height = order.photo.size
    pictures = order.recipe.num_images if order.grid is None else len(order.grid.cells)
    return f"{pictures} of {width}×{height} in {order.recipe.steps} steps"


def _cause(error: MasqueradeError) -> str:
    """What broke and where, without its text, which may hold somebody's words."""
    cause = error.__cause__
    if cause is None or cause.__traceback__ is None:
        return type(error).__name__
    place = extract_tb(cause.__traceback__)[-1]
    return f"{type(cause).__name__} at {Path(place.filename).name}:{place.lineno}"


def _numbered(error: ModelFailed, number: str) -> ModelFailed:
    return type(error)(f"{str(error).removesuffix('.')} (job {number}).")
