"""What the controls of a page stand for."""

from __future__ import annotations

from typing import Any, get_args

from inference.catalog import Catalog, Style
from inference.controls import CONTROLS
from inference.recipe import SCHEDULERS, AspectRatio, Recipe

UNSET = "unset"  # a menu cannot hold None

Menu = list[tuple[str, str]]


def menus(catalog: Catalog) -> dict[str, Menu]:
    """For each recipe field that is a choice: what people read, and what it means."""
    return {
        "style": [("Automatic", UNSET)] + [(one.title, one.key) for one in catalog.styles()],
        "scheduler": [(name, name) for name in SCHEDULERS],
        "controlnet": [("Off", UNSET)] + [(name, name) for name in CONTROLS],
        "ar": [("As the photo", UNSET)] + [(name, name) for name in get_args(AspectRatio)],
    }


def control_menu(catalog: Catalog, style: Style) -> Menu:
    """The controls that a style's models have."""
    offered = catalog.controls(style.family)
    return [("Off", UNSET)] + [(one.title, one.key) for one in offered]


def recipe_of(fields: dict[str, Any]) -> Recipe:
    """The recipe that the controls stand for; the dilation comes as a number and its unit.

    Raises:
        InvalidRecipe: a value is not allowed.
    """
    given = {name: None if value == UNSET else value for name, value in fields.items()}
    length = f"{given.pop('mask_dilate')}{given.pop('dilate_unit')}"
    return Recipe.parse({**given, "mask_dilate": length})
