"""What the controls of a page stand for."""

from __future__ import annotations

from typing import Any, get_args

from inference.catalog import Catalog, Style
from inference.controls import CONTROLS
from inference.finish_settings import ColorGrading
from inference.hub import is_ready
from inference.recipe import SCHEDULERS, AspectRatio, ControlMode, Length, Recipe, Unit

UNSET = "unset"  # a menu cannot hold None
CHOICES = ("style", "scheduler", "controlnet", "control_mode", "ar", "color_grading")
# What stands in which part of the page; the rest of a recipe is always in sight.
FOLDS = {
    "Mask": ("mask_threshold", "mask_feather"),
    "Sampling": (
        "fast", "negative_prompt", "num_images", "steps", "scheduler", "guidance_stop", "seed",
        "use_lpw",
    ),
    "Control": (
        "controlnet", "controlnet_conditioning_scale", "control_mode", "controlnet_txt2img",
        "controlnets", "controlnet_weights", "controlnet_windows",
    ),
    "Finishing": (
        "super_resolution", "hires_fix", "hires_denoising_strength", "inpaint_faces",
        "face_correct", "face_swap", "color_grading", "film_grain", "film_grain_amount",
        "film_grain_size", "protect",
    ),
    "Photo and size": ("input_image_url", "mask_image_url", "ar", "w", "h"),
}  # fmt: skip

Menu = list[tuple[str, str]]


def menus(catalog: Catalog) -> dict[str, Menu]:
    """For each recipe field that is a choice: what people read, and what it means."""
    return {
        "style": [("Automatic", UNSET), *style_menu(catalog)],
        "scheduler": [(name, name) for name in SCHEDULERS],
        "controlnet": [("Off", UNSET)] + [(name, name) for name in CONTROLS],
        "control_mode": [("As the style", UNSET)] + [(n.title(), n) for n in get_args(ControlMode)],
        "ar": [("As the photo", UNSET)] + [(name, name) for name in get_args(AspectRatio)],
        "color_grading": [("None", UNSET)] + [(name, name) for name in get_args(ColorGrading)],
    }


def style_menu(catalog: Catalog) -> Menu:
    """The styles; those whose models are not on this machine yet say so."""
    return [
        (one.title if is_ready(one.base) else f"{one.title} · download", one.key)
        for one in catalog.styles()
    ]


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


def converted(value: float, unit: Unit, short_side: int) -> Length:
    """A length, given in the other unit, in this one."""
    old = Unit.PERCENT if unit is Unit.PIXELS else Unit.PIXELS
    return Length(value=value, unit=old).to(unit, short_side)


def values_of(recipe: Recipe) -> dict[str, Any]:
    """What the controls show for a recipe; the reverse of `recipe_of`."""
    shown = recipe.model_dump(mode="json")
    blanks = {name: UNSET if name in CHOICES else "" for name in shown}
    values = {name: blanks[name] if value is None else value for name, value in shown.items()}
    length = recipe.mask_dilate
    values["cfg_scale"] = recipe.guidance_scale  # a slider is never empty
    return {**values, "mask_dilate": length.value, "dilate_unit": length.unit.value}
