"""The page's components by name, and the component of each recipe field."""

from __future__ import annotations

from typing import Any

import gradio as gr
from gradio.data_classes import ImageData

from inference.recipe.length import Length, Unit
from inference.recipe.recipe import Recipe

#: New values of components, as a Gradio handler returns them.
Update = dict[Any, Any]

# Gradio event settings: hidden from the API; run outside the queue; repeated for the last value.
PRIVATE: dict[str, Any] = {"api_visibility": "private"}
QUICK: dict[str, Any] = {"queue": False, "show_progress": "hidden", **PRIVATE}
LIVE: dict[str, Any] = {**QUICK, "trigger_mode": "always_last"}
# All events that paint share one queue, which runs one at a time.
PAINTER_QUEUE: dict[str, Any] = {"concurrency_id": "painter", "concurrency_limit": 1}

# Tells the mask's script of a new value of a hidden component.
HAND_OVER = """
watch("value", () => document.dispatchEvent(new CustomEvent("%s", { detail: props.value })));
"""


class Components:
    """The components that handlers read and update; app.py creates and lays them out.

    Attributes:
        photo: state, path of the photo.
        mask_image: state, path of the mask image.
        shown_results: state, `ResultFiles` on screen.
        cancelled: state, the running job's cancellation event.
        shown_job: hidden, the number of the library's job on screen; "" for none.
        fields: component of each recipe field, by its name.
        dilate_unit: unit of the slider `mask_dilate`.
    """

    photo: gr.State
    mask_image: gr.State
    shown_results: gr.State
    cancelled: gr.State
    shown_job: gr.Textbox
    status: gr.HTML
    why: gr.Button
    health_panel: gr.Column
    health: gr.HTML
    close_health: gr.Button
    timer: gr.Timer
    # photo and mask
    upload: gr.Image
    photo_view: gr.Column
    mask: gr.HTML
    matte: gr.HTML
    regions: gr.HTML
    change_photo: gr.Button
    gallery: gr.Dataset
    mask_file: gr.File
    fields: dict[str, Any]
    dilate_unit: gr.Radio
    # prompt and job
    pasted: gr.Textbox
    generate: gr.Button
    cancel: gr.Button
    job: gr.HTML
    # results
    forming: gr.Image
    compare: gr.ImageSlider
    strip: gr.Gallery
    download: gr.DownloadButton
    control_map: gr.Image
    show_map: gr.Button
    # comparing, and prompt blocks
    styles: gr.Dropdown
    vary: gr.Textbox
    write_block: gr.Button
    block: gr.Textbox
    read_block: gr.Button
    block_examples: gr.Dataset

    def status_corner(self, status: str) -> None:
        """Create the status, and the panel that says why it is as it is."""
        with gr.Column(elem_id="corner"):
            self.status = gr.HTML(status, elem_id="status")
            self.why = gr.Button("Why?", size="sm", elem_id="why")
        self.shown_job = gr.Textbox("", elem_id="shown-job", container=False)
        with gr.Column(visible=False, elem_id="health-panel") as self.health_panel:
            self.close_health = gr.Button("Close", size="sm", elem_id="close-health")
            self.health = gr.HTML(elem_id="health")

    def mask_canvas(self, template: str, script: str) -> None:
        """Create the live mask, and hidden components for what the server sends it later."""
        self.mask = gr.HTML(html_template=template, elem_id="mask", js_on_load=script)
        self.matte, self.regions = (
            gr.HTML(html_template="<i></i>", elem_id=name, js_on_load=HAND_OVER % name)
            for name in ("matte", "regions")
        )

    def control_preview(self) -> None:
        """Create the control map, and the button that draws it without painting."""
        self.control_map = gr.Image(
            format="jpeg", interactive=False, height=220, label="Control map", buttons=[],
            elem_id="control-map",
        )  # fmt: skip
        self.show_map = gr.Button("Show it now", size="sm", elem_id="show-map")

    def block_fold(self, examples: list[str]) -> None:
        """Create the prompt block's field and buttons, and the names of example blocks."""
        self.write_block = gr.Button("Write all settings as a block", size="sm", elem_id="write")
        self.block = gr.Textbox(
            label="Block", lines=6, max_lines=12, buttons=["copy"], elem_id="block",
            info="Text, flags and one field=value a line. Change it here, or paste one into "
            "the prompt: it runs as it is.",
        )  # fmt: skip
        self.read_block = gr.Button("Take the settings of this block", size="sm", elem_id="read")
        self.block_examples = gr.Dataset(
            components=[gr.Textbox(visible=False)], type="index", label="To begin with",
            samples=[[name] for name in examples], elem_id="recipes",
        )  # fmt: skip

    def form(self) -> dict[str, Any]:
        """The components of all recipe fields with the dilation's unit, as a handler's inputs."""
        return {**self.fields, "dilate_unit": self.dilate_unit}

    def request(self) -> dict[str, Any]:
        """The inputs of a handler that needs photo, mask image and form."""
        return {"photo": self.photo, "mask_image": self.mask_image, **self.form()}


def recipe_component(name: str, value: Any, menu: list[tuple[str, str]] | None, **look: Any) -> Any:
    """The component of a recipe field; label, help text, range and step are the field's.

    Args:
        name: name of the field.
        value: initial value.
        menu: labels and values to choose from; None for a field without a menu.
        look: Gradio settings that replace those made here, such as `scale`.
    """
    field = Recipe.model_fields[name]
    limits = {type(rule).__name__.lower(): rule for rule in field.metadata}
    settings = {"label": field.title, "elem_id": name, "value": value, **look}
    settings["elem_classes"] = "recipe-field"
    if look.get("container", True):
        settings["info"] = field.description
    if name == "mask_dilate":
        limit = Length.LIMITS[field.default.unit]
        return gr.Slider(-limit, limit, step=0.5, buttons=[], **settings)
    if menu is not None:
        return gr.Dropdown(menu, **settings)
    if field.annotation is bool:
        return gr.Checkbox(**settings)
    if field.annotation is str:
        return gr.Textbox(**settings)
    if isinstance(field.json_schema_extra, dict):
        step = {"step": field.json_schema_extra["step"], "buttons": []}
        return gr.Slider(limits["ge"].ge, limits["le"].le, **(step | settings))
    # Not gr.Number, which turns an empty field into 0 when it loses the focus.
    return gr.Textbox(**settings, max_lines=1)


def unit_component(default: Length) -> gr.Radio:
    """The choice of the dilation's unit."""
    return gr.Radio(
        [unit.value for unit in Unit], value=default.unit.value, show_label=False,
        container=False, elem_id="mask_dilate_unit",
    )  # fmt: skip


def length_update(length: Length) -> gr.Slider:
    """The update that sets a slider to a length and to its unit's range."""
    limit = Length.LIMITS[length.unit]
    return gr.Slider(-limit, limit, value=round(length.value, 1))


def _uploaded_path(_component: gr.Image, payload: ImageData | None) -> str | None:
    """The path of an uploaded file, which Gradio does not decode: only `Photo.open` does."""
    return None if payload is None else payload.path


# A subclass of gr.Image, because Gradio makes a new component of the same class for each visitor to
# whom something about it changes. Made without Gradio's metaclass, which writes a stub file.
PhotoUpload: type[gr.Image] = type.__new__(
    type(gr.Image), "PhotoUpload", (gr.Image,),
    {"is_template": True, "preprocess": _uploaded_path},
)  # fmt: skip
