"""HTTP endpoints /paint and /mask, published through Gradio's API."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from typing import Any

import gradio as gr

from inference.library.records import Origin
from inference.mask.browser_view import mask_report
from inference.picture.image_files import save_png
from inference.picture.progress import Progress
from inference.picture.result import Result
from inference.serving.gradio_errors import shown_errors
from inference.serving.job_service import JobService
from inference.serving.request import request_of
from inference.serving.temporary_files import TemporaryFiles

#: Names of the endpoints with their parameters.
ENDPOINTS = dict.fromkeys(("paint", "mask"), ("photo", "recipe", "mask_image"))

Upload = gr.FileData | None
RecipeInput = str | dict[str, Any]


class HttpApi:
    """The functions of the endpoints; Gradio publishes their signatures and docstrings.

    Args:
        service: runs the requests.
        files: where uploads are, and where pictures are written.
    """

    def __init__(self, service: JobService, files: TemporaryFiles) -> None:
        self._service = service
        self._files = files

    def connect(self, **queue: Any) -> None:
        """Add the endpoints to the current Blocks.

        Args:
            queue: Gradio's queue settings of /paint.
        """
        gr.events.api(self.paint, api_name="paint", **queue)
        gr.events.api(self.mask, api_name="mask")

    def paint(
        self, visitor: gr.Request, photo: Upload = None, recipe: RecipeInput = "",
        mask_image: Upload = None,
    ) -> Iterator[dict[str, Any]]:  # fmt: skip
        """Repaint a photo. `recipe` is a prompt block, or the fields of a recipe.

        Gives how far it is and, at the end, the images, the seed, and how many kept pixels changed.
        """
        with shown_errors():
            request = request_of(photo, recipe, mask_image, self._files.root)
            owner = self._service.owners.of(visitor)
            request = replace(request, owner=owner, origin=Origin.COMMAND)
            with closing(self._service.paint(request)) as events:
                for event in events:
                    if isinstance(event, Progress):
                        yield {"images": [], **event.report()}
                    elif isinstance(event, Result):
                        yield {"images": self._save(event), **event.report(request.notes)}

    def mask(
        self, photo: Upload = None, recipe: RecipeInput = "", mask_image: Upload = None
    ) -> dict[str, Any]:
        """The mask of a photo, white where it would be repainted, and how sure each word is."""
        with shown_errors():
            request = request_of(photo, recipe, mask_image, self._files.root)
            picture, report = mask_report(self._service.select(request), request.recipe)
            file = save_png(picture, self._files.folder(None) / "masquerade-mask.png")
        return {"images": [gr.FileData(path=str(file))], **report}

    def _save(self, result: Result) -> list[gr.FileData]:
        folder = self._files.folder(None)
        paths = (result.save(folder / f"masquerade-{k}.png", k) for k in range(len(result.images)))
        return [gr.FileData(path=str(path)) for path in paths]
