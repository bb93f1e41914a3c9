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
from typing import Any, get_args

import gradio as gr
from gradio.data_classes import ImageData

from inference import MasqueradeError, Photo, Progress, Recipe, Result, Studio
from inference.catalog import Catalog
from inference.controls import CONTROLS
from inference.errors import Cancelled, InvalidPhoto, ModelUnavailable
from inference.exhibit import Exhibit
from inference.fragments import job_html, message_html, result_html, status_html, words_html
from inference.masking import overlay
from inference.photo import MAX_BYTES
from inference.recipe import SCHEDULERS, AspectRatio, Length, Unit
from inference.warmth import Warmth

ASSETS = Path(__file__).parent / "assets"
EXAMPLES = ASSETS / "examples"
QUEUE = 20
UNSET = "unset"  # a menu cannot hold None
TITLE = "Masquerade"
TAGLINE = "Puts a person, untouched, into any scene."
FIRST_STEPS = "Pick an example or drop a photo, say where it should be, and press Generate."
PRIVATE: dict[str, Any] = {"api_visibility": "private"}
ORDER = "words → minus «but not» → threshold, without specks → invert → dilate → feather"

QUICK: dict[str, Any] = {"queue": False, "show_progress": "hidden", **PRIVATE}
LIVE: dict[str, Any] = {**QUICK, "trigger_mode": "always_last"}

Update = dict[Any, Any]


def path_of(payload: ImageData | None) -> str | None:
    """The path of an uploaded file as it came, because `Photo.open` is the only decoder."""
    return None if payload is None else payload.path


