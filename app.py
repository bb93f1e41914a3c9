"""The page: Gradio components, and handlers that hand a recipe to the studio. No tensors here."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from threading import Event
from typing import Any
from urllib.parse import urlsplit

import gradio as gr
from gradio.data_classes import ImageData

from inference import MasqueradeError, Progress, Recipe, Result, Studio
from inference.catalog import Catalog
from inference.desk import Desk
from inference.errors import Cancelled, ModelUnavailable
from inference.exhibit import Exhibit, File, Sketches
from inference.finish_settings import RETOUCH
from inference.form import FOLDS, UNSET, control_menu, menus, recipe_of, style_menu, values_of
from inference.fragments import done_html, job_html, message_html, status_html
from inference.grid import GridResult
from inference.guard import BUSY, Guard
from inference.options import Options, prepare
from inference.order import Order
from inference.photo import MAX_BYTES, Pixels
from inference.prompt_text import format_block, is_block, parse
from inference.recipe import Length, Unit
from inference.warmth import Warmth
from inference.workplace import Workplace, opened
from inference.zero_gpu import lender

ASSETS = Path(__file__).parent / "assets"
EXAMPLES = ASSETS / "examples"
# How many jobs wait, of how many sessions the photo's path is kept, and how many paintings are.
QUEUE, SESSIONS, KEPT = 20, 500, 8
TITLE, FONT = "Masquerade", ("system-ui", "sans-serif")
TAGLINE = "Puts a person, untouched, into any scene."
FIRST_STEPS = "Pick an example or drop a photo, say where it should be, and press Generate."
ENDPOINTS = dict.fromkeys(("paint", "mask"), ("photo", "recipe", "mask_image"))
PRIVATE: dict[str, Any] = {"api_visibility": "private"}
ORDER = "words → minus «but not» → threshold, without specks → brush → invert → dilate → feather"
WORDS = ("mask_prompt", "mask_negative", "mask_invert")
MASK_CANVAS = ("mask_math.js", "mask_canvas.js", "mask_tools.js", "mask_words.js")
QUICK: dict[str, Any] = {"queue": False, "show_progress": "hidden", **PRIVATE}
LIVE: dict[str, Any] = {**QUICK, "trigger_mode": "always_last"}
PAINTER: dict[str, Any] = {"concurrency_id": "painter", "concurrency_limit": 1}

Update = dict[Any, Any]
Upload = gr.FileData | None
Asked = str | dict[str, Any]


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

    def __init__(self, studio: Studio, warmth: Warmth, work: Workplace) -> None:
        self.studio, self.warmth, self.work = studio, warmth, work
        self.desk = Desk(studio, work)
        self.knobs: dict[str, Any] = {}
        self.menus, self.defaults = menus(studio.catalog), values_of(Recipe())
        self.recipe_files = sorted((ASSETS / "recipes").glob("*.txt"))
        self.examples = tomllib.loads(asset("examples/examples.toml"))["example"]

    def build(self) -> Any:
        """Lay out the page and connect it."""
        with gr.Blocks(title=TITLE, fill_width=True, analytics_enabled=False) as blocks:
            states = (gr.State() for _ in range(4))
            self.photo, self.mask_image, self.pictures, self.cancelled = states
            with gr.Row(elem_id="header"):
                gr.HTML(f"<h1>{TITLE}</h1><p>{TAGLINE}</p>", elem_id="title")
                self.status = gr.HTML(status_html(self.warmth), elem_id="status")
            with gr.Column(elem_id="work"):
                self._photo_column()
                self._prompt_row()
                self._result_column()
            self._folds()
            self._timer = gr.Timer(0.5)
            gr.events.api(self.paint_over_http, api_name="paint", **PAINTER)
            gr.events.api(self.mask_over_http, api_name="mask")
            self._connect()
        blocks.unload(self.leave)
        blocks.queue(max_size=QUEUE, api_open=False)
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
                label="Input, mask and results: choose one to compare", show_label=False,
                interactive=False, buttons=[], elem_id="strip", object_fit="contain",
            )  # fmt: skip
            self.download = gr.DownloadButton("Download PNG", visible=False, size="sm",
                                              elem_id="download")  # fmt: skip

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
                    style_menu(self.studio.catalog), value=[],
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
        words = {"label": spec.title, "elem_id": name, "value": self.defaults[name]} | look
        words["elem_classes"] = "knob"
        if look.get("container", True):
            words["info"] = spec.description
        if name == "mask_dilate":
            self._dilate(spec.default, words)
        elif menu := self.menus.get(name):
            self.knobs[name] = gr.Dropdown(menu, **words)
        elif spec.annotation is bool:
            self.knobs[name] = gr.Checkbox(**words)
        elif spec.annotation is str:
            self.knobs[name] = gr.Textbox(**words)
        elif isinstance(spec.json_schema_extra, dict):
            look = {"step": spec.json_schema_extra["step"], "buttons": [], **words}
            self.knobs[name] = gr.Slider(limits["ge"].ge, limits["le"].le, **look)
        else:
            # A number field turns "empty" into 0 when it loses the focus.
            self.knobs[name] = gr.Textbox(**words, max_lines=1)

    def _dilate(self, default: Length, words: dict[str, Any]) -> None:
        limit = Length.LIMITS[default.unit]
        self.knobs["mask_dilate"] = gr.Slider(-limit, limit, step=0.5, buttons=[], **words)
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
        filled = [*{*opened, *self.knobs.values(), self.unit}]
        self.upload.upload(self.open, self.upload, filled, **PRIVATE).then(**look)
        self.change.click(lambda: self._opened(None), None, opened, **QUICK)
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
        job = {"cancelled": self.cancelled, "before": self.pictures}
        self._connect_job({**job, "styles": self.styles, "vary": self.vary, **masked})

    def _connect_job(self, inputs: dict[str, Any]) -> None:
        style, suited, control = (self.knobs[name] for name in ("style", "cfg_scale", "controlnet"))
        shown: list[Any] = [
            self.generate, self.cancel, self.cancelled, self.job, self.forming, self.compare,
            self.strip, self.download, self.control_map, self.pictures, style, suited,
        ]  # fmt: skip
        during = {"inputs_kwargs": inputs, "outputs": shown, "show_progress_on": self.job}
        during |= {"show_progress": "minimal", **PAINTER, **PRIVATE}
        retouched = [self.knobs[name] for name in RETOUCH]
        gr.on(
            [getattr(one, "blur" if isinstance(one, gr.Textbox) else "input") for one in retouched],
            self.retouch, **during,
        )  # fmt: skip
        gr.on(
            [self.generate.click, self.knobs["prompt"].submit], self.begin, None,
            [self.cancelled, self.generate, self.cancel, self.job], **QUICK,
        ).then(
            self.paint, **during,
        ).failure(self.turn_away, None, shown, **QUICK)  # fmt: skip
        self.show_map.click(
            self.look_at_map, inputs_kwargs=inputs, outputs=self.control_map, **PRIVATE
        )
        self.cancel.click(self.stop, self.cancelled, self.cancel, **QUICK)
        self.strip.select(self.choose, self.pictures, [self.compare, self.download], **QUICK)
        style.change(self.restyle, [style, control], [control], **QUICK)
        style.input(self.suit, style, suited, **QUICK)
        shown = [self.status, style, self.styles, suited, self._timer]
        self._timer.tick(self.tick, style, shown, **QUICK)

    # --- handlers ----------------------------------------------------------------------------

    def tick(self, chosen: str) -> tuple[str, Any, Any, Any, gr.Timer]:
        """How far loading is; once it is done, what is here and, if none was chosen, the style."""
        ready, style, styles, scale = self.warmth.ready, gr.skip(), gr.skip(), gr.skip()
        if ready:
            menu, default = menus(self.studio.catalog)["style"], self.studio.style()
            key, scale = (default.key, default.cfg_scale) if chosen == UNSET else (chosen, scale)
            style, styles = gr.Dropdown(menu, value=key), gr.Dropdown(menu[1:])  # no «Automatic»
        return status_html(self.warmth), style, styles, scale, gr.Timer(active=not ready)

    def suit(self, style: str) -> float:
        """The guidance scale that suits a style."""
        return self.studio.style(None if style == UNSET else style).cfg_scale

    def restyle(self, style: str, control: str) -> Any:
        """Only the controls that the style's models have can be chosen."""
        if style == UNSET:
            return gr.skip()
        catalog = self.studio.catalog
        menu = control_menu(catalog, catalog.style(style))
        return gr.Dropdown(menu, value=control if control in dict(menu).values() else UNSET)

    def open(self, path: File) -> Update:
        """Take in an uploaded photo; a picture of ours brings its settings and its mask along."""
        return {self.upload: None, **self._told(self._uploaded, path)}

    def _uploaded(self, path: File) -> Update:
        opened, ours = self._opened(path), self.desk.embedded(path)
        if ours is None:
            return opened
        shown = {self.mask_image: self.desk.kept(ours.mask), self.job: message_html(ours.told)}
        return {**opened, **self._filled(ours.masked_recipe), **shown}

    def fetch(self, url: str) -> Update:
        """Take in a photo from the web."""
        return self._told(lambda: self._opened(self.desk.fetched(url)) if url else {})

    def start_from(self, path: File) -> Update:
        """Take in a mask image, whose white is repainted; without one the words come back."""
        return self._told(self._started, path)

    def fetch_mask(self, url: str) -> Update:
        """Take in a mask image from the web."""
        return self._told(lambda: self._started(self.desk.fetched(url)))

    def _told(self, take: Callable[..., Update], *given: object) -> Update:
        """What taking something in changes, or why it cannot be taken."""
        try:
            return take(*given) or {self.job: gr.skip()}
        except MasqueradeError as error:
            return {self.job: message_html(str(error), "alert")}

    def _opened(self, path: File) -> Update:
        """The page with a photo, or the empty one; what was drawn over another one is gone."""
        photo = self.desk.photo(path)
        return {
            self.photo: path,
            self.upload: gr.update(value=None, visible=photo is None),
            self.looking: gr.update(visible=photo is not None),
            self.gallery: gr.update(visible=photo is None),
            self.job: message_html(photo.note) if photo and photo.note else "",
            self.mask_image: None,
            self.mask_file: None,
            self.knobs["mask_strokes"]: "",
        }

    def pick(self, index: int) -> Update:
        """Fill everything in from an example."""
        example = self.examples[index]
        filled = self._filled(Recipe(prompt=example["prompt"]))
        return {**filled, **self._opened(EXAMPLES / example["file"])}

    def _filled(self, recipe: Recipe) -> Update:
        """Every control as a recipe has it; the style stays where it names none."""
        values = values_of(recipe)
        if recipe.style is None:
            values["style"] = gr.skip()
        if recipe.cfg_scale is None:
            values["cfg_scale"] = gr.skip() if recipe.style is None else self.suit(recipe.style)
        unit = values.pop("dilate_unit")
        length = dilate_slider(recipe.mask_dilate)
        shown = {self.knobs[name]: value for name, value in values.items()}
        return {**shown, self.knobs["mask_dilate"]: length, self.unit: unit}

    def notice(self, prompt: str) -> Any:
        """A block that was pasted where the prompt stands; words are left alone."""
        return prompt if is_block(prompt) else gr.skip()

    def read_block(self, text: str) -> Update:
        """Fill everything in from a prompt block, its photo included."""
        return self._told(self._read, text)

    def _read(self, text: str) -> Update:
        block = parse(text)
        photo = self.desk.fetched(block.recipe.input_image_url)
        mask = self.desk.fetched(block.recipe.mask_image_url)
        opened = {} if photo is None else self._opened(photo)
        masked = {} if mask is None else {self.mask_image: mask}
        filled = self._filled(block.recipe)
        return {**opened, **masked, **filled, self.job: message_html(block.told)}

    def read_recipe(self, index: int) -> Update:
        """Take the settings of one of our own blocks."""
        return self.read_block(self.recipe_files[index].read_text(encoding="utf-8"))

    def write_block(self, **fields: Any) -> str:
        """All settings as a block that can be pasted anywhere."""
        with told():
            return format_block(recipe_of(fields))

    def _started(self, path: File) -> Update:
        image = self.desk.photo(path)
        recipe = Recipe(mask_prompt="", mask_negative="", mask_invert=False) if image else Recipe()
        words = {self.knobs[name]: getattr(recipe, name) for name in WORDS}
        return {self.mask_image: path, self.job: "", **words}

    def look(self, photo: File, mask_image: File, **fields: Any) -> Any:
        """What the words find, from which the browser draws the mask."""
        return gr.skip() if photo is None else self.desk.view(photo, mask_image, fields)

    def look_at_map(self, photo: File, mask_image: File, **fields: Any) -> Pixels | None:
        """What guides the painting, before anything is painted."""
        with told():
            own = {name: fields[name] for name in (*self.knobs, "dilate_unit")}
            return self.desk.control_sheet(photo, mask_image, own)

    def convert(self, photo: File, mask_image: File, **fields: Any) -> gr.Slider:
        """The same length in the other unit."""
        with told():
            return dilate_slider(self.desk.converted(photo, mask_image, fields))

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

    def turn_away(self) -> Update:
        """The queue was full."""
        return {**self._idle(), self.job: message_html(BUSY, "alert")}

    def paint(
        self, request: gr.Request, photo: File, mask_image: File, cancelled: Event,
        before: Exhibit | None, **fields: Any,
    ) -> Iterator[Update]:  # fmt: skip
        """Run the job, showing everything on the way."""
        try:
            order = self.desk.order(photo, mask_image, fields)
        except MasqueradeError as error:
            yield self._stopped(error, before)
        else:
            folder = self.work.folder(request.session_hash)
            yield from self._run(order, (photo, mask_image), folder, cancelled, before)

    def retouch(
        self, request: gr.Request, photo: File, mask_image: File, cancelled: Event | None,
        before: Exhibit | None, **fields: Any,
    ) -> Iterator[Update]:  # fmt: skip
        """Lay grain and look over what is shown, unless a job runs or more was changed."""
        order = None if cancelled else self.desk.retouch(photo, mask_image, fields, before)
        if order is None:
            yield {self.job: gr.skip()}
        else:
            folder = self.work.folder(request.session_hash)
            yield from self._run(order, (photo, mask_image), folder, Event(), before)

    def _run(
        self, order: Order, source: tuple[File, File], folder: Path, cancelled: Event,
        before: Exhibit | None,
    ) -> Iterator[Update]:  # fmt: skip
        sketches, done = Sketches(folder), False
        try:
            with closing(self.desk.paint(order, cancelled)) as events:
                for event in events:
                    if isinstance(event, Progress):
                        yield self._show(event, sketches)
                    else:
                        update, done = self._finish(event, Exhibit.of(event, folder, source)), True
                        yield update
                        self.work.retire(before.folder if before else None)
        except MasqueradeError as error:
            yield self._stopped(error, before)
        finally:
            if not done:
                self.work.drop(folder)

    def _show(self, progress: Progress, sketches: Sketches) -> Update:
        update: Update = {self.job: job_html(progress)}
        if progress.preview is not None:
            update[self.forming] = gr.update(value=sketches.add(progress.preview), visible=True)
            update[self.compare] = gr.update(visible=False)
        if progress.control_map is not None:
            update[self.control_map] = sketches.keep("control-map", progress.control_map)
        return update

    def _finish(self, done: Result | GridResult, pictures: Exhibit) -> Update:
        first = pictures.first
        return {
            **self._idle(),
            self.job: done_html(done),
            self.forming: gr.update(value=None, visible=False),
            self.compare: gr.update(value=(pictures.shown[0], pictures.shown[first]), visible=True),
            self.strip: gr.update(
                value=list(zip(pictures.shown, pictures.captions, strict=True)),
                selected_index=first, visible=True,
            ),
            self.download: gr.update(value=pictures.files[first], visible=True),
            self.control_map: pictures.control_map,
            self.pictures: pictures,
        }  # fmt: skip

    def _stopped(self, error: MasqueradeError, before: Exhibit | None) -> Update:
        """Nothing was finished: what was there before is shown again."""
        role = "status" if isinstance(error, Cancelled) else "alert"
        fallen = isinstance(error, ModelUnavailable)
        return {
            **self._idle(),
            self.job: message_html(str(error), role),
            self.forming: gr.update(value=None, visible=before is None),
            self.compare: gr.update(visible=before is not None),
            self.knobs["style"]: self.studio.style().key if fallen else gr.skip(),
            self.knobs["cfg_scale"]: self.suit(UNSET) if fallen else gr.skip(),
        }

    def _idle(self) -> Update:
        """Ready for the next job."""
        return {
            self.generate: gr.update(interactive=True),
            self.cancel: gr.update(interactive=False),
            self.cancelled: None,
        }

    def choose(self, pictures: Exhibit, event: gr.SelectData) -> tuple[Any, Any]:
        """Compare the chosen picture with the input, and offer it for download."""
        pair = (pictures.shown[0], pictures.shown[event.index])
        return pair, gr.update(value=pictures.files[event.index])

    def leave(self, request: gr.Request) -> None:
        """The tab is closed, or out of reach."""
        self.work.leave(request.session_hash)

    def paint_over_http(
        self, photo: Upload = None, recipe: Asked = "", mask_image: Upload = None
    ) -> Iterator[dict[str, Any]]:
        """Repaint a photo. `recipe` is a prompt block, or the fields of a recipe.

        Gives how far it is and, at the end, the images, the seed, and how many kept pixels changed.
        """
        with told(), closing(self.desk.paint_for_program(photo, recipe, mask_image)) as answers:
            for files, report in answers:
                yield {"images": [gr.FileData(path=str(file)) for file in files], **report}

    def mask_over_http(
        self, photo: Upload = None, recipe: Asked = "", mask_image: Upload = None
    ) -> dict[str, Any]:
        """The mask of a photo, white where it would be repainted, and how sure each word is."""
        with told():
            file, report = self.desk.mask_for_program(photo, recipe, mask_image)
        return {"images": [gr.FileData(path=str(file))], **report}


