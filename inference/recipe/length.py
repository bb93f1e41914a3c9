"""Lengths: pixels of a picture whose short side is `SHORT_SIDE`, or percent of the short side."""

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

# Short side of the picture whose pixels a plain number means, whatever the photo's size and
# whatever size a model paints at.
SHORT_SIDE = 512


class Unit(StrEnum):
    """Units: pixels at a short side of `SHORT_SIDE`, and percent of the short side."""

    PIXELS = "px"
    PERCENT = "%"


class Length(BaseModel):
    """A signed length, such as ``-20`` (pixels at a short side of `SHORT_SIDE`) or ``-4%``."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    LIMITS: ClassVar[dict[Unit, float]] = {Unit.PIXELS: 256.0, Unit.PERCENT: 50.0}
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

    @property
    def pixels(self) -> float:
        """The length in pixels of a picture whose short side is `SHORT_SIDE`."""
        return self.value * SHORT_SIDE / 100 if self.unit is Unit.PERCENT else self.value

    def to(self, unit: Unit) -> Length:
        """The same length in another unit."""
        value = self.pixels if unit is Unit.PIXELS else 100 * self.pixels / SHORT_SIDE
        return Length(value=value, unit=unit)

    def __str__(self) -> str:
        return f"{self.value:g}{'%' if self.unit is Unit.PERCENT else ''}"


def pixels_of(length: float, short_side: int) -> float:
    """A plain length in pixels of a picture with another short side.

    Args:
        length: in pixels of a picture whose short side is `SHORT_SIDE`.
        short_side: of the other picture.
    """
    return length * short_side / SHORT_SIDE


MaskLength = Annotated[Length, BeforeValidator(Length.parse), PlainSerializer(str)]
