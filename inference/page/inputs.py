"""Gradio event handlers for a job's inputs: photo, mask, settings and prompt blocks."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from inference.errors import MasqueradeError
from inference.page.components import (
    LIVE,
    PRIVATE,
    QUICK,
    Components,
    Update,
    length_update,
)
from inference.page.examples import Example
from inference.page.html import health_html, message_html, status_html
from inference.page.model_status import ModelStatus
from inference.recipe.length import Unit
from inference.recipe.prompt_block import format_block, is_block, parse
from inference.recipe.recipe import Recipe
from inference.serving.form import UNSET, control_menu, converted, menus, recipe_of, values_of
from inference.serving.gradio_errors import shown_errors
from inference.serving.job_service import JobService
from inference.serving.result_files import File
from inference.studio.doctor import examine
from inference.studio.studio import Studio

ASKING = message_html(
    "Looking at this machine and asking the model hub; it takes up to ten seconds."
)
# Fields that a mask image replaces.
WORDS = ("mask_prompt", "mask_negative", "mask_invert")
# Fields that need new mask data from the server; the browser applies all other mask fields.
MASK_DATA_FIELDS = ("mask_prompt", "mask_negative", "style", "w", "h")


class InputHandlers:
    """Handlers that fill in and read the form.

    Args:
        page: the components.
        studio: has the styles, and the default style.
        service: photos, masks and control maps.
        status: progress of loading.
        examples: the portraits of the gallery.
        blocks: files with example prompt blocks.
    """

    def __init__(
        self,
        page: Components,
        studio: Studio,
        service: JobService,
        status: ModelStatus,
        examples: Sequence[Example],
        blocks: Sequence[Path],
    ) -> None:
        self._page = page
        self._studio = studio
        self._service = service
        self._status = status
        self._examples = examples
        self._blocks = blocks
        self._examination = threading.Lock()

    def connect(self) -> None:
        """Connect the events of the components."""
        page, fields, opened = self._page, self._page.fields, self._opened_components()
        filled, view = self.filled_components(), self.view()
        changes = [fields[name].change for name in MASK_DATA_FIELDS]
        gr.on([*changes, fields["ar"].input], **view)
        page.mask.submit(self.show_matte, inputs_kwargs=page.request(), outputs=page.matte, **LIVE)
        page.mask.select(
            self.show_regions, inputs_kwargs=page.request(), outputs=page.regions, **LIVE
        )
        page.upload.upload(self.open, page.upload, filled, **PRIVATE).then(**view)
        page.change_photo.click(lambda: self.opened(None), None, opened, **QUICK)
        page.gallery.click(self.pick_example, page.gallery, filled, **QUICK).then(**view)
        address = fields["input_image_url"]
        address.submit(self.fetch_photo, address, opened, **QUICK).then(**view)
        self._connect_mask_image(view)
        self._connect_blocks(filled, view)
        style, scale, control = fields["style"], fields["cfg_scale"], fields["controlnet"]
        style.change(self.offer_controls, [style, control], [control], **QUICK)
        style.input(self.suit_style, style, scale, **QUICK)
        loaded = [page.status, style, page.styles, scale, page.timer]
        page.timer.tick(self.show_status, style, loaded, **QUICK)
        panel = [page.health_panel, page.health]
        asked = page.why.click(lambda: (gr.Column(visible=True), ASKING), None, panel, **QUICK)
        asked.then(self.explain, style, page.health, **QUICK)
        page.close_health.click(lambda: gr.Column(visible=False), None, panel[:1], **QUICK)

    def _opened_components(self) -> list[Any]:
        """The components that `opened` updates."""
        page = self._page
        return [
            page.photo, page.upload, page.photo_view, page.gallery, page.job, page.mask_image,
            page.mask_file, page.fields["mask_strokes"],
        ]  # fmt: skip

    def filled_components(self) -> list[Any]:
        """The components that `opened` and `filled` update."""
        page = self._page
        return [*{*self._opened_components(), *page.fields.values(), page.dilate_unit}]

    def view(self) -> dict[str, Any]:
        """The event that shows the mask of a new photo or recipe."""
        page = self._page
        given = {"inputs_kwargs": page.request(), "outputs": page.mask}
        return {"fn": self.show_mask, **given, **LIVE}

    def _connect_mask_image(self, view: dict[str, Any]) -> None:
        page, fields = self._page, self._page.fields
        started: list[Any] = [page.mask_image, page.job, *(fields[name] for name in WORDS)]
        changed = [page.mask_file.upload, page.mask_file.clear]
        gr.on(changed, self.open_mask, page.mask_file, started, **PRIVATE).then(**view)
        address = fields["mask_image_url"]
        address.submit(self.fetch_mask, address, started, **QUICK).then(**view)
        page.dilate_unit.input(
            self.convert_dilation, [fields["mask_dilate"], page.dilate_unit],
            fields["mask_dilate"], **QUICK,
        )  # fmt: skip

    def _connect_blocks(self, filled: list[Any], view: dict[str, Any]) -> None:
        page, prompt = self._page, self._page.fields["prompt"]
        prompt.change(self.notice_block, prompt, page.pasted, **LIVE)
        page.pasted.change(self.read_block, page.pasted, filled, **QUICK).then(**view)
        page.read_block.click(self.read_block, page.block, filled, **QUICK).then(**view)
        page.block_examples.click(
            self.read_example_block, page.block_examples, filled, **QUICK
        ).then(**view)
        page.write_block.click(
            self.write_block, inputs_kwargs=page.form(), outputs=page.block, **QUICK
        )

    # --- photo and mask ----------------------------------------------------------------------

    def open(self, path: File) -> Update:
        """Open an uploaded photo, with the settings and mask if it has them embedded."""
        return {self._page.upload: None, **self._or_error(self._open_upload, path)}

    def fetch_photo(self, url: str) -> Update:
        """Open a photo from the web."""
        return self._or_error(lambda: self.opened(self._service.fetch(url)) if url else {})

    def open_mask(self, path: File) -> Update:
        """Use a mask image, whose white is repainted; None restores the default words."""
        return self._or_error(self._opened_mask, path)

    def fetch_mask(self, url: str) -> Update:
        """Use a mask image from the web."""
        return self._or_error(lambda: self._opened_mask(self._service.fetch(url)))

    def pick_example(self, index: int) -> Update:
        """Open an example and fill in its prompt."""
        example = self._examples[index]
        return {**self.filled(Recipe(prompt=example.prompt)), **self.opened(example.photo)}

    def show_mask(self, photo: File, mask_image: File, **fields: Any) -> Any:
        """The data from which the browser computes the mask."""
        return gr.skip() if photo is None else self._service.mask_view(photo, mask_image, fields)

    def show_matte(self, photo: File, mask_image: File, **fields: Any) -> Any:
        """The mask with single hairs, once nothing has moved for a while."""
        return gr.skip() if photo is None else self._service.matte(photo, mask_image, fields)

    def show_regions(self, photo: File, mask_image: File, **fields: Any) -> Any:
        """What lies at the clicks, as soon as there is a new one."""
        return gr.skip() if photo is None else self._service.regions(photo, mask_image, fields)

    def convert_dilation(self, value: float, unit: str) -> gr.Slider:
        """The dilation in the unit that was just chosen, from its value in the other one."""
        return length_update(converted(value, Unit(unit)))

    # --- settings ----------------------------------------------------------------------------

    def show_status(self, chosen: str) -> tuple[str, Any, Any, Any, gr.Timer]:
        """Progress of loading; after it, the menu of styles and, if none was chosen, the style."""
        ready, style, styles, scale = self._status.ready, gr.skip(), gr.skip(), gr.skip()
        if ready:
            menu, default = menus(self._studio.catalog)["style"], self._studio.style()
            key, scale = (default.key, default.cfg_scale) if chosen == UNSET else (chosen, scale)
            style, styles = gr.Dropdown(menu, value=key), gr.Dropdown(menu[1:])  # no «Automatic»
        return status_html(self._status), style, styles, scale, gr.Timer(active=not ready)

    def explain(self, chosen: str) -> str:
        """Why the style works here, or why not; takes seconds, in which others are served."""
        with self._examination:  # one at a time, because it asks the hub for every model
            studio = self._studio
            try:
                style = studio.style(None if chosen == UNSET else chosen)
                device = studio.models().device
            except MasqueradeError as error:
                return message_html(str(error), "alert")
            return health_html(examine(studio.catalog, device, (style,)))

    def suit_style(self, style: str) -> float:
        """The guidance scale of a style."""
        return self._studio.style(None if style == UNSET else style).cfg_scale

    def offer_controls(self, style: str, control: str) -> Any:
        """The menu of the controls that the style's models have."""
        if style == UNSET:
            return gr.skip()
        catalog = self._studio.catalog
        menu = control_menu(catalog, catalog.style(style))
        if control in dict(menu).values():
            return gr.Dropdown(menu)  # the value may have changed since: it stays as it is
        return gr.Dropdown(menu, value=UNSET)

    # --- prompt blocks -----------------------------------------------------------------------

    def notice_block(self, prompt: str) -> Any:
        """Return a prompt block that was pasted into the prompt field; ignore other text."""
        return prompt if is_block(prompt) else gr.skip()

    def read_block(self, text: str) -> Update:
        """Fill in the form from a prompt block, including its photo and mask."""
        return self._or_error(self._read_block, text)

    def read_example_block(self, index: int) -> Update:
        """Fill in the form from an example prompt block."""
        return self.read_block(self._blocks[index].read_text(encoding="utf-8"))

    def write_block(self, **fields: Any) -> str:
        """All settings as a prompt block."""
        with shown_errors():
            return format_block(recipe_of(fields))

    # --- updates -----------------------------------------------------------------------------

    def _or_error(self, update: Callable[..., Update], *given: object) -> Update:
        """Run an update; if it fails, show the error's message in the job's area."""
        try:
            return update(*given) or {self._page.job: gr.skip()}
        except MasqueradeError as error:
            return {self._page.job: message_html(str(error), "alert")}

    def _open_upload(self, path: File) -> Update:
        opened, found = self.opened(path), self._service.embedded(path)
        if found is None:
            return opened
        mask_image = self._service.store(found.mask)
        shown = {self._page.mask_image: mask_image, self._page.job: message_html(found.summary)}
        return {**opened, **self.filled(found.masked_recipe), **shown}

    def opened(self, path: File) -> Update:
        """The update for a new photo, or for none; mask image and strokes are reset."""
        page, photo = self._page, self._service.photo(path)
        return {
            page.photo: path,
            page.upload: gr.update(value=None, visible=photo is None),
            page.photo_view: gr.update(visible=photo is not None),
            page.gallery: gr.update(visible=photo is None),
            page.job: message_html(photo.note) if photo and photo.note else "",
            page.mask_image: None,
            page.mask_file: None,
            page.fields["mask_strokes"]: "",
        }

    def _opened_mask(self, path: File) -> Update:
        image = self._service.photo(path)
        recipe = Recipe(mask_prompt="", mask_negative="", mask_invert=False) if image else Recipe()
        words = {self._page.fields[name]: getattr(recipe, name) for name in WORDS}
        return {self._page.mask_image: path, self._page.job: "", **words}

    def _read_block(self, text: str) -> Update:
        block = parse(text)
        photo = self._service.fetch(block.recipe.input_image_url)
        mask = self._service.fetch(block.recipe.mask_image_url)
        opened = {} if photo is None else self.opened(photo)
        masked = {} if mask is None else {self._page.mask_image: mask}
        filled = self.filled(block.recipe)
        return {**opened, **masked, **filled, self._page.job: message_html(block.summary)}

    def filled(self, recipe: Recipe) -> Update:
        """The update that sets all fields to a recipe; a style or scale of None is not changed."""
        page, values = self._page, values_of(recipe)
        if recipe.style is None:
            values["style"] = gr.skip()
        if recipe.cfg_scale is None:
            own = recipe.style
            values["cfg_scale"] = gr.skip() if own is None else self.suit_style(own)
        unit = values.pop("dilate_unit")
        shown = {page.fields[name]: value for name, value in values.items()}
        dilation = {page.fields["mask_dilate"]: length_update(recipe.mask_dilate)}
        return {**shown, **dilation, page.dilate_unit: unit}
