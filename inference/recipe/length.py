"""Lengths on the mask, in pixels or in percent of the short side."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    PlainSerializer,
    ValidationError,
)


class Unit(StrEnum):
    """Units: pixels at generation size, and percent of the short side."""

    PIXELS = "px"
    PERCENT = "%"


class Length(BaseModel):
    """A signed length on the mask, such as ``-20`` (pixels at generation size) or ``-4%``."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    LIMITS: ClassVar[dict[Unit, float]] = {Unit.PIXELS: 256.0, Unit.PERCENT: 25.0}
    NEEDED: ClassVar[str] = (
        "takes pixels such as -20 or percent such as -4%, at most "
        + " or ".join(f"{limit:g}{unit}" for unit, limit in LIMITS.items())
    )

    # Rounded to thousandths, so that text and value convert into each other without loss.
    value: Annotated[float, AfterValidator(lambda value: round(value, 3) + 0.0)]
    unit: Unit = Unit.PIXELS

    @classmethod
    def parse(cls, source: object) -> Length:
        """Read a `Length`, a number (pixels) or text such as ``"-4%"`` and ``"12px"``.

        Raises:
            ValueError: it is not a length, or lies outside `LIMITS`.
        """
        try:
            length = cls._read(source)
        except ValidationError as error:
            raise ValueError(cls.NEEDED) from error
        if length is None or abs(length.value) > cls.LIMITS[length.unit]:
            raise ValueError(cls.NEEDED)
        return length

    @classmethod
    def _read(cls, source: object) -> Length | None:
        if isinstance(source, Length):
            return source
        if isinstance(source, dict):
            return cls.model_validate(source)
        if isinstance(source, str):
            match = re.fullmatch(r"\s*([+-]?\d{1,6}(?:\.\d{1,6})?)\s*(px|%)?\s*", source)
            return match and cls(value=float(match[1]), unit=Unit(match[2] or "px"))
        is_number = isinstance(source, (int, float)) and not isinstance(source, bool)
        return cls.model_validate({"value": source}) if is_number else None

    def pixels(self, short_side: int) -> float:
        """The length in pixels where the short side at generation size is `short_side`."""
        return self.value * short_side / 100 if self.unit is Unit.PERCENT else self.value

    def to(self, unit: Unit, short_side: int) -> Length:
        """The same length in another unit."""
        pixels = self.pixels(short_side)
        value = pixels if unit is Unit.PIXELS else 100 * pixels / short_side
        return Length(value=value, unit=unit)

    def __str__(self) -> str:
        return f"{self.value:g}{'%' if self.unit is Unit.PERCENT else ''}"


MaskLength = Annotated[Length, BeforeValidator(Length.parse), PlainSerializer(str)]
