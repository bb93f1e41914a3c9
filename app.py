"""The page: Gradio components, and handlers that hand a recipe to the studio. No tensors here."""

from __future__ import annotations

import argparse
import logging
import os
import tempfile
import tomllib
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from threading import Event
from typing import Any

import gradio as gr
from gradio.data_classes import ImageData

from inference import MasqueradeError, Photo, Progress, Recipe, Result, Studio
from inference.address import fetch_photo
from inference.catalog import Catalog
from inference.contact_sheet import contact_sheet
from inference.errors import Cancelled, InvalidPhoto, ModelUnavailable
from inference.exhibit import Exhibit
from inference.form import FOLDS, UNSET, control_menu, menus, recipe_of, values_of
from inference.fragments import grid_html, job_html, message_html, result_html, status_html
from inference.grid import Axis, Grid, GridResult
from inference.mask_view import mask_view
from inference.photo import MAX_BYTES, Pixels
from inference.prompt_text import format_block, is_block, parse
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


@contextmanager
def told() -> Iterator[None]:
    """What goes wrong where the page has no place of its own for it is shown above the page."""
    try:
        yield
    except MasqueradeError as error:
        raise gr.Error(str(error), print_exception=False) from error


class Page:
    """The components, and what happens between them."""

    def __init__(self, studio: Studio, warmth: Warmth) -> None:
        self.studio = studio
        self.warmth = warmth
        self.knobs: dict[str, Any] = {}
        self.recipe_files = sorted((ASSETS / "recipes").glob("*.txt"))
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
            self.pasted = gr.Textbox(elem_id="pasted", container=False)

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
            for title, names in FOLDS.items():
                with gr.Accordion(title, open=False):
                    for name in names:
                        self._knob(name)
                    if title == "Mask":
                        self.mask_file = gr.File(
                            label="Mask image", file_types=["image"], type="filepath", height=124,
                            elem_id="mask-image",
                        )  # fmt: skip
                    if title == "Control":
                        self.control_map = gr.Image(
                            format="jpeg", interactive=False, height=220, label="Control map",
                            buttons=[], elem_id="control-map",
                        )  # fmt: skip
                        self.show_map = gr.Button("Show it now", size="sm", elem_id="show-map")
            with gr.Accordion("Compare", open=False):
                self.styles = gr.Dropdown(
                    [(one.title, one.key) for one in self.studio.catalog.styles()], value=[],
                    multiselect=True, label="Styles side by side", elem_id="styles",
                )  # fmt: skip
                self.vary = gr.Textbox(
                    label="And with", placeholder="cfg_scale=2, 5, 8", elem_id="vary", max_lines=1,
                    info="A field and its values: one row of pictures for each.",
                )  # fmt: skip
            with gr.Accordion("Prompt block", open=False):
                self.write = gr.Button("Write all settings as a block", size="sm", elem_id="write")
                self.block = gr.Textbox(
                    label="Block", lines=6, max_lines=12, buttons=["copy"], elem_id="block",
                    info="Text, flags and one field=value a line. Change it here, or paste one "
                    "into the prompt: it runs as it is.",
                )  # fmt: skip
                self.read = gr.Button("Take the settings of this block", size="sm", elem_id="read")
                self.recipes = gr.Dataset(
                    components=[gr.Textbox(visible=False)], type="index", label="To begin with",
                    samples=[[path.stem.capitalize()] for path in self.recipe_files],
                    elem_id="recipes",
                )  # fmt: skip

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
        filled = [*{*opened, *self.knobs.values(), self.unit}]
        self.gallery.click(self.pick, self.gallery, filled, **QUICK).then(**look)
        prompt, address = self.knobs["prompt"], self.knobs["input_image_url"]
        prompt.change(self.notice, prompt, self.pasted, **LIVE)
        self.pasted.change(self.read_block, self.pasted, filled, **QUICK).then(**look)
        self.read.click(self.read_block, self.block, filled, **QUICK).then(**look)
        self.recipes.click(self.read_recipe, self.recipes, filled, **QUICK).then(**look)
        self.write.click(self.write_block, inputs_kwargs=fields, outputs=self.block, **QUICK)
        address.submit(self.fetch, address, opened, **QUICK).then(**look)
        self.unit.input(
            self.convert, inputs_kwargs=masked, outputs=self.knobs["mask_dilate"], **QUICK
        )
        words = [self.knobs[name] for name in WORDS]
        started: list[Any] = [self.mask_image, self.job, *words]
        gr.on(
            [self.mask_file.upload, self.mask_file.clear], self.start_from, self.mask_file, started,
            **PRIVATE,
        ).then(**look)  # fmt: skip
        mask_address = self.knobs["mask_image_url"]
        mask_address.submit(self.fetch_mask, mask_address, started, **QUICK).then(**look)
        grid = {"styles": self.styles, "vary": self.vary}
        self._connect_job({"cancelled": self.cancelled, **grid, **masked})

    def _connect_job(self, inputs: dict[str, Any]) -> None:
        shown: list[Any] = [
            self.generate, self.cancel, self.job, self.forming, self.compare, self.strip,
            self.download, self.control_map, self.pictures, self.knobs["style"],
        ]  # fmt: skip
        gr.on(
            [self.generate.click, self.knobs["prompt"].submit], self.begin, None,
            [self.cancelled, self.generate, self.cancel, self.job], **QUICK,
        ).then(
            self.paint, inputs_kwargs=inputs, outputs=shown, show_progress="minimal",
            show_progress_on=self.job, concurrency_id="painter", concurrency_limit=1, **PRIVATE,
        )  # fmt: skip
        self.show_map.click(
            self.look_at_map, inputs_kwargs=inputs, outputs=self.control_map, **PRIVATE
        )
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
        return {self.upload: None, **self._taken(Photo.open, path, self._opened)}

    def fetch(self, url: str) -> Update:
        """Take in a photo from the web."""
        return self._taken(fetch_photo, url, self._opened) if url else {self.job: gr.skip()}

    def start_from(self, path: str | None) -> Update:
        """Take in a mask image, whose white is repainted; without one the words come back."""
        return self._taken(Photo.open, path, self._started)

    def fetch_mask(self, url: str) -> Update:
        """Take in a mask image from the web."""
        return self._taken(fetch_photo, url, self._started)

    def _taken(
        self, read: Callable[[str], Photo], source: str | None,
        use: Callable[[Photo | None], Update],
    ) -> Update:  # fmt: skip
        try:
            return use(read(source) if source else None)
        except MasqueradeError as error:
            return {self.job: message_html(str(error), "alert")}

    def _opened(self, photo: Photo | None) -> Update:
        """The page with a photo, or the empty one; what was drawn over another one is gone."""
        return {
            self.photo: photo,
            self.upload: gr.update(value=None, visible=photo is None),
            self.looking: gr.update(visible=photo is not None),
            self.gallery: gr.update(visible=photo is None),
            self.job: message_html(photo.note) if photo and photo.note else "",
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
        filled = self._filled(Recipe(prompt=example["prompt"]))
        return {**filled, **self._opened(Photo.open(EXAMPLES / example["file"]))}

    def _filled(self, recipe: Recipe) -> Update:
        """Every control as a recipe has it; the style stays where it names none."""
        values = values_of(recipe)
        if recipe.style is None:
            values["style"] = gr.skip()
        unit = values.pop("dilate_unit")
        length = dilate_slider(recipe.mask_dilate)
        shown = {self.knobs[name]: value for name, value in values.items()}
        return {**shown, self.knobs["mask_dilate"]: length, self.unit: unit}

    def notice(self, prompt: str) -> Any:
        """A block that was pasted where the prompt stands; words are left alone."""
        return prompt if is_block(prompt) else gr.skip()

    def read_block(self, text: str) -> Update:
        """Fill everything in from a prompt block, its photo included."""
        try:
            block = parse(text)
            photo, mask = (
                fetch_photo(url) if url else None
                for url in (block.recipe.input_image_url, block.recipe.mask_image_url)
            )
        except MasqueradeError as error:
            return {self.job: message_html(str(error), "alert")}
        told = "The block's settings are taken."
        if block.unknown:
            told = f"Taken, but for what is unknown here: {', '.join(block.unknown)}."
        opened = {} if photo is None else self._opened(photo)
        masked = {} if mask is None else {self.mask_image: mask}
        return {**opened, **masked, **self._filled(block.recipe), self.job: message_html(told)}

    def read_recipe(self, index: int) -> Update:
        """Take the settings of one of our own blocks."""
        return self.read_block(self.recipe_files[index].read_text(encoding="utf-8"))

    def write_block(self, **fields: Any) -> str:
        """All settings as a block that can be pasted anywhere."""
        with told():
            return format_block(recipe_of(fields))

    def _started(self, image: Photo | None) -> Update:
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

    def look_at_map(
        self, photo: Photo | None, mask_image: Photo | None, **fields: Any
    ) -> Pixels | None:
        """What guides the painting, before anything is painted."""
        own = {name: fields[name] for name in (*self.knobs, "dilate_unit")}
        with told():
            if photo is None:
                raise InvalidPhoto("Choose a photo first, or pick an example.")
            maps = self.studio.control_maps(photo, recipe_of(own), mask_image)
        return contact_sheet(list(maps.items()), len(maps)) if maps else None

    def convert(
        self, photo: Photo | None, mask_image: Photo | None, dilate_unit: str, **fields: Any
    ) -> gr.Slider:
        """The same length in the other unit."""
        unit, short_side = Unit(dilate_unit), 512
        old = Unit.PERCENT if unit is Unit.PIXELS else Unit.PIXELS
        if photo is not None:
            with told():
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
            with closing(self._painting(photo, mask_image, fields)) as events:
                for event in events:
                    if cancelled.is_set():
                        raise Cancelled
                    yield self._show(event) if isinstance(event, Progress) else self._finish(event)
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

    def _painting(
        self, photo: Photo, mask_image: Photo | None, fields: dict[str, Any]
    ) -> Generator[Progress | Result | GridResult]:
        """One painting, or a grid of them where styles or values to compare are given."""
        styles, rows = tuple(fields.pop("styles") or ()), Axis.parse(fields.pop("vary") or "")
        recipe = recipe_of(fields)
        if not styles and rows is None:
            return (yield from self.studio.paint(photo, recipe, mask_image))
        grid = Grid.of(recipe, Axis(name="style", values=styles) if styles else None, rows)
        yield from self.studio.paint_grid(photo, grid, mask_image)

    def _show(self, progress: Progress) -> Update:
        update: Update = {self.job: job_html(progress)}
        if progress.preview is not None:
            update[self.forming] = gr.update(value=progress.preview, visible=True)
            update[self.compare] = gr.update(visible=False)
        if progress.control_map is not None:
            update[self.control_map] = progress.control_map
        return update

    def _finish(self, done: Result | GridResult) -> Update:
        folder = Path(tempfile.mkdtemp(prefix="masquerade-", dir=gr.utils.get_upload_folder()))
        if isinstance(done, GridResult):
            pictures, told = Exhibit.of_grid(done, folder), grid_html(done)
        else:
            pictures, told = Exhibit.of(done, folder), result_html(done)
        first = pictures.first
        return {
            **self._idle(),
            self.job: told,
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
