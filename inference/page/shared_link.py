"""A link to the form's settings, without photo and mask: written here, read as a page opens."""

from __future__ import annotations

from typing import Any

import gradio as gr

from inference.errors import MasqueradeError
from inference.page.components import QUICK, Components, Update
from inference.page.html import message_html
from inference.page.inputs import InputHandlers
from inference.recipe.prompt_block import field_line, parse
from inference.recipe.recipe import Recipe
from inference.serving.form import recipe_of
from inference.serving.gradio_errors import shown_errors

PARAMETER = "recipe"
#: Fields that belong to one photo.
OF_PHOTO = frozenset(("input_image_url", "mask_image_url", "mask_strokes"))
_ADDRESS = (
    f"(text) => `${{location.origin}}${{location.pathname}}?{PARAMETER}="
    "${encodeURIComponent(text)}`"
)


class SharedLink:
    """The button that writes the link, and the field that shows it."""

    write: gr.Button
    link: gr.Textbox

    def layout(self) -> None:
        """Create the components."""
        self.write = gr.Button("Write a link to these settings", size="sm", elem_id="write-link")
        self.link = gr.Textbox(
            label="Link", buttons=["copy"], elem_id="link", max_lines=2, interactive=False,
            info="Opens the page with these settings, without the photo.",
        )  # fmt: skip

    def connect(self, page: Components, inputs: InputHandlers, blocks: gr.Blocks) -> None:
        """Connect the button, and the opening of a page by a link."""

        def write(**fields: Any) -> str:
            with shown_errors():
                return text_of(recipe_of(fields))

        def read(visitor: gr.Request) -> Update:
            text = visitor.query_params.get(PARAMETER, "") if visitor.request else ""
            if not text:
                return {page.job: gr.skip()}
            try:
                recipe = recipe_in(text)
            except MasqueradeError as error:
                return {page.job: message_html(str(error), "alert")}
            return {
                **inputs.filled(recipe),
                page.job: message_html("The link's settings are taken."),
            }

        written = self.write.click(
            write, inputs_kwargs=page.form(), outputs=self.link, **QUICK
        )  # fmt: skip
        written.success(None, self.link, self.link, js=_ADDRESS, **QUICK)
        blocks.load(read, None, inputs.filled_components(), **QUICK)


def text_of(recipe: Recipe) -> str:
    """The settings of a recipe that are not the default, a line each."""
    values, usual = recipe.model_dump(mode="json"), Recipe().model_dump(mode="json")
    named = {name: value for name, value in values.items() if name not in OF_PHOTO}
    return "\n".join(field_line(name, v) for name, v in named.items() if v != usual[name])


def recipe_in(text: str) -> Recipe:
    """The recipe of a link's text.

    Raises:
        InvalidRecipe: it is no prompt block, or a value is not allowed.
    """
    unset = {name: getattr(Recipe(), name) for name in OF_PHOTO}
    return parse(text).recipe.model_copy(update=unset)
