"""Records of running jobs in the library: accepted before they begin, and how they ended."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from types import TracebackType

from inference.errors import Cancelled, InvalidPhoto, MasqueradeError, ModelFailed, NotStored
from inference.library.address import Shared
from inference.library.library import Library
from inference.library.limits import DAY, GIGABYTE, Limits
from inference.library.pictures import outcome_of
from inference.library.records import NewJob, Search, State
from inference.picture.file_header import without_metadata
from inference.picture.image_files import encode_png
from inference.picture.photo import Photo
from inference.picture.result import Result
from inference.recipe.prompt_block import parse
from inference.recipe.recipe import Recipe
from inference.serving.options import Options
from inference.serving.request import PaintRequest, Source
from inference.studio.grid import GridResult

log = logging.getLogger(__name__)

LEFT = "The page was closed before this was painted."


@contextmanager
def opened_library(options: Options) -> Iterator[Library | None]:
    """The library of a server; None where it is off or cannot be used, which the log says.

    Raises:
        SystemExit: a shared one cannot be used; whoever runs many servers starts this one again.
    """
    library = None
    if options.library is not None:
        size, days = options.library_size, options.library_days
        limits = Limits(size=round(size * GIGABYTE), age=None if days is None else days * DAY)
        try:
            library = Library(options.library, limits)
        except MasqueradeError as error:
            if isinstance(options.library, Shared):
                raise SystemExit(str(error)) from error
            log.warning("%s This server keeps no library.", error)
        else:
            for note in library.notes:
                log.warning(note)
    try:
        yield library
    finally:
        if library is not None:
            library.close()


class JobRecord:
    """Context of a job that runs: it is in the library before, and its end afterwards.

    A grid is one job for each cell. A job that cannot be stored runs all the same, and its result
    says so. A job of the queue that is broken off goes back into the queue.

    Args:
        library: the library; None keeps nothing.
        request: the job.
    """

    def __init__(self, library: Library | None, request: PaintRequest) -> None:
        self._library, self._request = library, request
        self._jobs: list[int] = []
        self._remark = ""

    def __enter__(self) -> JobRecord:
        """Store the job, unless it is in the library already."""
        request = self._request
        if self._library is None or request.owner is None:
            return self
        if request.stored is not None:
            self._jobs = [request.stored]
            return self
        try:
            for recipe in _recipes(request):
                new = new_job(request, request.owner, recipe)
                self._jobs.append(self._library.accept(new, running=True).id)
        except NotStored as error:
            self._remark = f"Not kept: {error}"
        return self

    def done(self, event: Result | GridResult) -> Result | GridResult:
        """Store a result; returns it, with a remark where it could not be stored."""
        if self._library is not None and self._jobs:
            try:
                self._store(self._library, event)
            except NotStored as error:
                self._remark = f"Not kept: {error}"
                for job in self._jobs:
                    self._library.fail(job, str(error))
        return replace(event, remarks=(self._remark,)) if self._remark else event

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        """Store how the job ended; jobs whose results are stored stay as they are."""
        if self._library is None or error is None:
            return
        for job in self._jobs:
            if isinstance(error, Cancelled):
                self._library.cancel(job, str(error))
            elif isinstance(error, MasqueradeError):
                self._library.fail(job, str(error))
            elif not isinstance(error, GeneratorExit):
                self._library.fail(job, str(ModelFailed()))
            elif self._request.stored is None:
                self._library.cancel(job, LEFT)
            else:
                with suppress(NotStored):  # it is painted again after the next start
                    self._library.requeue(job)

    def _store(self, library: Library, event: Result | GridResult) -> None:
        """Store a result, or those of a grid's cells and why the others failed."""
        if isinstance(event, Result):
            library.finish(self._jobs[0], outcome_of(event))
            if self._request.is_retouch:
                self._drop_retouched(library, event.recipe)
            return
        for job, cell, result in zip(self._jobs, event.grid.cells, event.results, strict=True):
            if result is None:
                library.fail(job, event.failures[cell.label])
            else:
                library.finish(job, outcome_of(result))

    def _drop_retouched(self, library: Library, recipe: Recipe) -> None:
        """Delete the job before this one, if this is a retouched picture of it."""
        owner = self._request.owner or ""
        wanted = Search(owner=owner, states=(State.DONE,), before=self._jobs[0], limit=1)
        for job in library.search(wanted):
            if not job.starred and recipe.is_retouch_of(parse(job.recipe).recipe):
                library.delete(owner, job.id)


def new_job(request: PaintRequest, owner: str, recipe: Recipe) -> NewJob:
    """The job for the library; of its files, JPEGs are without place, time and camera."""
    mask = request.mask_image
    return NewJob(
        owner=owner,
        origin=request.origin,
        recipe=recipe,
        photo=_file(request.photo_file, request.photo),
        mask=None if mask is None else _file(request.mask_file, mask),
        notes=request.notes,
    )


def _recipes(request: PaintRequest) -> list[Recipe]:
    if request.grid is None:
        return [request.recipe]
    return [cell.recipe for cell in request.grid.cells]


def _file(source: Source, photo: Photo) -> bytes:
    """The file of a photo; a new one where it is gone."""
    try:
        data = source.read_bytes() if isinstance(source, Path) else source
        return encode_png(photo.pixels) if data is None else without_metadata(data)
    except (OSError, InvalidPhoto):
        return encode_png(photo.pixels)
