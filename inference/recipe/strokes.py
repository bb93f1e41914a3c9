"""Brush strokes and clicks in a recipe: their compact text form, and its limits."""

from __future__ import annotations

import re
from typing import Annotated, ClassVar, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, PlainSerializer, ValidationError

Point = tuple[int, int]


class Stroke(BaseModel):
    """A brush stroke: a polyline drawn with a round brush, which adds to or removes from a mask.

    Independent of resolution: `points` are in ten-thousandths of the photo's width and height,
    `radius` in ten-thousandths of its short side. A radius of 0 is a click: it adds or removes
    what lies at each of the points.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    UNIT: ClassVar[int] = 10_000
    MAX_RADIUS: ClassVar[int] = 5_000
    MAX_STROKES: ClassVar[int] = 500
    MAX_POINTS: ClassVar[int] = 20_000
    MAX_CLICKS: ClassVar[int] = 50
    NEEDED: ClassVar[str] = (
        "takes strokes such as «+200:5000,4000 5100,4200; -150:800,900» (+ adds, - removes; "
        "radius: points, all in ten-thousandths of the photo; a radius of 0 is a click)"
    )

    mode: Literal["add", "remove"]
    radius: int
    points: tuple[Point, ...]

    @classmethod
    def parse_all(cls, source: object) -> tuple[Stroke, ...]:
        """Read strokes from their text form, or check a sequence of `Stroke`.

        Raises:
            ValueError: `source` is neither, or exceeds the limits of this class.
        """
        if isinstance(source, str):
            strokes = tuple(cls._read(part) for part in source.split(";") if part.strip())
        elif isinstance(source, (list, tuple)):
            try:
                strokes = tuple(cls.model_validate(one) for one in source)
            except ValidationError as error:
                raise ValueError(cls.NEEDED) from error
        else:
            raise ValueError(cls.NEEDED)
        points = sum(len(one.points) for one in strokes)
        if len(strokes) > cls.MAX_STROKES or points > cls.MAX_POINTS:
            raise ValueError(
                f"takes at most {cls.MAX_STROKES} strokes with {cls.MAX_POINTS} points in all"
            )
        if sum(len(one.points) for one in strokes if one.is_click) > cls.MAX_CLICKS:
            raise ValueError(f"takes at most {cls.MAX_CLICKS} clicks")
        if not all(one._is_within_limits() for one in strokes):
            raise ValueError(cls.NEEDED)
        return strokes

    @classmethod
    def _read(cls, text: str) -> Stroke:
        match = re.fullmatch(r"\s*([+-])(\d{1,5}):((?:\s*\d{1,5},\d{1,5})+)\s*", text, re.ASCII)
        if match is None:
            raise ValueError(cls.NEEDED)
        pairs = (pair.split(",") for pair in match[3].split())
        return cls(
            mode="add" if match[1] == "+" else "remove",
            radius=int(match[2]),
            points=tuple((int(x), int(y)) for x, y in pairs),
        )

    def _is_within_limits(self) -> bool:
        inside = all(0 <= value <= self.UNIT for point in self.points for value in point)
        return inside and bool(self.points) and 0 <= self.radius <= self.MAX_RADIUS

    @property
    def is_click(self) -> bool:
        """Whether it stands for what lies at its points."""
        return self.radius == 0

    def __str__(self) -> str:
        points = " ".join(f"{x},{y}" for x, y in self.points)
        return f"{'+' if self.mode == 'add' else '-'}{self.radius}:{points}"


def format_strokes(strokes: tuple[Stroke, ...]) -> str:
    """The text form of strokes, which `Stroke.parse_all` reads."""
    return ";".join(map(str, strokes))


Strokes = Annotated[
    tuple[Stroke, ...], BeforeValidator(Stroke.parse_all), PlainSerializer(format_strokes)
]
