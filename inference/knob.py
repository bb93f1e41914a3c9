"""A recipe's field with what a page needs to show it."""

from __future__ import annotations

from typing import Any, get_args

from pydantic import BeforeValidator, Field
from pydantic.config import JsonDict
from pydantic.fields import FieldInfo


def _blank_is_none(value: object) -> object:
    """An empty field of a form or prompt block means «not given»."""
    return None if isinstance(value, str) and not value.strip() else value


def Knob(  # noqa: N802 - reads as a kind of Field at the place of use
    default: Any, title: str, hint: str, *, step: float | None = None, **limits: Any
) -> Any:
    """A pydantic `Field` with what a page needs to show it: title, help text and slider step."""
    extra: JsonDict | None = {"step": step} if step is not None else None
    return Field(default, title=title, description=hint, json_schema_extra=extra, **limits)


def kinds(field: FieldInfo) -> set[Any]:
    """The types that a field may have."""
    return {field.annotation, *get_args(field.annotation)}


Blank = BeforeValidator(_blank_is_none)
