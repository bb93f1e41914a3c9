"""The page: Gradio components, and handlers that hand a recipe to the studio. No tensors here."""

from __future__ import annotations

import argparse
import logging
import os
import tempfile
import tomllib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from threading import Event
from typing import Any

import gradio as gr
from gradio.data_classes import ImageData

from inference import MasqueradeError, Photo, Progress, Recipe, Result, Studio
from inference.catalog import Catalog
from inference.errors import Cancelled, InvalidPhoto, ModelUnavailable
from inference.exhibit import Exhibit
from inference.form import UNSET, control_menu, menus, recipe_of
from inference.fragments import job_html, message_html, result_html, status_html
from inference.mask_view import mask_view
from inference.photo import MAX_BYTES
from inference.recipe import Length, Unit
from inference.warmth import Warmth

ASSETS = Path(__file__).parent / "assets"
EXAMPLES = ASSETS / "examples"
QUEUE = 20
TITLE = "Masquerade"
TAGLINE = "Puts a person, untouched, into any scene."
FIRST_STEPS = "Pick an example or drop a photo, say where it should be, and press Generate."
PRIVATE: dict[str, Any] = {"api_visibility": "private"}
ORDER = "words → minus «but not» → threshold, without specks → brush → invert → dilate → feather"
WORDS = ("mask_prompt", "mask_negative", "mask_invert")
MASK_CANVAS = ("mask_math.js", "mask_canvas.js", "mask_tools.js", "mask_words.js")

QUICK: dict[str, Any] = {"queue": False, "show_progress": "hidden", **PRIVATE}
LIVE: dict[str, Any] = {**QUICK, "trigger_mode": "always_last"}

Update = dict[Any, Any]


def path_of(payload: ImageData | None) -> str | None:
    """The path of an uploaded file as it came, because `Photo.open` is the only decoder."""
    return None if payload is None else payload.path


def asset(name: str) -> str:
    """The text of a file of ours."""
    return (ASSETS / name).read_text(encoding="utf-8")


