"""The page's form: placement and menus of recipe fields, conversion to and from a recipe."""

from __future__ import annotations

from typing import Any, get_args

from inference.catalog.catalog import Catalog
from inference.catalog.hub import is_ready
from inference.catalog.schema import Style
from inference.control.control_maps import CONTROLS
from inference.recipe.finish_settings import ColorGrading
from inference.recipe.length import Length, Unit
from inference.recipe.mask_settings import Edges
from inference.recipe.outpaint_settings import Anchor
from inference.recipe.recipe import SCHEDULERS, AspectRatio, ControlMode, Recipe

UNSET = "unset"  # stands for None, which a menu cannot hold
MENU_FIELDS = (
    "style", "scheduler", "controlnet", "control_mode", "ar", "color_grading", "mask_edges",
    "outpaint",
)  # fmt: skip
# Fields in the folded parts of the page; all others are always visible.
FOLDS = {
    "Mask": ("mask_threshold", "mask_edges", "mask_feather", "mask_matte_width"),
    "Sampling": (
        "fast", "negative_prompt", "num_images", "steps", "scheduler", "guidance_stop", "seed",
        "use_lpw", "inpainting_model",
    ),
    "Control": (
        "controlnet", "controlnet_conditioning_scale", "control_guidance_end", "control_mode",
        "controlnet_txt2img", "controlnets", "controlnet_weights", "controlnet_windows",
    ),
    "Finishing": (
        "super_resolution", "hires_fix", "hires_denoising_strength", "hires_cfg_scale",
        "tiled_upscale", "resemblance", "only_upscale", "inpaint_faces",
        "face_correct", "face_swap", "color_match", "light_wrap", "color_grading",
        "film_grain", "film_grain_amount", "film_grain_size", "protect",
    ),
    "Wider scene": ("outpaint", "outpaint_width", "outpaint_height", "outpaint_prompt"),
    "Photo and size": ("input_image_url", "mask_image_url", "ar", "w", "h"),
}  # fmt: skip

#: Pairs of label and value.
Menu = list[tuple[str, str]]


def menus(catalog: Catalog) -> dict[str, Menu]:
    """The menu of each of `MENU_FIELDS`."""
    return {
        "style": [("Automatic", UNSET), *style_menu(catalog)],
        "scheduler": [(name, name) for name in SCHEDULERS],
        "controlnet": [("Off", UNSET)] + [(name, name) for name in CONTROLS],
        "control_mode": [("As the style", UNSET)] + [(n.title(), n) for n in get_args(ControlMode)],
        "ar": [("As the photo", UNSET)] + [(name, name) for name in get_args(AspectRatio)],
        "mask_edges": [("Automatic", UNSET)] + [(name.title(), name) for name in get_args(Edges)],
        "outpaint": [("Off", UNSET)] + [(name, name) for name in get_args(Anchor)],
        "color_grading": [("None", UNSET)] + [(name, name) for name in get_args(ColorGrading)],
    }


def style_menu(catalog: Catalog) -> Menu:
    """The menu of styles; labels say which have to be downloaded first."""

    def is_there(style: Style) -> bool:
        return any(is_ready(one.base) for one in (style.for_inpainting(), style))

    return [
        (one.title if is_there(one) else f"{one.title} · download", one.key)
        for one in catalog.styles()
    ]


def control_menu(catalog: Catalog, style: Style) -> Menu:
    """The menu of the controls that a style's models have."""
    offered = catalog.controls(style.family)
    return [("Off", UNSET)] + [(one.title, one.key) for one in offered]


def recipe_of(fields: dict[str, Any]) -> Recipe:
    """The recipe for the form's values; `dilate_unit` is the unit of the number `mask_dilate`.

    Raises:
        InvalidRecipe: a value is invalid.
    """
    given = {name: None if value == UNSET else value for name, value in fields.items()}
    length = f"{given.pop('mask_dilate')}{given.pop('dilate_unit')}"
    return Recipe.parse({**given, "mask_dilate": length})


def values_of(recipe: Recipe) -> dict[str, Any]:
    """The form's values for a recipe; the inverse of `recipe_of`."""
    dumped = recipe.model_dump(mode="json")
    blanks = {name: UNSET if name in MENU_FIELDS else "" for name in dumped}
    values = {name: blanks[name] if value is None else value for name, value in dumped.items()}
    length = recipe.mask_dilate
    values["cfg_scale"] = recipe.guidance_scale  # a slider is never empty
    return {**values, "mask_dilate": length.value, "dilate_unit": length.unit.value}


def converted(value: float, unit: Unit) -> Length:
    """Convert a length from the other unit to `unit`."""
    old = Unit.PERCENT if unit is Unit.PIXELS else Unit.PIXELS
    return Length(value=value, unit=old).to(unit)
