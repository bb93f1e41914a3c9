"""Base class and field helper of all recipe settings (pydantic)."""

from __future__ import annotations

from typing import Any, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, field_validator
from pydantic.config import JsonDict
from pydantic.fields import FieldInfo

# Most characters of a prompt, and most pixels of a picture's side.
MAX_TEXT, MAX_SIDE = 10_000, 8192


def Setting(  # noqa: N802 - reads as a kind of Field at the place of use
    default: Any, title: str, hint: str, *, step: float | None = None, **limits: Any
) -> Any:
    """A pydantic `Field` with label, help text and slider increment for the page.

    Args:
        default: the field's default value.
        title: label on the page.
        hint: help text on the page and in the documentation.
        step: increment of its slider; None for a field that is no slider.
        limits: pydantic's constraints, such as `ge` and `le`.
    """
    extra: JsonDict | None = {"step": step} if step is not None else None
    return Field(default, title=title, description=hint, json_schema_extra=extra, **limits)


def field_types(field: FieldInfo) -> set[Any]:
    """The annotated type of a field and, of a union, its members."""
    return {field.annotation, *get_args(field.annotation)}


def _empty_is_none(value: object) -> object:
    return None if isinstance(value, str) and not value.strip() else value


#: Reads an empty field of a form or prompt block as None.
EmptyIsNone = BeforeValidator(_empty_is_none)


class Settings(BaseModel):
    """A frozen model that rejects unknown fields, infinities and NaN."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _reject_bool_for_number(cls, value: object, info: ValidationInfo) -> object:
        """Refuse True and False for numeric fields, which pydantic would read as 1 and 0."""
        numeric = {int, float} & field_types(cls.model_fields[str(info.field_name)])
        if numeric and isinstance(value, bool):
            raise ValueError("takes a number")
        return value
