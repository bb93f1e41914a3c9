"""The wider scene: a choice of shape and a frame to drag, which fill in the larger canvas."""

from __future__ import annotations

import json
from typing import Any, get_args

import gradio as gr

from inference.errors import MasqueradeError
from inference.page.components import LIVE, QUICK, Components, Update
from inference.picture.geometry import ASPECT_RATIOS, Canvas, Size
from inference.recipe.outpaint_settings import Anchor
from inference.recipe.recipe import Recipe
from inference.recipe.settings import MAX_SIDE
from inference.serving.form import UNSET
from inference.serving.job_service import JobService
from inference.serving.result_files import File

OFF = "As it is"
SHAPES = ("16:9", "21:9", "3:2", "1:1", "2:3", "9:16")
ANCHOR = "center"
#: The fields of the canvas.
FIELDS = ("outpaint", "outpaint_width", "outpaint_height")
FRAME = """
<div class="wider-frame" role="group" aria-label="The picture on its canvas">
  <button type="button" class="wf-picture" aria-label="Place of the picture: drag it, or use the
    arrow keys"></button>
  <output></output>
  <button type="button" class="wf-corner" aria-label="Size of the canvas: drag it, or use the
    arrow keys"></button>
</div>
"""


class WiderScene:
    """The choice of a shape, and the frame.

    Attributes:
        shape: the choice; it is no field of a recipe.
        frame: shows the picture on its canvas.
        asked: hidden; what was dragged, as JSON.
    """

    shape: gr.Dropdown
    frame: gr.HTML
    asked: gr.Textbox

    def layout(self, script: str) -> None:
        """Create the components.

        Args:
            script: of the frame.
        """
        self.shape = gr.Dropdown(
            [OFF, *SHAPES], value=OFF, label="Shape", elem_id="wider-shape",
            info="Fills in the canvas that has this shape and the picture on it.",
            elem_classes="recipe-field",
        )  # fmt: skip
        self.frame = gr.HTML(html_template=FRAME, elem_id="wider-scene", js_on_load=script)
        self.asked = gr.Textbox("", elem_id="wider-asked", container=False)

    def connect(self, page: Components, service: JobService) -> None:
        """Connect the choice and the frame, which fill in the fields of the canvas."""
        fields = page.fields
        canvas = [fields[name] for name in FIELDS]
        size = {name: fields[name] for name in ("w", "h", "ar")}

        def fill(photo: File, shape: str, outpaint: str, **values: Any) -> Update:
            anchor, wide = UNSET, ("", "")
            if shape != OFF:
                whole = canvas_of(picture_size(service, photo, values), ASPECT_RATIOS[shape])
                anchor = ANCHOR if outpaint == UNSET else outpaint
                wide = str(whole[0]), str(whole[1])
            return dict(zip(canvas, (anchor, *wide), strict=True))

        def show(photo: File, outpaint: str, **values: Any) -> dict[str, Any]:
            wide = tuple(number(values.pop(name)) for name in FIELDS[1:])
            picture = picture_size(service, photo, values)
            if outpaint == UNSET or wide[0] < picture[0] or wide[1] < picture[1]:
                return {}
            return {"anchor": outpaint, "canvas": wide, "picture": picture}

        given = {"photo": page.photo, "outpaint": fields["outpaint"], **size}
        self.shape.input(
            fill, inputs_kwargs={"shape": self.shape, **given}, outputs=canvas, **QUICK
        )
        changes = [*(one.change for one in canvas), *(one.change for one in size.values())]
        wide = {name: fields[name] for name in FIELDS[1:]}
        gr.on(
            [*changes, page.photo.change], show, inputs_kwargs={**given, **wide},
            outputs=self.frame, **LIVE,
        )  # fmt: skip
        self.asked.change(lambda text: dragged(text) or gr.skip(), self.asked, canvas, **QUICK)


def dragged(text: str) -> tuple[str, str, str] | None:
    """The fields' values that the frame asks for; None for what no frame would ask."""
    try:
        asked = json.loads(text)
        anchor, *sides = (asked[name] for name in FIELDS)
    except (ValueError, LookupError, TypeError, RecursionError):
        return None
    if anchor not in get_args(Anchor) or not all(type(one) is int for one in sides):
        return None
    width, height = (str(min(MAX_SIDE, one)) for one in sides)
    return anchor, width, height


def number(text: str) -> int:
    """The whole number in a field of the form; 0 for anything else."""
    return int(text) if text.strip().isdecimal() and len(text) < 6 else 0


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
