"""The prompt block that people paste: a text with flags, then one `field=value` a line.

    a portrait of an astronaut, space --mask_prompt foreground --mask_negative clothes --mask_invert
    steps=30
    seed=7

`parse` reads such a block and `format_block` writes one; reading what was written gives the same
recipe again.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from inference.errors import InvalidRecipe
from inference.recipe import MAX_TEXT, Recipe

MAX_BLOCK = 4 * MAX_TEXT
# What a block that has any mask flag means by leaving another one out.
_UNSAID = {"mask_prompt": "", "mask_negative": "", "mask_invert": "false", "mask_dilate": "0"}
_FLAG = re.compile(r"(?:^|\s)--([a-z_]+)")
_FIELD = re.compile(r"([a-z][a-z_0-9]*)\s*=(.*)")


@dataclass(frozen=True, kw_only=True)
class PromptBlock:
    """What a block says.

    Attributes:
        recipe: the fields that a recipe has.
        unknown: names of the fields and flags that it has not, in the order of the block.
    """

    recipe: Recipe
    unknown: tuple[str, ...]

    @property
    def told(self) -> str:
        """What became of it, in a sentence."""
        if self.unknown:
            return f"Taken, but for what is unknown here: {', '.join(self.unknown)}."
        return "The block's settings are taken."


def is_block(text: str) -> bool:
    """Whether a text is more than a prompt: it has a flag, or a line that sets a field."""
    _, lines = _split(text)
    return bool(lines) or any(name in Recipe.model_fields for name in _FLAG.findall(text))


def parse(block: str) -> PromptBlock:
    """Read a prompt block.

    A field with nothing behind its `=` has its default, but for those that may be off. Where
    the text has one of the flags `--mask_prompt`, `--mask_negative`, `--mask_invert` and
    `--mask_dilate`, those left out mean nothing, not taken out, not inverted and 0.

    Raises:
        InvalidRecipe: the block is too long, a field stands twice or has a value that is not
            allowed; names the field.
    """
    if len(block) > MAX_BLOCK:
        raise InvalidRecipe(f"A prompt block has at most {MAX_BLOCK} characters: shorten it.")
    text, lines = _split(block)
    prompt, flags = _flags(text)
    fields: dict[str, str] = {"prompt": prompt} if prompt else {}
    if _UNSAID.keys() & flags.keys():
        fields |= _UNSAID
    fields |= flags
    for name, value in lines:
        if name in flags:
            raise InvalidRecipe(f"The field {name} stands twice: keep one of them.", field=name)
        flags[name] = fields[name] = value
    known = {name: value for name, value in fields.items() if name in Recipe.model_fields}
    recipe = Recipe.parse({name: value for name, value in known.items() if _says(name, value)})
    return PromptBlock(recipe=recipe, unknown=tuple(n for n in fields if n not in known))


def format_block(recipe: Recipe) -> str:
    """The block of a recipe, every field said."""
    values = recipe.model_dump(mode="json")
    flags = {name: values.pop(name) for name in _UNSAID}
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


def _split(block: str) -> tuple[str, list[tuple[str, str]]]:
    """The text, and the fields behind it: they begin with the first line that looks like one."""
    rows = block.strip().splitlines()
    matches = [_FIELD.fullmatch(row.strip()) for row in rows]
    first = next((k for k, match in enumerate(matches) if match), len(rows))
    for row, match in zip(rows[first:], matches[first:], strict=True):
        if not match and row.strip():
            raise InvalidRecipe(f"«{row.strip()[:40]}» is no field: write it as field=value.")
    fields = [(match[1], _read(match[1], match[2].strip())) for match in matches[first:] if match]
    return "\n".join(rows[:first]).strip(), fields


def _flags(text: str) -> tuple[str, dict[str, str]]:
    """The prompt before the first flag, and each flag with the words behind it."""
    found = list(_FLAG.finditer(text))
    starts = [match.start() for match in found] + [len(text)]
    flags: dict[str, str] = {}
    for match, end in zip(found, starts[1:], strict=True):
        name, value = match[1], text[match.end() : end].strip()
        if name in flags:
            raise InvalidRecipe(f"The flag --{name} stands twice: keep one of them.", field=name)
        flags[name] = value or ("true" if name == "mask_invert" else "")
    return text[: starts[0]].strip(), flags


def _says(name: str, value: str) -> bool:
    """Whether a value is more than «the default»: text may be empty, and what may be off is."""
    default = Recipe.model_fields[name].get_default()
    return bool(value) or default is None or isinstance(default, str)


def _plain(text: str) -> bool:
    """Whether a text can stand in the block as it is."""
    unquoted = text == text.strip() and text.isprintable() and not text.startswith('"')
    return unquoted and not _FLAG.search(text) and not _FIELD.fullmatch(text)


def _written(value: object) -> str:
    """A value behind its `=`; text that would be read otherwise is quoted as in JSON."""
    if isinstance(value, str):
        return value if _plain(value) else json.dumps(value)
    return "" if value is None else json.dumps(value)


def _read(name: str, text: str) -> str:
    """The reverse of `_written`, as text."""
    if not text.startswith('"'):
        return text
    try:
        value = json.loads(text)
    except ValueError as error:
        raise InvalidRecipe(f"The quotes of {name} are not closed.", field=name) from error
    return str(value)