def dilate_slider(length: Length) -> gr.Slider:
    """The slider set to a length, with its unit's range."""
    limit = Length.LIMITS[length.unit]
    return gr.Slider(-limit, limit, value=round(length.value, 1))


@contextmanager
def served(studio: Studio, options: Options, folder: Path | None = None) -> Iterator[Any]:
    """The page on a server, which runs inside the block; the models load behind it."""
    hosts: set[str | None] = {*options.hosts}
    with opened("GRADIO_TEMP_DIR", folder) as work:
        blocks = Page(studio, warmth := Warmth(studio), work).build()
        blocks.launch(
            server_name=options.host, server_port=options.port, share=options.share or None,
            auth=list(options.auth) or None, max_file_size=MAX_BYTES, css_paths=ASSETS / "page.css",
            theme=gr.themes.Base(primary_hue="orange", neutral_hue="slate", font=FONT),
            app_kwargs={"middleware": [(Guard, (), {"hosts": hosts, "endpoints": ENDPOINTS})]},
            state_session_capacity=SESSIONS, footer_links=["api", "gradio", "settings"],
            run_history=False, ssr_mode=False, prevent_thread_lock=True,
        )  # fmt: skip
        hosts.add(urlsplit(blocks.share_url or "").hostname)
        work.settle()
        warmth.start()
        try:
            yield blocks
        finally:
            blocks.close()


def main() -> None:
    """Start the server and stay until it is stopped."""
    options = Options.read(TAGLINE)
    prepare()
    studio = Studio(
        catalog=Catalog.load(options.catalog), style=options.style, kept_paintings=KEPT,
        safety_checker=options.safety_checker, compiled=options.compiled, lend=lender(),
    )  # fmt: skip
    studio.compile_ahead()
    with served(studio, options) as blocks:
        blocks.block_thread()


if __name__ == "__main__":
    main()