class Page:
    """The components, and what happens between them."""

    def __init__(self, studio: Studio, warmth: Warmth) -> None:
        self.studio = studio
        self.warmth = warmth
        self.knobs: dict[str, Any] = {}
        self.examples = tomllib.loads((EXAMPLES / "examples.toml").read_text())["example"]

    def build(self) -> Any:
        """Lay out the page and connect it."""
        with gr.Blocks(
            title=TITLE, fill_width=True, analytics_enabled=False, delete_cache=(3600, 86400)
        ) as blocks:
            self.photo, self.pictures, self.cancelled = gr.State(), gr.State(), gr.State()
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
                self.overlay = gr.Image(
                    format="jpeg", interactive=False, height=430, buttons=["fullscreen"],
                    label="What will be repainted", elem_id="overlay",
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
            self.words = gr.HTML(elem_id="words")
            with gr.Row(elem_id="main-sliders", elem_classes="tight"):
                for name in ("mask_dilate", "denoising_strength", "cfg_scale"):
                    with gr.Column(min_width=150):
                        self._knob(name)

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
                gr.HTML(f"<p class='hint'>{ORDER}</p>")
                self._knob("mask_threshold")
                self._knob("mask_feather")
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
        elif name in self._choices():
            self.knobs[name] = gr.Dropdown(
                self._choices()[name], **(words | {"value": spec.default or UNSET})
            )
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

    def _choices(self) -> dict[str, list[tuple[str, str]]]:
        catalog = self.studio.catalog
        return {
            "style": [("Automatic", UNSET)] + [(one.title, one.key) for one in catalog.styles()],
            "scheduler": [(name, name) for name in SCHEDULERS],
            "controlnet": [("Off", UNSET)] + [(name, name) for name in CONTROLS],
            "ar": [("As the photo", UNSET)] + [(name, name) for name in get_args(AspectRatio)],
        }

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
        seeing: list[Any] = [self.overlay, self.words]
        look = {"fn": self.look, "inputs_kwargs": {"photo": self.photo, **fields},
                "outputs": seeing, **LIVE}  # fmt: skip
        # `change` where a value also comes from pasting or from the server.
        changed = ("mask_prompt", "mask_negative", "style", "w", "h")
        moved = ("mask_invert", "mask_dilate", "mask_threshold", "mask_feather", "ar")
        gr.on([self.knobs[name].change for name in changed], **look)
        gr.on([self.knobs[name].input for name in moved], **look)
        opened: list[Any] = [self.photo, self.upload, self.looking, self.gallery, self.job]
        self.upload.upload(self.open, self.upload, opened, **PRIVATE).then(**look)
        self.change.click(self.close, None, [*opened, *seeing], **QUICK)
        self.gallery.click(
            self.pick, self.gallery, [*opened, *self.knobs.values(), self.unit], **QUICK
        ).then(**look)
        self.unit.input(
            self.convert, [self.photo, self.unit, self.knobs["mask_dilate"]],
            [self.knobs["mask_dilate"]], **QUICK,
        ).then(**look)  # fmt: skip
        shown: list[Any] = [
            self.generate, self.cancel, self.job, self.forming, self.compare, self.strip,
            self.download, self.control_map, self.pictures, self.knobs["style"],
        ]  # fmt: skip
        gr.on(
            [self.generate.click, self.knobs["prompt"].submit], self.begin, None,
            [self.cancelled, self.generate, self.cancel, self.job], **QUICK,
        ).then(
            self.paint, inputs_kwargs={"photo": self.photo, "cancelled": self.cancelled, **fields},
            outputs=shown, show_progress="minimal", show_progress_on=self.job,
            concurrency_id="painter", concurrency_limit=1, **PRIVATE,
        )  # fmt: skip
        self.cancel.click(self.stop, self.cancelled, self.job, **QUICK)
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
        offered = {one.key: one.title for one in catalog.controls(catalog.style(style).family)}
        choices = [("Off", UNSET)] + [(title, key) for key, title in offered.items()]
        return gr.Dropdown(choices, value=control if control in offered else UNSET)

    def open(self, path: str | None) -> Update:
        """Take in an uploaded photo."""
        if path is None:
            return self.close()
        try:
            photo = Photo.open(path)
        except MasqueradeError as error:
            return {self.upload: None, self.job: message_html(str(error), "alert")}
        return self._opened(photo)

    def _opened(self, photo: Photo) -> Update:
        return {
            self.photo: photo,
            self.upload: gr.update(visible=False),
            self.looking: gr.update(visible=True),
            self.gallery: gr.update(visible=False),
            self.job: "",
        }

    def close(self) -> Update:
        """Back to the empty page, to choose another photo."""
        return {
            self.photo: None,
            self.upload: gr.update(value=None, visible=True),
            self.looking: gr.update(visible=False),
            self.gallery: gr.update(visible=True),
            self.job: "",
            self.overlay: None,
            self.words: "",
        }

    def pick(self, index: int) -> Update:
        """Fill everything in from an example."""
        example = self.examples[index]
        recipe = Recipe(prompt=example["prompt"])
        values = {knob: getattr(recipe, name) for name, knob in self.knobs.items()}
        values |= {self.knobs[name]: "" for name in ("seed", "w", "h")}
        values |= {self.knobs["ar"]: UNSET, self.knobs["style"]: gr.skip()}
        dilate = recipe.mask_dilate
        return {
            **self._opened(Photo.open(EXAMPLES / example["file"])),
            **values,
            self.knobs["mask_dilate"]: dilate_slider(dilate),
            self.unit: dilate.unit.value,
        }

    def look(self, photo: Photo | None, **fields: Any) -> tuple[Any, str]:
        """The mask as the words and sliders now make it."""
        if photo is None:
            return gr.skip(), gr.skip()
        try:
            recipe = recipe_of(fields)
            selection = self.studio.select(photo, recipe)
        except MasqueradeError as error:
            return gr.skip(), message_html(str(error), "alert")
        alpha = selection.preview_alpha(recipe)
        share = float((alpha >= 0.5).mean())
        return overlay(selection.preview, alpha), words_html(selection, share)

    def convert(self, photo: Photo | None, unit: str, value: float) -> gr.Slider:
        """The same length in the other unit."""
        new, short_side = Unit(unit), 512
        if photo is not None:
            short_side = self.studio.select(photo, Recipe()).field.short_side
        if new is Unit.PERCENT:
            return dilate_slider(Length(value=value * 100 / short_side, unit=new))
        return dilate_slider(Length(value=value * short_side / 100, unit=new))

    def begin(self) -> Update:
        """A new job, which its own Cancel button can reach even while it waits in the queue."""
        return {
            self.cancelled: Event(),
            self.generate: gr.update(interactive=False),
            self.cancel: gr.update(interactive=True),
            self.job: message_html("Waiting for its turn"),
        }

    def stop(self, cancelled: Event | None) -> str:
        """Ask the job to stop; it does within a step."""
        if cancelled is not None:
            cancelled.set()
        return message_html("Stopping")

    def paint(self, photo: Photo | None, cancelled: Event, **fields: Any) -> Iterator[Update]:
        """Run the job, showing everything on the way."""
        try:
            if photo is None:
                raise InvalidPhoto("Choose a photo first, or pick an example.")
            with closing(self.studio.paint(photo, recipe_of(fields))) as events:
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


def recipe_of(fields: dict[str, Any]) -> Recipe:
    """The recipe that the controls stand for.

    Raises:
        InvalidRecipe: a value is not allowed.
    """
    given = {name: None if value == UNSET else value for name, value in fields.items()}
    length = f"{given.pop('mask_dilate')}{given.pop('dilate_unit')}"
    return Recipe.parse({**given, "mask_dilate": length})


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
