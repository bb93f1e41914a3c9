"""Tables of measurements as text, and their places between marker comments in a document."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

Row = dict[str, float | str]


class MissingMarkers(ValueError):
    """A document lacks the two marker comments of a table."""


def told(rows: Iterable[Row]) -> str:
    """Format rows as Markdown tables, one for each set of columns; a number that is none is "–"."""
    lines: list[str] = []
    heads: list[str] = []
    for row in rows:
        if list(row) != heads:
            heads = list(row)
            lines += ["", "| " + " | ".join(heads) + " |", "|" + " --- |" * len(heads)]
        lines.append("| " + " | ".join(map(_cell, row.values())) + " |")
    return "\n".join(lines)


def narrowed(row: Row, columns: Sequence[str]) -> Row:
    """A row with these columns, as far as it has them; the whole row if it has none of them."""
    return {name: row[name] for name in columns if name in row} or row


def replaced(document: str, name: str, text: str) -> str:
    """A document with new text between the marker comments of a name.

    Raises:
        MissingMarkers: it lacks one of them.
    """
    begin, end = markers(name)
    before, found, rest = document.partition(begin)
    _, also, after = rest.partition(end)
    if not found or not also:
        raise MissingMarkers(f"The document has no place for this table: add {begin} and {end}.")
    return f"{before}{begin}\n\n{text.strip()}\n\n{end}{after}"


def markers(name: str) -> tuple[str, str]:
    """The two comments between which the table of a name stands."""
    return f"<!-- measured: {name} -->", f"<!-- end of {name} -->"


def _cell(value: float | str | None) -> str:
    if isinstance(value, str):
        return value.replace("|", "\\|")
    if value is None or math.isnan(value):
        return "–"
    # OpenCV's PSNR of two equal pictures.
    return "equal" if round(value, 1) == 361.2 else f"{value:.4g}"
