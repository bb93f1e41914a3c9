"""Gradio app: layout of the page, and the server's entry point (`python app.py`)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gradio as gr

from inference import Recipe, Studio
from inference.catalog.catalog import Catalog
from inference.page.components import (
    PAINTER_QUEUE,
    Components,
    PhotoUpload,
    recipe_component,
    unit_component,
)
from inference.page.examples import Example
from inference.page.history import HistoryHandlers
from inference.page.history_panel import HistoryPanel
from inference.page.html import status_html
from inference.page.inputs import InputHandlers
from inference.page.jobs import JobHandlers
from inference.page.languages import Languages
from inference.page.model_status import ModelStatus
from inference.page.shared_link import SharedLink
from inference.page.theme import theme
from inference.page.wider_scene import WiderScene
from inference.picture.photo import MAX_BYTES
from inference.rest.service import running_backend
from inference.serving.backend import Backend
from inference.serving.form import FOLDS, menus, style_menu, values_of
from inference.serving.http_api import HttpApi
from inference.serving.job_service import JobService
from inference.serving.options import Options, prepare_process
from inference.serving.zero_gpu import gpu_lender

ASSETS = Path(__file__).parent / "assets"
# Most jobs in the queue, most sessions whose state is kept, most paintings in the cache.
QUEUE, SESSIONS, KEPT_PAINTINGS = 20, 500, 8
TITLE = "Masquerade"
TAGLINE = "Puts a person, untouched, into any scene."
FIRST_STEPS = "Pick an example or drop a photo, say where it should be, and press Generate."
MASK_ORDER = "words → minus «but not» → threshold, without specks → brush → invert → dilate → edges"
MASK_CANVAS = ("math", "canvas", "tools", "words", "guides", "clicks", "matte")


def asset(name: str) -> str:
    """The text of a file in assets/."""
    return (ASSETS / name).read_text(encoding="utf-8")


class Page(Components):
    """The page of one server: `build` lays out the components and connects their handlers."""

    def __init__(self, studio: Studio, status: ModelStatus, service: JobService) -> None:
        self._studio, self._model_status, self._service = studio, status, service
        self._menus, self._defaults = menus(studio.catalog), values_of(Recipe())
        self._blocks = sorted((ASSETS / "recipes").glob("*.txt"))
        self._examples = Example.load_all(ASSETS / "examples")
        self.fields, self.history, self.wider = {}, HistoryPanel(), WiderScene()
        self.languages, self.shared_link = Languages.load(ASSETS / "languages"), SharedLink()

    def build(self) -> Any:
        """Build the page and return its Gradio Blocks."""
        with gr.Blocks(title=TITLE, fill_width=True, analytics_enabled=False) as blocks:
            states = (gr.State() for _ in range(4))
            self.photo, self.mask_image, self.shown_results, self.cancelled = states
            self.timer = gr.Timer(0.5)
            with gr.Row(elem_id="header"):
                gr.HTML(f"<h1>{TITLE}</h1><p>{TAGLINE}</p>", elem_id="title")
                self.history.button(visible=self._service.library is not None)
                self.status_corner(status_html(self._model_status))
            self.history.layout()
            with gr.Column(elem_id="work"):
                self._photo_column()
                self._prompt_row()
                self._result_column()
            with gr.Row(elem_id="folds"):
                self._setting_folds()
                self._compare_fold()
                self._block_fold()
            self._connect(blocks)
        self.languages.apply(blocks)
        return blocks.queue(max_size=QUEUE, api_open=False)

    def _photo_column(self) -> None:
        with gr.Column(elem_id="photo-column"):
            self.upload = PhotoUpload(
                type="filepath", sources=["upload", "clipboard"], label="Photo", height=330,
                elem_id="upload", placeholder=FIRST_STEPS,
            )  # fmt: skip
            with gr.Column(visible=False, elem_id="looking") as self.photo_view:
                scripts = "\n".join(asset(f"mask_{name}.js") for name in MASK_CANVAS)
                self.mask_canvas(asset("mask_canvas.html"), scripts)
                self.change_photo = gr.Button("Change photo", size="sm", elem_id="change")
            self.gallery = gr.Dataset(
                components=[gr.Image(visible=False)],
                samples=[[str(one.photo)] for one in self._examples],
                type="index", label="Examples", elem_id="examples",
            )  # fmt: skip
            with gr.Row(elem_classes="tight"):
                self._field("mask_prompt", scale=3)
                self._field("mask_negative", scale=3)
                self._field("mask_invert", scale=1, min_width=90)
            with gr.Row(elem_id="main-sliders", elem_classes="tight"):
                with gr.Column(min_width=150):
                    self._field("mask_dilate")
                    self.dilate_unit = unit_component(Recipe().mask_dilate)
                for name in ("denoising_strength", "cfg_scale"):
                    with gr.Column(min_width=150):
                        self._field(name)
            gr.HTML(f"<p class='hint order'>{MASK_ORDER}</p>", elem_id="order")
            self._field("mask_strokes")
            self.pasted = gr.Textbox(elem_id="pasted", container=False)

    def _prompt_row(self) -> None:
        with gr.Row(elem_id="prompt-row", elem_classes="tight"):
            self._field(
                "prompt", scale=8, lines=1, container=False,
                placeholder="A portrait wearing a yellow spacesuit, space",
            )  # fmt: skip
            self._field("style", scale=2, container=False)
            self.generate = gr.Button(
                "Generate", variant="primary", scale=1, min_width=110, elem_id="generate"
            )
            self.cancel = gr.Button(
                "Cancel", interactive=False, scale=1, min_width=90, elem_id="cancel"
            )

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
            self.download = gr.DownloadButton(
                "Download PNG", visible=False, size="sm", elem_id="download"
            )

    def _setting_folds(self) -> None:
        for title, names in FOLDS.items():
            with gr.Accordion(title, open=False):
                if title == "Wider scene":
                    self.wider.layout(asset("wider_frame.js"))
                for name in names:
                    self._field(name)
                if title == "Mask":
                    self.mask_file = gr.File(
                        label="Mask image", file_types=["image"], type="filepath", height=124,
                        elem_id="mask-image",
                    )  # fmt: skip
                if title == "Control":
                    self.control_preview()

    def _compare_fold(self) -> None:
        with gr.Accordion("Compare", open=False):
            self.styles = gr.Dropdown(
                style_menu(self._studio.catalog), value=[], multiselect=True,
                label="Styles side by side", elem_id="styles",
            )  # fmt: skip
            self.vary = gr.Textbox(
                label="And with", placeholder="cfg_scale=2, 5, 8", elem_id="vary", max_lines=1,
                info="A field and its values: one row of pictures for each.",
            )  # fmt: skip

    def _block_fold(self) -> None:
        with gr.Accordion("Prompt block", open=False):
            self.block_fold([path.stem.capitalize() for path in self._blocks])
            self.shared_link.layout()

    def _field(self, name: str, **look: Any) -> None:
        """Create the component of a recipe field at this place of the layout."""
        value, menu = self._defaults[name], self._menus.get(name)
        self.fields[name] = recipe_component(name, value, menu, **look)

    def _connect(self, blocks: Any) -> None:
        service, files = self._service, self._service.files
        HttpApi(service, files).connect(**PAINTER_QUEUE)
        jobs = JobHandlers(self, self._model_status, service, files)
        inputs = InputHandlers(
            self, self._studio, service, self._model_status, self._examples, self._blocks
        )
        inputs.connect()
        jobs.connect()
        self.wider.connect(self, service)
        self.shared_link.connect(self, inputs, blocks)
        if service.library is not None:
            HistoryHandlers(self.history, self, service, service.library, inputs).connect(blocks)
        blocks.unload(jobs.leave)


@contextmanager
def served(studio: Studio, options: Options, behind: Backend) -> Iterator[Any]:
    """Context in which a server runs the page; models load in the background."""
    page = Page(studio, status := ModelStatus(studio), behind.jobs)
    blocks = page.build()
    blocks.launch(
        server_name=options.host, server_port=options.port, share=options.share or None,
        auth=list(options.auth) or None, max_file_size=MAX_BYTES, css_paths=ASSETS / "page.css",
        theme=theme(), js=asset("page.js"), i18n=page.languages.i18n(),
        app_kwargs={"middleware": behind.middleware}, state_session_capacity=SESSIONS,
        footer_links=["api", "gradio", "settings"], run_history=False, ssr_mode=False,
        pwa=True, favicon_path=ASSETS / "icon.svg", prevent_thread_lock=True,
    )  # fmt: skip
    behind.open(blocks.share_url)
    status.start()
    try:
        yield blocks
    finally:
        blocks.close()
        status.stop()


def main() -> None:
    """Start the server and block until it is stopped."""
    options = Options.read(TAGLINE)
    prepare_process()
    studio = Studio(
        catalog=Catalog.load(options.catalog), style=options.style, kept_paintings=KEPT_PAINTINGS,
        safety_checker=options.safety_checker, compiled=options.compiled, lend=gpu_lender(),
    )  # fmt: skip
    studio.compile_ahead()
    with running_backend(studio, options) as behind, served(studio, options, behind) as blocks:
        blocks.block_thread()


if __name__ == "__main__":
    main()
