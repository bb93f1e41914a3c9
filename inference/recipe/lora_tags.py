"""LoRA tags in a prompt, such as `<lora:ink:0.8>`, split from its words."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from inference.errors import InvalidRecipe

# Range of a LoRA's weight.
LORA_WEIGHTS = -2.0, 2.0

_TAG = re.compile(r"<lora:([^<>]*)>", re.IGNORECASE)
_WEIGHT = re.compile(r"[+-]?(\d{1,6}(\.\d{0,9})?|\.\d{1,9})", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class TaggedPrompt:
    """A prompt split into words and LoRAs.

    Attributes:
        text: the prompt without LoRA tags.
        loras: the weight of each LoRA by its name.
    """

    text: str
    loras: dict[str, float]


def split_lora_tags(prompt: str) -> TaggedPrompt:
    """Split `<lora:name:weight>` tags from a prompt; `<lora:name>` has a weight of 1.

    If a LoRA is named twice, its last weight is used.

    Raises:
        InvalidRecipe: a tag has another form, or its weight is out of range.
    """
    if not _TAG.search(prompt):
        return TaggedPrompt(text=prompt, loras={})
    loras = dict(_lora(match[0], match[1]) for match in _TAG.finditer(prompt))
    return TaggedPrompt(text=_joined(_TAG.split(prompt)[::2]), loras=loras)


def _lora(tag: str, inside: str) -> tuple[str, float]:
    name, colon, number = (part.strip() for part in inside.partition(":"))
    low, high = LORA_WEIGHTS
    weight = 1.0 if not colon else float(number) if _WEIGHT.fullmatch(number) else math.nan
    if not name or not low <= weight <= high:
        raise InvalidRecipe(
            f"Prompt (prompt): write «{tag[:40]}» as <lora:name:weight>, with a weight from "
            f"{low:g} to {high:g}.",
            field="prompt",
        )
    return name, weight


def _joined(parts: list[str]) -> str:
    """Join the words around the tags, without the spaces and commas that separated the tags."""
    joined = parts[0]
    for part in parts[1:]:
        before, after = joined.rstrip(), part.lstrip()
        if not before or before.endswith(","):
            after = after.lstrip(", ")
        joined = before + (" " if before and after and not after.startswith(",") else "") + after
    return joined
