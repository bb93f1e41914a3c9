"""Gradio event handlers for jobs: start, progress, cancel, retouch, results."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from threading import Event
from typing import Any

import gradio as gr

from inference.errors import Cancelled, MasqueradeError, ModelUnavailable
from inference.page.components import (
    PAINTER_QUEUE,
    PRIVATE,
    QUICK,
    Components,
    Update,
)
from inference.page.html import message_html, progress_html, result_html, status_html
from inference.page.model_status import ModelStatus
from inference.picture.photo import Pixels
from inference.picture.progress import Progress
from inference.picture.result import Result
from inference.recipe.finish_settings import RETOUCH
from inference.serving.gradio_errors import shown_errors
from inference.serving.guard import BUSY
from inference.serving.job_service import JobService
from inference.serving.request import PaintRequest
from inference.serving.result_files import File, PreviewFiles, ResultFiles
from inference.serving.temporary_files import TemporaryFiles
from inference.studio.grid import GridResult


class JobHandlers:
    """Handlers that run jobs and show them.

    Args:
        page: the components.
        status: the state of the models.
        service: runs the requests.
        files: where previews and results are written.
    """

    def __init__(
        self, page: Components, status: ModelStatus, service: JobService, files: TemporaryFiles
    ) -> None:
        self._page = page
        self._status = status
        self._service = service
        self._files = files

    def connect(self) -> None:
        """Connect the events of the components."""
        page = self._page
        shown: list[Any] = [
            page.generate, page.cancel, page.cancelled, page.job, *results_components(page),
            page.fields["style"], page.fields["cfg_scale"], page.status,
        ]  # fmt: skip
        inputs = {
            "cancelled": page.cancelled, "before": page.shown_results, "styles": page.styles,
            "vary": page.vary, **page.request(),
        }  # fmt: skip
        job = {"inputs_kwargs": inputs, "outputs": shown, "show_progress_on": page.job}
        job |= {"show_progress": "minimal", **PAINTER_QUEUE, **PRIVATE}
        retouched = [page.fields[name] for name in RETOUCH]
        edited = [one.blur if isinstance(one, gr.Textbox) else one.input for one in retouched]
        gr.on(edited, self.retouch, **job)
        started: list[Any] = [page.cancelled, page.generate, page.cancel, page.job]
        gr.on(
            [page.generate.click, page.fields["prompt"].submit], self.begin, None, started, **QUICK
        ).then(self.run_job, **job).failure(self.refuse, None, shown, **QUICK)
        page.cancel.click(self.stop, page.cancelled, page.cancel, **QUICK)
        page.show_map.click(
            self.show_control_maps,
            inputs_kwargs=page.request(),
            outputs=page.control_map,
            **PRIVATE,
        )
        chosen = [page.compare, page.download]
        page.strip.select(self.choose, page.shown_results, chosen, **QUICK)

    # --- handlers ----------------------------------------------------------------------------

    def begin(self) -> Update:
        """Prepare a job, which the Cancel button can stop also while it waits in the queue."""
        return {
            self._page.cancelled: Event(),
            self._page.generate: gr.update(interactive=False),
            self._page.cancel: gr.update(interactive=True),
            self._page.job: message_html("Waiting for its turn"),
        }

    def stop(self, cancelled: Event | None) -> Update:
        """Cancel the job; it stops within a step and reports it."""
        if cancelled is not None:
            cancelled.set()
        return gr.update(interactive=False)

    def refuse(self) -> Update:
        """Report a full queue."""
        return {**self._idle(), self._page.job: message_html(BUSY, "alert")}

    def run_job(
        self, request: gr.Request, photo: File, mask_image: File, cancelled: Event,
        before: ResultFiles | None, **fields: Any,
    ) -> Iterator[Update]:  # fmt: skip
        """Run the form's job, and show its progress and results."""
        try:
            asked = self._service.request(photo, mask_image, fields, request)
        except MasqueradeError as error:
            yield self._failed(error, before)
        else:
            folder = self._files.folder(request.session_hash)
            yield from self._run(asked, (photo, mask_image), folder, cancelled, before)

    def retouch(
        self, request: gr.Request, photo: File, mask_image: File, cancelled: Event | None,
        before: ResultFiles | None, **fields: Any,
    ) -> Iterator[Update]:  # fmt: skip
        """Redo grain and grading of the shown result, if no job runs and no other field changed."""
        asked = None
        if cancelled is None:
            asked = self._service.retouch_request(photo, mask_image, fields, before, request)
        if asked is None:
            yield {self._page.job: gr.skip()}
        else:
            folder = self._files.folder(request.session_hash)
            yield from self._run(asked, (photo, mask_image), folder, Event(), before)

    def show_control_maps(self, photo: File, mask_image: File, **fields: Any) -> Pixels | None:
        """The control maps of the form, without painting."""
        with shown_errors():
            return self._service.control_sheet(photo, mask_image, fields)

    def choose(self, results: ResultFiles, event: gr.SelectData) -> tuple[Any, Any]:
        """Compare the chosen picture with the input, and offer it for download."""
        pair = (results.shown[0], results.shown[event.index])
        return pair, gr.update(value=results.files[event.index])

    def leave(self, request: gr.Request) -> None:
        """Release the files of a closed browser tab."""
        self._files.end_session(request.session_hash)

    # --- one job -----------------------------------------------------------------------------

    def _run(
        self, asked: PaintRequest, source: tuple[File, File], folder: Path, cancelled: Event,
        before: ResultFiles | None,
    ) -> Iterator[Update]:  # fmt: skip
        previews, is_done = PreviewFiles(folder), False
        try:
            with closing(self._service.paint(asked, cancelled)) as events:
                for event in events:
                    if isinstance(event, Progress):
                        yield self._in_progress(event, previews)
                    else:
                        results = ResultFiles.of(event, folder, source)
                        number = self._service.newest_job(asked.owner)
                        update = self._done(event, results, number)
                        is_done = True
                        yield update
                        self._files.delete_later(before.folder if before else None)
        except MasqueradeError as error:
            yield self._failed(error, before)
        finally:
            if not is_done:
                self._files.drop(folder)

    def _in_progress(self, progress: Progress, previews: PreviewFiles) -> Update:
        page = self._page
        self._status.follow(progress)
        status = status_html(self._status)
        update: Update = {page.job: progress_html(progress), page.status: status}
        if progress.preview is not None:
            update[page.forming] = gr.update(value=previews.add(progress.preview), visible=True)
            update[page.compare] = gr.update(visible=False)
        if progress.control_map is not None:
            update[page.control_map] = previews.keep("control-map", progress.control_map)
        return update

    def _done(self, done: Result | GridResult, results: ResultFiles, number: str) -> Update:
        return {
            **self._idle(),
            **results_update(self._page, results, number),
            self._page.job: result_html(done),
        }

    def _failed(self, error: MasqueradeError, before: ResultFiles | None) -> Update:
        """The update that shows an error, and the previous results if there are any."""
        page = self._page
        role = "status" if isinstance(error, Cancelled) else "alert"
        style = self._status.studio.style() if isinstance(error, ModelUnavailable) else None
        return {
            **self._idle(),
            page.job: message_html(str(error), role),
            page.forming: gr.update(value=None, visible=before is None),
            page.compare: gr.update(visible=before is not None),
            page.fields["style"]: gr.skip() if style is None else style.key,
            page.fields["cfg_scale"]: gr.skip() if style is None else style.cfg_scale,
        }

    def _idle(self) -> Update:
        """The update that makes the controls ready for the next job."""
        self._status.follow(None)
        return {
            self._page.status: status_html(self._status),
            self._page.generate: gr.update(interactive=True),
            self._page.cancel: gr.update(interactive=False),
            self._page.cancelled: None,
        }


def results_components(page: Components) -> list[Any]:
    """The components that `results_update` updates."""
    return [
        page.forming, page.compare, page.strip, page.download, page.control_map,
        page.shown_results, page.shown_job,
    ]  # fmt: skip


def results_update(page: Components, results: ResultFiles, job: str) -> Update:
    """The update that shows the results of a job, and offers the first one for download."""
    first = results.first
    return {
        page.forming: gr.update(value=None, visible=False),
        page.compare: gr.update(value=(results.shown[0], results.shown[first]), visible=True),
        page.strip: gr.update(
            value=list(zip(results.shown, results.captions, strict=True)),
            selected_index=first, visible=True,
        ),
        page.download: gr.update(value=results.files[first], visible=True),
        page.control_map: results.control_map,
        page.shown_results: results,
        page.shown_job: job,
    }  # fmt: skip
