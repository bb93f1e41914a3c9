"""Parses and formats prompt blocks: a prompt with flags, then one `field=value` per line.

    a portrait of an astronaut, space --mask_prompt foreground --mask_negative clothes --mask_invert
    steps=30
    seed=7

Parsing what `format_block` writes gives the same recipe again.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from inference.errors import InvalidRecipe
from inference.recipe.recipe import Recipe
from inference.recipe.settings import MAX_TEXT

MAX_BLOCK = 4 * MAX_TEXT
# Values of the mask flags that are left out of a block with at least one of them.
_OMITTED_MASK_FLAGS = {
    "mask_prompt": "",
    "mask_negative": "",
    "mask_invert": "false",
    "mask_dilate": "0",
}
# Fields of the hosted service that mean nothing here: there is one version, and no words are added.
_PASSED_OVER = ("backend_version", "prompt_expansion")
# Its flags for moving pictures, which are not made here.
_VIDEO = ("video", "video_model", "video_prompt", "video_duration", "duration")
# Other names that the hosted service has for a field.
_ALIASES = {"tiled_upscale_v2": "tiled_upscale"}
_FLAG = re.compile(r"(?:^|\s)--([a-z][a-z_0-9]*)")
_SWITCHED = ("true", "false", "1", "0", "on", "off", "yes", "no")
_SWITCHES = tuple(name for name, field in Recipe.model_fields.items() if field.annotation is bool)
_FIELD = re.compile(r"([a-z][a-z_0-9]*)\s*=(.*)")


@dataclass(frozen=True, kw_only=True)
class PromptBlock:
    """A parsed block.

    Attributes:
        recipe: the settings.
        unknown: names of fields and flags that a recipe does not have, in the block's order.
    """

    recipe: Recipe
    unknown: tuple[str, ...]

    @property
    def summary(self) -> str:
        """A sentence for the user about what was read."""
        unknown = [name for name in self.unknown if name not in _VIDEO]
        exceptions = [f"what is unknown here: {', '.join(unknown)}"] if unknown else []
        if len(unknown) < len(self.unknown):
            exceptions.append("the video, because only still pictures are made here")
        if exceptions:
            return f"Taken, but for {', and '.join(exceptions)}."
        return "The block's settings are taken."


def is_block(text: str) -> bool:
    """Whether a text is a prompt block: it has a known flag or a `field=value` line."""
    _, lines = _split(text)
    return bool(lines) or any(name in Recipe.model_fields for name in _FLAG.findall(text))


def parse(block: str) -> PromptBlock:
    """Parse a prompt block.

    A field with an empty value gets its default, or None if allowed. If the text has any of
    the flags `--mask_prompt`, `--mask_negative`, `--mask_invert` and `--mask_dilate`, the missing
    ones are set to "", "", off and 0.

    Raises:
        InvalidRecipe: the block is too long, or a field is given twice or has a value that is
            not allowed; names the field.
    """
    if len(block) > MAX_BLOCK:
        raise InvalidRecipe(f"A prompt block has at most {MAX_BLOCK} characters: shorten it.")
    text, lines = _split(block)
    prompt, flags = _flags(text)
    fields: dict[str, str] = {"prompt": prompt} if prompt else {}
    if _OMITTED_MASK_FLAGS.keys() & flags.keys():
        fields |= _OMITTED_MASK_FLAGS
    fields |= flags
    for name, value in lines:
        if name in flags:
            raise InvalidRecipe(f"The field {name} stands twice: keep one of them.", field=name)
        flags[name] = fields[name] = value
    known = {name: value for name, value in fields.items() if name in Recipe.model_fields}
    recipe = Recipe.parse({name: value for name, value in known.items() if _is_given(name, value)})
    unknown = tuple(name for name in fields if name not in (*known, *_PASSED_OVER))
    return PromptBlock(recipe=recipe, unknown=unknown)


def format_block(recipe: Recipe) -> str:
    """Format a recipe as a prompt block with every field."""
    values = recipe.model_dump(mode="json")
    flags = {name: values.pop(name) for name in _OMITTED_MASK_FLAGS}
    prompt = values.pop("prompt")
    text = [prompt] if _plain(prompt) else []
    lines = [] if _plain(prompt) else [f"prompt={_written(prompt)}"]
    for name, value in flags.items():
        if isinstance(value, bool):
            text += [f"--{name}"] * value
        elif _plain(value) and value:
            text.append(f"--{name} {value}")
        else:
            lines.append(f"{name}={_written(value)}")
    lines += [f"{name}={_written(value)}" for name, value in values.items()]
    return "\n".join([" ".join(text), *lines])


def field_line(name: str, value: object) -> str:
    """The line of a block that sets a field to a text, a number, true, false or None."""
    return f"{name}={_written(value)}"


def _split(block: str) -> tuple[str, list[tuple[str, str]]]:
    """Split a block at its first `field=value` line into the text and the fields."""
    rows = block.strip().splitlines()
    matches = [_FIELD.fullmatch(row.strip()) for row in rows]
    first = next((k for k, match in enumerate(matches) if match), len(rows))
    for row, match in zip(rows[first:], matches[first:], strict=True):
        if not match and row.strip():
            raise InvalidRecipe(f"«{row.strip()[:40]}» is no field: write it as field=value.")
    fields = [(match[1], _read(match[1], match[2].strip())) for match in matches[first:] if match]
    return "\n".join(rows[:first]).strip(), fields


def _flags(text: str) -> tuple[str, dict[str, str]]:
    """The prompt, and each flag with its value; words behind a switch go on with the prompt."""
    found = list(_FLAG.finditer(text))
    starts = [match.start() for match in found] + [len(text)]
    prompt = [text[: starts[0]].strip()]
    flags: dict[str, str] = {}
    for match, end in zip(found, starts[1:], strict=True):
        name, value = _ALIASES.get(match[1], match[1]), text[match.end() : end].strip()
        if name in flags:
            raise InvalidRecipe(f"The flag --{name} stands twice: keep one of them.", field=name)
        if name in _SWITCHES and value.lower() not in _SWITCHED:
            prompt.append(value)
            value = "true"
        flags[name] = _read(name, value)
    return " ".join(filter(None, prompt)), flags


def _is_given(name: str, value: str) -> bool:
    """Whether a field is set; an empty value is valid only for text and for optional fields."""
    default = Recipe.model_fields[name].get_default()
    return bool(value) or default is None or isinstance(default, str)


def _plain(text: str) -> bool:
    """Whether a text needs no quotes in a block."""
    unquoted = text == text.strip() and text.isprintable() and not text.startswith('"')
    return unquoted and not _FLAG.search(text) and not _FIELD.fullmatch(text)


def _written(value: object) -> str:
    """Format a value for a block; text that would be misread is quoted as in JSON."""
    if isinstance(value, str):
        return value if _plain(value) else json.dumps(value)
    return "" if value is None else json.dumps(value)


def _read(name: str, text: str) -> str:
    """The inverse of `_written`, as text."""
    if not text.startswith('"'):
        return text
    try:
        value = json.loads(text)
    except ValueError as error:
        raise InvalidRecipe(f"The quotes of {name} are not closed.", field=name) from error
    return str(value)
