"""The outpainting settings of a recipe: a larger canvas around the picture."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import model_validator

from inference.errors import InvalidRecipe
from inference.recipe.settings import MAX_SIDE, MAX_TEXT, EmptyIsNone, Setting, Settings

Anchor = Literal[
    "top-left", "top-center", "top-right", "left-center", "center", "right-center",
    "bottom-left", "bottom-center", "bottom-right",
]  # fmt: skip


class OutpaintSettings(Settings):
    """Settings of outpainting: where the picture lies on a larger canvas, whose rest is painted."""

    outpaint: Annotated[Anchor | None, EmptyIsNone] = Setting(
        None,
        "Place on the canvas",
        "Where the picture lies on a larger canvas, whose rest is painted. Empty: no such canvas.",
    )
    outpaint_width: Annotated[int | None, EmptyIsNone] = Setting(
        None, "Canvas width", "In pixels of the picture before it is enlarged.",
        ge=64, le=MAX_SIDE,
    )  # fmt: skip
    outpaint_height: Annotated[int | None, EmptyIsNone] = Setting(
        None, "Canvas height", "In pixels of the picture before it is enlarged.",
        ge=64, le=MAX_SIDE,
    )  # fmt: skip
    outpaint_prompt: str = Setting(
        "", "Prompt around", "What is around the picture. Empty: as the prompt.",
        max_length=MAX_TEXT,
    )  # fmt: skip

    @model_validator(mode="after")
    def _check_canvas(self) -> Self:
        """Refuse a place without a canvas."""
        if self.outpaint is not None:
            for name in ("outpaint_width", "outpaint_height"):
                if getattr(self, name) is None:
                    title = type(self).model_fields[name].title
                    raise InvalidRecipe(
                        f"{title} ({name}): give the size of the larger canvas, or no place on it.",
                        field=name,
                    )
        return self
