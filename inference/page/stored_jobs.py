"""Puts a job of the library back on the page: photo, mask image, settings and results."""

from __future__ import annotations

from pathlib import Path

import gradio as gr

from inference.errors import InvalidRecipe, MasqueradeError
from inference.finishing.outpainter import on_wider_canvas
from inference.library.library import Library
from inference.library.records import State, StoredJob
from inference.page.components import Components, Update
from inference.page.html import stored_html
from inference.page.inputs import InputHandlers
from inference.page.jobs import results_update
from inference.picture.compositing import resize
from inference.picture.geometry import Canvas
from inference.picture.photo import Photo, Pixels
from inference.recipe.prompt_block import parse
from inference.serving.job_service import JobService
from inference.serving.result_files import ResultFiles

MAX_DIGITS = 19  # of a job's number


class StoredJobs:
    """Jobs of the library for the page.

    Args:
        page: the components of the page.
        service: has the temporary files, and tells whose a visitor's jobs are.
        library: where the jobs are kept.
        inputs: opens photos and fills in the form.
    """

    def __init__(
        self, page: Components, service: JobService, library: Library, inputs: InputHandlers
    ) -> None:
        self._page, self._inputs = page, inputs
        self._service, self._library = service, library

    def restore(self, request: gr.Request, number: str) -> Update:
        """After a reload of the tab, show what it showed before."""
        owner = self._service.owners.of(request)
        try:
            if owner is not None and number.isdecimal() and len(number) < MAX_DIGITS:
                job = self._library.get(owner, int(number))
                if job is not None and job.state is State.DONE:
                    return self.whole(request, job)
        except MasqueradeError:
            pass  # an empty page is no worse than a message about the last one
        return {self._page.job: gr.skip()}

    def whole(self, visitor: gr.Request, job: StoredJob) -> Update:
        """The update that shows a job as it was when it ended.

        Raises:
            MasqueradeError: a file cannot be read, or the recipe is invalid in this version.
        """
        page, recipe = self._page, parse(job.recipe).recipe
        photo = self._copied(job.photo)
        mask = None if job.mask is None else self._copied(job.mask)
        pictures = [self._library.read(name) for name in job.pictures]
        results = ResultFiles.of_stored(
            pictures, recipe, self._service.canvas(photo, mask, recipe),
            self._service.files.folder(visitor.session_hash), (str(photo), mask and str(mask)),
        )  # fmt: skip
        return {
            **self._inputs.opened(str(photo)),
            **self._inputs.filled(recipe),
            page.mask_image: mask and str(mask),
            **results_update(page, results, str(job.id)),
            page.job: stored_html(job, 0),
        }

    def original(self, job: StoredJob) -> Pixels:
        """The photo on the canvas of a job's results, cropped around its centre, (H, W, 3).

        Unlike `JobService.canvas` it looks for nothing in the photo. A recipe that this version
        refuses leaves the photo as it is.

        Raises:
            MasqueradeError: the photo cannot be read.
        """
        photo = Photo.open(self._library.read(job.photo))
        try:
            recipe = parse(job.recipe).recipe
            canvas = Canvas.plan(photo.size, recipe, (0.5, 0.5))
            cropped = resize(photo.pixels[canvas.box.slices], canvas.size)
            return on_wider_canvas(cropped, recipe)
        except InvalidRecipe:
            return photo.pixels

    def as_photo(self, name: str) -> Update:
        """The update that opens a picture of the library as the photo."""
        return self._inputs.opened(str(self._copied(name)))

    def _copied(self, name: str) -> Path:
        """A temporary copy of a picture of the library."""
        file = self._service.store(self._library.read(name))
        assert file is not None
        return file