class Page:
    """The components, and what happens between them."""

    def __init__(self, studio: Studio, warmth: Warmth) -> None:
        self.studio = studio
        self.warmth = warmth
        self.knobs: dict[str, Any] = {}
        self.examples = tomllib.loads(asset("examples/examples.toml"))["example"]

    def build(self) -> Any:
        """Lay out the page and connect it."""
        with gr.Blocks(
            title=TITLE, fill_width=True, analytics_enabled=False, delete_cache=(3600, 86400)
        ) as blocks:
            self.photo, self.mask_image = gr.State(), gr.State()
            self.pictures, self.cancelled = gr.State(), gr.State()
            with gr.Row(elem_id="header"):
                gr.HTML(f"<h1>{TITLE}</h1><p>{TAGLINE}</p>", elem_id="title")
                self.status = gr.HTML(status_html(self.warmth), elem_id="status")
            with gr.Column(elem_id="work"):
                self._photo_column()
                self._prompt_row()
                self._result_column()
            self._folds()
            self._timer = gr.Timer(0.5)
            self._connect()
        blocks.queue(max_size=QUEUE)
        return blocks

    # --- layout ------------------------------------------------------------------------------

    def _photo_column(self) -> None:
        with gr.Column(elem_id="photo-column"):
            self.upload = gr.Image(
                type="filepath", sources=["upload", "clipboard"], label="Photo", height=330,
                elem_id="upload", placeholder=FIRST_STEPS,
            )  # fmt: skip
            self.upload.preprocess = path_of  # type: ignore[method-assign]
            with gr.Column(visible=False, elem_id="looking") as self.looking:
                self.mask = gr.HTML(
                    html_template=asset("mask_canvas.html"), elem_id="mask",
                    js_on_load="\n".join(map(asset, MASK_CANVAS)),
                )  # fmt: skip
                self.change = gr.Button("Change photo", size="sm", elem_id="change")
            self.gallery = gr.Dataset(
                components=[gr.Image(visible=False)],
                samples=[[str(EXAMPLES / one["file"])] for one in self.examples],
                type="index", label="Examples", elem_id="examples",
            )  # fmt: skip
            with gr.Row(elem_classes="tight"):
                self._knob("mask_prompt", scale=3)
                self._knob("mask_negative", scale=3)
                self._knob("mask_invert", scale=1, min_width=90)
            with gr.Row(elem_id="main-sliders", elem_classes="tight"):
                for name in ("mask_dilate", "denoising_strength", "cfg_scale"):
                    with gr.Column(min_width=150):
                        self._knob(name)
            gr.HTML(f"<p class='hint order'>{ORDER}</p>", elem_id="order")
            self._knob("mask_strokes")

    def _prompt_row(self) -> None:
        with gr.Row(elem_id="prompt-row", elem_classes="tight"):
            self._knob("prompt", scale=8, lines=1, container=False,
                       placeholder="A portrait wearing a yellow spacesuit, space")  # fmt: skip
            self._knob("style", scale=2, container=False)
            self.generate = gr.Button("Generate", variant="primary", scale=1, min_width=110,
                                      elem_id="generate")  # fmt: skip
            self.cancel = gr.Button("Cancel", interactive=False, scale=1, min_width=90,
                                    elem_id="cancel")  # fmt: skip

    def _result_column(self) -> None:
        with gr.Column(elem_id="result-column"):
            self.forming = gr.Image(
                format="jpeg", interactive=False, height=430, label="Result", buttons=[],
                elem_id="forming",
            )  # fmt: skip
            self.compare = gr.ImageSlider(
                format="jpeg", interactive=False, max_height=428, visible=False, elem_id="compare",
                label="Before / after", buttons=["fullscreen"],
            )  # fmt: skip
            self.job = gr.HTML(elem_id="job")
            self.strip = gr.Gallery(
                format="jpeg", columns=6, rows=1, height=150, allow_preview=False, visible=False,
                show_label=False,
                interactive=False, label="Input, mask and results: choose one to compare",
                buttons=[], elem_id="strip", object_fit="contain",
            )  # fmt: skip
            self.download = gr.DownloadButton(
                "Download PNG", visible=False, elem_id="download", size="sm"
            )

    def _folds(self) -> None:
        with gr.Row(elem_id="folds"):
            with gr.Accordion("Mask", open=False):
                self._knob("mask_threshold")
                self._knob("mask_feather")
                self.mask_file = gr.File(
                    label="Mask image", file_types=["image"], type="filepath", height=90,
                    elem_id="mask-image",
                )  # fmt: skip
            with gr.Accordion("Sampling", open=False):
                self._knob("negative_prompt", lines=1)
                self._knob("num_images")
                self._knob("steps")
                self._knob("scheduler")
                self._knob("seed")
            with gr.Accordion("Control", open=False):
                self._knob("controlnet")
                self._knob("controlnet_conditioning_scale")
                self.control_map = gr.Image(
                    format="jpeg", interactive=False, height=220, label="Control map", buttons=[],
                    elem_id="control-map",
                )  # fmt: skip
            with gr.Accordion("Size", open=False):
                self._knob("ar")
                with gr.Row(elem_classes="tight"):
                    self._knob("w")
                    self._knob("h")

    def _knob(self, name: str, **look: Any) -> None:
        """The control of one recipe field; ranges, defaults and texts are the recipe's."""
        spec = Recipe.model_fields[name]
        limits = {type(rule).__name__.lower(): rule for rule in spec.metadata}
        words = {"label": spec.title, "elem_id": name, "value": spec.default} | look
        words["elem_classes"] = "knob"
        if look.get("container", True):
            words["info"] = spec.description
        if name == "mask_dilate":
            self._dilate(spec.default, words)
        elif menu := menus(self.studio.catalog).get(name):
            self.knobs[name] = gr.Dropdown(menu, **(words | {"value": spec.default or UNSET}))
        elif spec.annotation is bool:
            self.knobs[name] = gr.Checkbox(**words)
        elif spec.annotation is str:
            self.knobs[name] = gr.Textbox(**words)
        elif isinstance(spec.json_schema_extra, dict):
            look = {"step": spec.json_schema_extra["step"], "buttons": [], **words}
            self.knobs[name] = gr.Slider(limits["ge"].ge, limits["le"].le, **look)
        else:
            # A number field turns "empty" into 0 when it loses the focus.
            self.knobs[name] = gr.Textbox(**(words | {"value": ""}), max_lines=1)

    def _dilate(self, default: Length, words: dict[str, Any]) -> None:
        limit = Length.LIMITS[default.unit]
        self.knobs["mask_dilate"] = gr.Slider(
            -limit, limit, step=0.5, buttons=[], **(words | {"value": default.value})
        )
        self.unit = gr.Radio(
            [unit.value for unit in Unit], value=default.unit.value, show_label=False,
            container=False, elem_id="mask_dilate_unit",
        )  # fmt: skip

    # --- wiring ------------------------------------------------------------------------------

    def _connect(self) -> None:
        fields = {**self.knobs, "dilate_unit": self.unit}
        masked = {"photo": self.photo, "mask_image": self.mask_image, **fields}
        look = {"fn": self.look, "inputs_kwargs": masked, "outputs": self.mask, **LIVE}
        # `change` where a value may come from pasting or the server; the rest the browser draws.
        changed = ("mask_prompt", "mask_negative", "style", "w", "h")
        gr.on([*(self.knobs[name].change for name in changed), self.knobs["ar"].input], **look)
        opened: list[Any] = [
            self.photo, self.upload, self.looking, self.gallery, self.job, self.mask_image,
            self.mask_file, self.knobs["mask_strokes"],
        ]  # fmt: skip
        self.upload.upload(self.open, self.upload, opened, **PRIVATE).then(**look)
        self.change.click(self.close, None, opened, **QUICK)
        self.gallery.click(
            self.pick, self.gallery, [*{*opened, *self.knobs.values(), self.unit}], **QUICK
        ).then(**look)
        self.unit.input(
            self.convert, inputs_kwargs=masked, outputs=self.knobs["mask_dilate"], **QUICK
        )
        words = [self.knobs[name] for name in WORDS]
        started: list[Any] = [self.mask_image, self.job, *words]
        gr.on(
            [self.mask_file.upload, self.mask_file.clear], self.start_from, self.mask_file, started,
            **PRIVATE,
        ).then(**look)  # fmt: skip
        shown: list[Any] = [
            self.generate, self.cancel, self.job, self.forming, self.compare, self.strip,
            self.download, self.control_map, self.pictures, self.knobs["style"],
        ]  # fmt: skip
        gr.on(
            [self.generate.click, self.knobs["prompt"].submit], self.begin, None,
            [self.cancelled, self.generate, self.cancel, self.job], **QUICK,
        ).then(
            self.paint, inputs_kwargs={"cancelled": self.cancelled, **masked},
            outputs=shown, show_progress="minimal", show_progress_on=self.job,
            concurrency_id="painter", concurrency_limit=1, **PRIVATE,
        )  # fmt: skip
        self.cancel.click(self.stop, self.cancelled, self.cancel, **QUICK)
        self.strip.select(self.choose, self.pictures, [self.compare, self.download], **QUICK)
        style, control = self.knobs["style"], self.knobs["controlnet"]
        style.change(self.restyle, [style, control], [control], **QUICK)
        self._timer.tick(self.tick, None, [self.status, style, self._timer], **QUICK)

    # --- handlers ----------------------------------------------------------------------------

    def tick(self) -> tuple[str, Any, gr.Timer]:
        """How far loading is; once it is done, which style is the default."""
        ready = self.warmth.ready
        style = self.studio.style().key if ready else gr.skip()
        return status_html(self.warmth), style, gr.Timer(active=not ready)

    def restyle(self, style: str, control: str) -> Any:
        """Only the controls that the style's models have can be chosen."""
        if style == UNSET:
            return gr.skip()
        catalog = self.studio.catalog
        menu = control_menu(catalog, catalog.style(style))
        return gr.Dropdown(menu, value=control if control in dict(menu).values() else UNSET)

    def open(self, path: str | None) -> Update:
        """Take in an uploaded photo."""
        if path is None:
            return self.close()
        try:
            photo = Photo.open(path)
        except MasqueradeError as error:
            return {self.upload: None, self.job: message_html(str(error), "alert")}
        return self._opened(photo)

    def _opened(self, photo: Photo | None) -> Update:
        """The page with a photo, or the empty one; what was drawn over another one is gone."""
        return {
            self.photo: photo,
            self.upload: gr.update(value=None, visible=photo is None),
            self.looking: gr.update(visible=photo is not None),
            self.gallery: gr.update(visible=photo is None),
            self.job: "",
            self.mask_image: None,
            self.mask_file: None,
            self.knobs["mask_strokes"]: "",
        }

    def close(self) -> Update:
        """Back to the empty page, to choose another photo."""
        return self._opened(None)

    def pick(self, index: int) -> Update:
        """Fill everything in from an example."""
        example = self.examples[index]
        recipe = Recipe(prompt=example["prompt"])
        values = {knob: getattr(recipe, name) for name, knob in self.knobs.items()}
        values |= {self.knobs[name]: "" for name in ("seed", "w", "h", "mask_strokes")}
        values |= {self.knobs["ar"]: UNSET, self.knobs["style"]: gr.skip()}
        dilate = recipe.mask_dilate
        return {
            **values,
            **self._opened(Photo.open(EXAMPLES / example["file"])),
            self.knobs["mask_dilate"]: dilate_slider(dilate),
            self.unit: dilate.unit.value,
        }

    def start_from(self, path: str | None) -> Update:
        """Take in a mask image, whose white is repainted; without one the words come back."""
        try:
            image = Photo.open(path) if path else None
        except MasqueradeError as error:
            return {self.job: message_html(str(error), "alert")}
        recipe = Recipe(mask_prompt="", mask_negative="", mask_invert=False) if image else Recipe()
        words = {self.knobs[name]: getattr(recipe, name) for name in WORDS}
        return {self.mask_image: image, self.job: "", **words}

    def look(self, photo: Photo | None, mask_image: Photo | None, **fields: Any) -> Any:
        """What the words find, from which the browser draws the mask."""
        if photo is None:
            return gr.skip()
        try:
            recipe = recipe_of(fields)
            return mask_view(self.studio.select(photo, recipe, mask_image).evidence, recipe)
        except MasqueradeError as error:
            return {"error": str(error)}

    def convert(
        self, photo: Photo | None, mask_image: Photo | None, dilate_unit: str, **fields: Any
    ) -> gr.Slider:
        """The same length in the other unit."""
        unit, short_side = Unit(dilate_unit), 512
        old = Unit.PERCENT if unit is Unit.PIXELS else Unit.PIXELS
        if photo is not None:
            recipe = recipe_of({**fields, "mask_dilate": 0, "dilate_unit": unit})
            short_side = self.studio.select(photo, recipe, mask_image).evidence.short_side
        return dilate_slider(Length(value=fields["mask_dilate"], unit=old).to(unit, short_side))

    def begin(self) -> Update:
        """A new job, which its own Cancel button can reach even while it waits in the queue."""
        return {
            self.cancelled: Event(),
            self.generate: gr.update(interactive=False),
            self.cancel: gr.update(interactive=True),
            self.job: message_html("Waiting for its turn"),
        }

    def stop(self, cancelled: Event | None) -> Update:
        """Ask the job to stop; it does within a step and says so itself."""
        if cancelled is not None:
            cancelled.set()
        return gr.update(interactive=False)

    def paint(
        self, photo: Photo | None, mask_image: Photo | None, cancelled: Event, **fields: Any
    ) -> Iterator[Update]:
        """Run the job, showing everything on the way."""
        try:
            if photo is None:
                raise InvalidPhoto("Choose a photo first, or pick an example.")
            with closing(self.studio.paint(photo, recipe_of(fields), mask_image)) as events:
                for event in events:
                    if cancelled.is_set():
                        raise Cancelled
                    yield self._finish(event) if isinstance(event, Result) else self._show(event)
        except Cancelled as error:
            yield {**self._idle(), self.job: message_html(str(error))}
        except ModelUnavailable as error:
            style = self.studio.fall_back(str(error))
            hint = f"{error} The style is now {style.title}, which is built in."
            yield {
                **self._idle(),
                self.job: message_html(hint, "alert"),
                self.knobs["style"]: style.key,
            }
        except MasqueradeError as error:
            yield {**self._idle(), self.job: message_html(str(error), "alert")}

    def _show(self, progress: Progress) -> Update:
        update: Update = {self.job: job_html(progress)}
        if progress.preview is not None:
            update[self.forming] = gr.update(value=progress.preview, visible=True)
            update[self.compare] = gr.update(visible=False)
        if progress.control_map is not None:
            update[self.control_map] = progress.control_map
        return update

    def _finish(self, result: Result) -> Update:
        folder = tempfile.mkdtemp(prefix="masquerade-", dir=gr.utils.get_upload_folder())
        pictures = Exhibit.of(result, Path(folder))
        first = pictures.first
        return {
            **self._idle(),
            self.job: result_html(result),
            self.forming: gr.update(visible=False),
            self.compare: gr.update(value=(pictures.shown[0], pictures.shown[first]), visible=True),
            self.strip: gr.update(
                value=list(zip(pictures.shown, pictures.captions, strict=True)),
                selected_index=first, visible=True,
            ),
            self.download: gr.update(value=pictures.files[first], visible=True),
            self.pictures: pictures,
        }  # fmt: skip

    def _idle(self) -> Update:
        """Ready for the next job."""
        return {
            self.generate: gr.update(interactive=True),
            self.cancel: gr.update(interactive=False),
        }

    def choose(self, pictures: Exhibit, event: gr.SelectData) -> tuple[Any, Any]:
        """Compare the chosen picture with the input, and offer it for download."""
        pair = (pictures.shown[0], pictures.shown[event.index])
        return pair, gr.update(value=pictures.files[event.index])


