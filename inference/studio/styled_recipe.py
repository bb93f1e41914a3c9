"""What a style makes of a recipe: whether it has all that is used, its words and its settings."""

from __future__ import annotations

from inference.catalog.catalog import INPAINT, TILE, Catalog
from inference.catalog.schema import Style
from inference.control.control_maps import CONTROLS
from inference.errors import InvalidRecipe
from inference.recipe.control_list import Control
from inference.recipe.lora_tags import split_lora_tags
from inference.recipe.recipe import Recipe


def check(catalog: Catalog, style: Style, recipe: Recipe) -> None:
    """Check that the style has what the recipe uses.

    Raises:
        InvalidRecipe: it has not; names the field.
    """
    controls_of(recipe, catalog, style)
    family = catalog.family(style.family)
    lacks = {
        "face_swap": recipe.face_swap and family.face is None,
        "tiled_upscale": recipe.tiled_upscale and TILE not in family.controls,
        "only_upscale": recipe.only_upscale and TILE not in family.controls,
    }
    for name, is_lacking in lacks.items():
        if is_lacking:
            title = Recipe.model_fields[name].title
            raise InvalidRecipe(
                f"{title} ({name}): the style {style.title} has no model for it, so turn it off or "
                "choose another style.",
                field=name,
            )


def controls_of(recipe: Recipe, catalog: Catalog, style: Style) -> tuple[Control, ...]:
    """The controls that a recipe names, checked against the style.

    Raises:
        InvalidRecipe: the style has no such control, lists those that it has; or nothing of the
            photo is kept, which the control `inpaint` would show.
    """
    known = [control.key for control in catalog.controls(style.family) if control.key in CONTROLS]
    if any(control.name not in known for control in recipe.controls):
        field = "controlnets" if recipe.controlnets else "controlnet"
        title = Recipe.model_fields[field].title
        choice = f"takes one of {', '.join(known)}" if known else "has to be empty"
        raise InvalidRecipe(
            f"{title} ({field}): with the style {style.title} it {choice}.", field=field
        )
    if recipe.controlnet_txt2img and any(one.name == INPAINT for one in recipe.controls):
        title = Recipe.model_fields["controlnet_txt2img"].title
        raise InvalidRecipe(
            f"{title} (controlnet_txt2img): the control {INPAINT} shows what is kept of the photo, "
            "so turn this off or leave the control out.",
            field="controlnet_txt2img",
        )
    return recipe.controls


def painters(recipe: Recipe, catalog: Catalog, style: Style, trigger_words: str) -> Recipe:
    """The painter's recipe: a recipe with the style's words and settings.

    Args:
        recipe: what the user wants.
        catalog: has the settings of a fast job.
        style: with the LoRAs of the prompt.
        trigger_words: of the style's LoRAs.
    """
    strength = 1.0 if recipe.controlnet_txt2img else recipe.denoising_strength
    negative = ", ".join(filter(None, (style.negative_prompt, recipe.negative_prompt)))
    prompt = split_lora_tags(recipe.prompt).text  # its LoRAs are in the style

    def dressed(words: str) -> str:
        """Words with those that the style has around them."""
        return "".join((trigger_words, style.prompt_prefix, words, style.prompt_suffix))

    around = recipe.outpaint_prompt
    fast = catalog.fast(style).settings if recipe.fast else {}
    return recipe.model_copy(
        update={
            "cfg_scale": style.cfg_scale if recipe.cfg_scale is None else recipe.cfg_scale,
            "control_mode": recipe.control_mode or style.control_mode,
            **fast,
            "prompt": dressed(prompt),
            "outpaint_prompt": dressed(around) if around else "",
            "negative_prompt": negative,
            "denoising_strength": strength,
        }
    )
