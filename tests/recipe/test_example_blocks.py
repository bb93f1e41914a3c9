"""Tests of the example recipes, and of the table of fields in docs/fields.md."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, get_args

import pytest

from inference import Photo, Recipe, Result, Studio
from inference.catalog.catalog import Catalog
from inference.recipe.control_list import MAX_CONTROLS
from inference.recipe.length import Length
from inference.recipe.prompt_block import format_block, parse
from inference.recipe.settings import field_types
from inference.recipe.strokes import Stroke

ROOT = Path(__file__).parents[2]
RECIPES = sorted((ROOT / "assets" / "recipes").glob("*.txt"))
EXAMPLE = ROOT / "assets" / "examples" / "beach.png"

# recipe, mask_prompt, mask_negative, controls
KEPT = [
    ("portrait", ("foreground",), ("clothes",), ("pose",)),
    ("product", ("bottle",), (), ("canny",)),
    ("room", ("window", "door"), (), ("mlsd", "segroom", "depth")),
]


def read(name: str) -> Recipe:
    return parse((ROOT / "assets" / "recipes" / f"{name}.txt").read_text(encoding="utf-8")).recipe


def test_all_recipes_are_in_the_table() -> None:
    assert [path.stem for path in RECIPES] == [name for name, *_ in KEPT]


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_is_read_whole_and_written_again_as_it_was(path: Path) -> None:
    block = parse(path.read_text(encoding="utf-8"))
    assert block.unknown == ()
    assert block.recipe.prompt
    assert "--" not in block.recipe.prompt
    again = parse(format_block(block.recipe))
    assert again.recipe == block.recipe
    assert again.unknown == ()


@pytest.mark.parametrize(("name", "kept", "but_not", "controls"), KEPT)
def test_a_recipe_names_what_it_keeps_and_what_guides_it(
    name: str, kept: tuple[str, ...], but_not: tuple[str, ...], controls: tuple[str, ...]
) -> None:
    recipe = read(name)
    assert tuple(phrase.text for phrase in recipe.phrases) == kept
    assert tuple(phrase.text for phrase in recipe.negative_phrases) == but_not
    assert recipe.mask_invert
    assert recipe.protect
    assert recipe.mask_dilate.value < 0, "a margin of the photo stays"
    assert tuple(control.name for control in recipe.controls) == controls
    assert set(controls) <= {control.key for control in Catalog.load().controls("sd15")}


def test_the_portrait_recipe_paints_with_the_pack_and_keeps_what_it_names() -> None:
    recipe = read("portrait").model_copy(update={"steps": 2, "seed": 1})
    *_, result = Studio(style="drawn").paint(Photo.open(EXAMPLE), recipe)
    assert isinstance(result, Result)
    assert result.kept_pixels > 10_000
    assert result.kept_pixels_changed == 0
    assert (result.images[0][result.mask == 255] != result.original[result.mask == 255]).any()


# --- the table of docs/fields.md ----------------------------------------------------------------


def rows() -> dict[str, list[str]]:
    """The cells of the table, by the field's name."""
    page = (ROOT / "docs" / "fields.md").read_text(encoding="utf-8")
    cells = [re.split(r"(?<!\\)\|", line.strip().strip("|"))
             for line in page.splitlines() if line.startswith("| `")]  # fmt: skip
    table = {row[0].strip().strip("`"): [cell.strip() for cell in row[1:]] for row in cells}
    assert len(table) == len(cells), "a field has one row"
    return table


def choices(annotation: Any) -> tuple[str, ...]:
    """The values of a `Literal`, also of an optional one."""
    found: list[str] = []
    for one in (annotation, *get_args(annotation)):
        found += [value for value in get_args(one) if isinstance(value, str)]
    return tuple(dict.fromkeys(found))


# Fields whose limits are given by their type.
OF_THEIR_OWN = {
    "mask_dilate": " or ".join(
        f"{-limit:g}–{limit:g}{'%' if unit.value == '%' else ''}"
        for unit, limit in Length.LIMITS.items()
    ),
    "mask_strokes": f"up to {Stroke.MAX_STROKES} strokes",
    "controlnets": f"up to {MAX_CONTROLS} names",
    "controlnet_weights": f"up to {MAX_CONTROLS} of 0–1",
    "controlnet_windows": f"up to {MAX_CONTROLS} within 0–1",
}


def takes(name: str) -> str:
    """Allowed values of a field, in the table's notation, from the recipe's own limits."""
    field = Recipe.model_fields[name]
    if name in OF_THEIR_OWN:
        return OF_THEIR_OWN[name]
    names = ("ge", "le", "multiple_of", "max_length")
    limits = {one: getattr(m, one) for m in field.metadata for one in names if hasattr(m, one)}
    if "ge" in limits:
        by = f", multiples of {limits['multiple_of']}" if "multiple_of" in limits else ""
        return f"{limits['ge']:.10g}–{limits['le']:.10g}{by}"
    if "max_length" in limits:
        return f"text, up to {limits['max_length']}"
    if bool in field_types(field):
        return "true, false"
    return ", ".join(choices(field.annotation))


def default(name: str) -> str:
    """A field's default, in the notation of a prompt block."""
    line = re.search(rf"^{name}=(.*)$", format_block(Recipe()), re.MULTILINE)
    flags = {"mask_invert": "true" if Recipe().mask_invert else "false", "prompt": Recipe().prompt}
    value = line[1] if line else flags.get(name, str(getattr(Recipe(), name)))
    return value.removesuffix(".0") or "empty"


def test_the_table_has_a_row_for_every_field() -> None:
    assert sorted(rows()) == sorted(Recipe.model_fields)


@pytest.mark.parametrize("name", Recipe.model_fields)
def test_a_row_says_what_the_recipe_says(name: str) -> None:
    title, range_, value, meaning, _ = rows()[name]
    assert title == Recipe.model_fields[name].title
    assert range_ == takes(name)
    assert value == default(name)
    assert meaning.endswith(".")
