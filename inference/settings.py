"""What all settings of a recipe have in common."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, ValidationInfo, field_validator

from inference.knob import kinds


class Settings(BaseModel):
    """Frozen; no field but its own, no infinity, no NaN."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _no_yes_for_a_number(cls, value: object, info: ValidationInfo) -> object:
        """Python counts True as 1; a person who ticks a box does not mean a number."""
        numeric = {int, float} & kinds(cls.model_fields[str(info.field_name)])
        if numeric and isinstance(value, bool):
            raise ValueError("takes a number")
        return value
