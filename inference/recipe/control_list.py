"""Parses and formats lists of controls in a recipe: names, weights and step windows."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, NamedTuple, TypeVar

from pydantic import BeforeValidator, PlainSerializer

MAX_CONTROLS = 4
NAMES = f"takes at most {MAX_CONTROLS} names such as «pose canny», each once"
WEIGHTS = "takes a number from 0 to 1 for each control, such as «0.5 1»"
WINDOWS = "takes a span of the steps from 0 to 1 for each control, such as «0-0.6 0.2-1»"

Window = tuple[float, float]
One = TypeVar("One")


class Control(NamedTuple):
    """One control of a recipe.

    Attributes:
        name: key of the control.
        weight: conditioning scale in 0–1.
        window: start and end in the denoising steps, each in 0–1.
    """

    name: str
    weight: float = 1.0
    window: Window = (0.0, 1.0)


def _name(text: str) -> str:
    if not re.fullmatch(r"[a-z0-9_-]{1,40}", text, re.ASCII):
        raise ValueError(NAMES)
    return text


def _weight(text: str) -> float:
    if not re.fullmatch(r"\d(\.\d{0,6})?|\.\d{1,6}", text, re.ASCII) or float(text) > 1:
        raise ValueError(WEIGHTS)
    return float(text)


def _window(text: str) -> Window:
    match = re.fullmatch(r"([\d.]{1,8})-([\d.]{1,8})", text, re.ASCII)
    try:
        start, end = (_weight(part) for part in match.groups()) if match else (1.0, 0.0)
    except ValueError as error:
        raise ValueError(WINDOWS) from error
    if start >= end:
        raise ValueError(WINDOWS)
    return start, end


def _reader(one: Callable[[str], One], needed: str) -> Callable[[object], tuple[One, ...]]:
    """Make a list parser from a parser of one item; it accepts text or a sequence."""

    def read(source: object) -> tuple[One, ...]:
        if isinstance(source, str):
            parts = re.split(r"[,\s]+", source.strip()) if source.strip() else []
        elif isinstance(source, (list, tuple)):
            parts = [_spelled(item) for item in source]
        else:
            raise ValueError(needed)
        if len(parts) > MAX_CONTROLS:
            raise ValueError(needed)
        return tuple(one(part) for part in parts)

    return read


def _spelled(item: object) -> str:
    """Format an item as text; "" for a value of a wrong type, which the parser then rejects."""
    if isinstance(item, (list, tuple)):
        return "-".join(map(_spelled, item))
    if isinstance(item, (int, float)) and not isinstance(item, bool):
        return f"{item:.6f}".rstrip("0").rstrip(".")
    return item if isinstance(item, str) else ""


def _names(source: object) -> tuple[str, ...]:
    names = _reader(_name, NAMES)(source)
    if len(set(names)) < len(names):
        raise ValueError(NAMES)
    return names


def _format(items: tuple[object, ...]) -> str:
    return " ".join(map(_spelled, items))


Names = Annotated[tuple[str, ...], BeforeValidator(_names), PlainSerializer(_format)]
Weights = Annotated[
    tuple[float, ...], BeforeValidator(_reader(_weight, WEIGHTS)), PlainSerializer(_format)
]
Windows = Annotated[
    tuple[Window, ...], BeforeValidator(_reader(_window, WINDOWS)), PlainSerializer(_format)
]