def dilate_slider(length: Length) -> gr.Slider:
    """The slider set to a length, with its unit's range."""
    limit = Length.LIMITS[length.unit]
    return gr.Slider(-limit, limit, value=round(length.value, 1))


def main() -> None:
    """Start the server; the models load behind the page."""
    parser = argparse.ArgumentParser(description=TAGLINE)
    parser.add_argument("--host", help="address to listen on; only this machine by default")
    parser.add_argument("--port", type=int, help="port to listen on; 7860 by default")
    parser.add_argument("--share", action="store_true", help="open a public Gradio link")
    parser.add_argument("--style", help="default style; see inference/catalog.toml")
    parser.add_argument("--catalog", type=Path, help="your own styles, laid over the built-in ones")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    studio = Studio(catalog=Catalog.load(options.catalog), style=options.style)
    warmth = Warmth(studio)
    blocks = Page(studio, warmth).build()
    blocks.launch(
        server_name=options.host,
        server_port=options.port,
        share=options.share,
        css_paths=ASSETS / "page.css",
        theme=gr.themes.Base(
            primary_hue="orange", neutral_hue="slate", font=["system-ui", "sans-serif"]
        ),
        max_file_size=MAX_BYTES,
        footer_links=["gradio", "settings"],
        prevent_thread_lock=True,
    )
    warmth.start()
    blocks.block_thread()


if __name__ == "__main__":
    main()
