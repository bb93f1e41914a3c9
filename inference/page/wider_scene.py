"""The shape of a wider scene: a choice that fills in place and size of the larger canvas."""

from __future__ import annotations

from typing import Any

import gradio as gr

from inference.errors import MasqueradeError
from inference.page.components import QUICK, Components, Update
from inference.picture.geometry import ASPECT_RATIOS, Canvas, Size
from inference.recipe.recipe import Recipe
from inference.serving.form import UNSET
from inference.serving.job_service import JobService
from inference.serving.result_files import File

OFF = "As it is"
SHAPES = ("16:9", "21:9", "3:2", "1:1", "2:3", "9:16")
ANCHOR = "center"


class WiderScene:
    """The choice of a shape.

    Attributes:
        shape: the choice; it is no field of a recipe.
    """

    shape: gr.Dropdown

    def layout(self) -> None:
        """Create the choice."""
        self.shape = gr.Dropdown(
            [OFF, *SHAPES], value=OFF, label="Shape", elem_id="wider-shape",
            info="Fills in the canvas that has this shape and the picture on it.",
            elem_classes="recipe-field",
        )  # fmt: skip

    def connect(self, page: Components, service: JobService) -> None:
        """Connect the choice, which fills in the fields of the canvas."""
        fields = page.fields
        names = ("outpaint", "outpaint_width", "outpaint_height")
        given = {name: fields[name] for name in ("w", "h", "ar", "outpaint")}

        def fill(photo: File, shape: str, **values: Any) -> Update:
            anchor, size = UNSET, ("", "")
            if shape != OFF:
                wide = canvas_of(picture_size(service, photo, values), ASPECT_RATIOS[shape])
                anchor = ANCHOR if values["outpaint"] == UNSET else values["outpaint"]
                size = str(wide[0]), str(wide[1])
            return dict(zip((fields[name] for name in names), (anchor, *size), strict=True))

        self.shape.input(
            fill, inputs_kwargs={"photo": page.photo, "shape": self.shape, **given},
            outputs=[fields[name] for name in names], **QUICK,
        )  # fmt: skip


def picture_size(service: JobService, photo: File, values: dict[str, Any]) -> Size:
    """The size of the picture that the form's photo and size give; of a square without a photo."""
    try:
        opened = service.photo(photo)
        given = {name: None if values[name] == UNSET else values[name] for name in ("w", "h", "ar")}
        whole = (1024, 1024) if opened is None else opened.size
        return Canvas.plan(whole, Recipe.parse(given), (0.5, 0.5)).size
    except MasqueradeError:
        return (1024, 1024)


def canvas_of(picture: Size, ratio: float) -> Size:
    """The smallest canvas of an aspect ratio that holds a picture."""
    return max(picture[0], round(picture[1] * ratio)), max(picture[1], round(picture[0] / ratio))
