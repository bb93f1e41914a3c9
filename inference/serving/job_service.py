"""Runs requests of the page and of HTTP clients on the studio; numbers and logs each job.

Log lines are for the server's operator and hold no user data: no prompt, file name or picture.
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

from inference.errors import (
    Cancelled,
    InvalidPhoto,
    MasqueradeError,
    ModelFailed,
    ModelUnavailable,
    NotStored,
    PaintingFailed,
)
from inference.finishing.outpainter import on_wider_canvas
from inference.library.library import Library
from inference.library.records import Search, State
from inference.mask.browser_view import mask_view, matte_view, regions_view
from inference.mask.selection import Selection
from inference.picture import png_metadata
from inference.picture.contact_sheet import contact_sheet
from inference.picture.photo import Photo, Pixels
from inference.picture.photo_cache import PhotoCache
from inference.picture.png_metadata import Embedded
from inference.picture.progress import Progress
from inference.picture.result import Result
from inference.picture.url_fetch import fetch_file
from inference.recipe.recipe import CFG_SCALE, Recipe
from inference.runtime.library_errors import translated_errors
from inference.serving.form import recipe_of
from inference.serving.job_records import JobRecord
from inference.serving.options import Options
from inference.serving.owners import Owners, Visitor
from inference.serving.request import PaintRequest, grid_of
from inference.serving.result_files import File, ResultFiles
from inference.serving.temporary_files import TemporaryFiles
from inference.studio.grid import GridResult
from inference.studio.studio import Studio

log = logging.getLogger(__name__)

Events = Generator[Progress | Result | GridResult]


class JobService:
    """Reads photos and requests and runs them on the studio. Thread-safe.

    Args:
        studio: does the work.
        files: the temporary files of the running page.
        library: where jobs are kept; None keeps none.
        owners: tells whose a visitor's jobs are.
    """

    def __init__(
        self, studio: Studio, files: TemporaryFiles, library: Library | None = None,
        owners: Owners | None = None,
    ) -> None:  # fmt: skip
        self._studio = studio
        self.files = files
        self.library = library
        self.owners = owners or Owners(Options())
        self._photos = PhotoCache()

    def photo(self, path: File) -> Photo | None:
        """The photo in a file; None for no file.

        Raises:
            InvalidPhoto: the file is not a usable picture; also raised by the next methods.
        """
        return None if path is None else self._open(path)

    def fetch(self, url: str) -> Path | None:
        """Fetch the photo at a URL into a temporary file; None for an empty URL."""
        return self.store(fetch_file(url) if url else None)

    def embedded(self, path: File) -> Embedded | None:
        """The recipe and mask embedded in a picture file; None if there are none.

        Raises:
            InvalidRecipe: the embedded settings are damaged.
        """
        found = None if path is None else png_metadata.read(Path(path).read_bytes())
        if found is None or found.recipe.style in self._studio.catalog.style_by_key:
            return found
        return replace(found, recipe=found.recipe.model_copy(update={"style": None}))

    def store(self, picture: bytes | None) -> Path | None:
        """Write a picture file to a temporary file and check it; None for None.

        Raises:
            InvalidPhoto: it is not a picture.
        """
        if picture is None:
            return None
        path = self.files.keep(picture, None)
        self.photo(path)
        return path

    def request(
        self, photo: File, mask_image: File, fields: dict[str, Any], visitor: Visitor = None
    ) -> PaintRequest:
        """The request of a visitor for the page's form; see `form.recipe_of`.

        Raises:
            InvalidRecipe: a value is invalid.
        """
        if photo is None:
            raise InvalidPhoto("Choose a photo first, or pick an example.")
        given = dict(fields)
        styles, vary = given.pop("styles", None), given.pop("vary", None)
        recipe = recipe_of(given)
        resting = self._studio.style(recipe.style).cfg_scale if recipe.style else CFG_SCALE
        if recipe.cfg_scale == resting and (styles or not recipe.style):
            # The slider was not moved: each style uses its own default.
            recipe = recipe.model_copy(update={"cfg_scale": None})
        return PaintRequest(
            photo=self._open(photo),
            recipe=recipe,
            mask_image=self.photo(mask_image),
            grid=grid_of(recipe, styles, vary),
            photo_file=Path(photo),
            mask_file=None if mask_image is None else Path(mask_image),
            owner=self.owners.of(visitor),
        )

    def retouch_request(
        self, photo: File, mask_image: File, fields: dict[str, Any], shown: ResultFiles | None,
        visitor: Visitor = None,
    ) -> PaintRequest | None:  # fmt: skip
        """The request for the shown result with other grain or grading; None for other changes."""
        if shown is None or shown.recipe is None or shown.source != (photo, mask_image):
            return None
        try:
            fields = {**fields, "seed": str(shown.recipe.seed)}
            request = self.request(photo, mask_image, fields, visitor)
        except MasqueradeError:
            return None
        is_retouch = request.grid is None and request.recipe.is_retouch_of(shown.recipe)
        return replace(request, is_retouch=True) if is_retouch else None

    def select(self, request: PaintRequest) -> Selection:
        """The selection for a request; raises as `Studio.select`."""
        return self._studio.select(request.photo, request.recipe, request.mask_image)

    def newest_job(self, owner: str | None) -> str:
        """The number of an owner's newest painted job in the library; "" if there is none."""
        if self.library is None or owner is None:
            return ""
        wanted = Search(owner=owner, states=(State.DONE,), limit=1)
        try:
            return "".join(str(job.id) for job in self.library.search(wanted))
        except NotStored:
            return ""

    def canvas(self, photo: Path, mask_image: Path | None, recipe: Recipe) -> Pixels:
        """The photo's pixels on the canvas of a recipe's results, (H, W, 3).

        Raises:
            MasqueradeError: as `Studio.select`.
        """
        request = PaintRequest(
            photo=self._open(photo), recipe=recipe, mask_image=self.photo(mask_image)
        )
        return on_wider_canvas(self.select(request).picture(), recipe)

    def mask_view(self, photo: File, mask_image: File, fields: dict[str, Any]) -> dict[str, Any]:
        """The data of the live mask for the browser, or {"error": message}."""
        try:
            request = self.request(photo, mask_image, fields)
            return mask_view(self.select(request).detection, request.recipe)
        except MasqueradeError as error:
            return {"error": str(error)}

    def matte(self, photo: File, mask_image: File, fields: dict[str, Any]) -> dict[str, Any]:
        """The matte of the live mask for the browser; empty if there is none."""
        try:
            request = self.request(photo, mask_image, fields)
            matte = matte_view(self.select(request), request.recipe)
        except MasqueradeError:
            return {}  # `mask_view` tells the reason
        return {**matte, "strokes": fields["mask_strokes"]}

    def regions(self, photo: File, mask_image: File, fields: dict[str, Any]) -> dict[str, Any]:
        """What lies at the form's clicks, for the browser; empty after an error."""
        try:
            request = self.request(photo, mask_image, fields)
            selection = self.select(request)
        except MasqueradeError:
            return {}
        return regions_view(selection, request.recipe)

    def control_sheet(self, photo: File, mask_image: File, fields: dict[str, Any]) -> Pixels | None:
        """All control maps of the form's recipe in one picture; None without controls.

        Raises:
            MasqueradeError: as `request` and `Studio.control_maps`.
        """
        request = self.request(photo, mask_image, fields)
        maps = self._studio.control_maps(request.photo, request.recipe, request.mask_image)
        return contact_sheet(list(maps.items()), len(maps)) if maps else None

    def paint(self, request: PaintRequest, cancelled: Event | None = None) -> Events:
        """Paint a request; closing the generator or setting `cancelled` stops it within a step.

        Yields:
            `Progress` while it works, and one `Result` or, for a grid, one `GridResult`.

        Raises:
            Cancelled: `cancelled` was set.
            ModelUnavailable: the style is unavailable; the built-in one is now the default.
            ModelFailed: a model failed unexpectedly; the message has the number of the job.
            MasqueradeError: as `Studio.paint`.
        """
        with (
            JobRecord(self.library, request) as record,
            closing(self._logged(request, cancelled)) as work,
        ):
            for event in work:
                yield event if isinstance(event, Progress) else record.done(event)

    def _logged(self, request: PaintRequest, cancelled: Event | None) -> Events:
        """Paint, give errors the number of the job where it helps, and write a line in the log."""
        number, started, outcome = secrets.token_hex(4), time.perf_counter(), "left"
        try:
            with translated_errors(), closing(self._paint(request)) as events:
                for event in events:
                    if cancelled is not None and cancelled.is_set():
                        raise Cancelled
                    if not isinstance(event, Progress):
                        outcome = "painted"
                    yield event
        except ModelUnavailable as error:
            outcome = type(error).__name__
            if request.recipe.style not in {None, *self._studio.catalog.style_by_key}:
                raise
            raise self._fall_back(error) from error
        except ModelFailed as error:
            outcome = _cause(error)
            if isinstance(error, PaintingFailed):
                raise
            raise _with_number(error, number) from error.__cause__
        except MasqueradeError as error:
            outcome = type(error).__name__
            raise
        finally:
            seconds = time.perf_counter() - started
            log.info("job %s: %s: %s in %.1f s", number, _size(request), outcome, seconds)

    def _open(self, path: str | Path) -> Photo:
        self.files.touch(Path(path))
        return self._photos.photo(path)

    def _paint(self, request: PaintRequest) -> Events:
        if request.grid is not None:
            return self._studio.paint_grid(request.photo, request.grid, request.mask_image)
        return self._studio.paint(request.photo, request.recipe, request.mask_image)

    def _fall_back(self, error: ModelUnavailable) -> ModelUnavailable:
        """Make the built-in style the default; returns an error that says so."""
        style = self._studio.fall_back(str(error))
        return ModelUnavailable(f"{error} The style is now {style.title}, which is built in.")


def _size(request: PaintRequest) -> str:
    """Number and size of the pictures, and steps."""
    width, height = request.photo.size
    pictures = request.recipe.num_images if request.grid is None else len(request.grid.cells)
    return f"{pictures} of {width}×{height} in {request.recipe.steps} steps"


def _cause(error: MasqueradeError) -> str:
    """Type and source line of an error's cause; its message may hold user data and is left out."""
    cause = error.__cause__
    if cause is None or cause.__traceback__ is None:
        return type(error).__name__
    place = extract_tb(cause.__traceback__)[-1]
    return f"{type(cause).__name__} at {Path(place.filename).name}:{place.lineno}"


def _with_number(error: ModelFailed, number: str) -> ModelFailed:
    return type(error)(f"{str(error).removesuffix('.')} (job {number}).")
