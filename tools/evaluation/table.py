"""The evaluation's table of values and goals, as text and as Markdown for the model card."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

START, END = "<!-- measured: written by tools/eval_pack.py -->", "<!-- end of measured -->"


@dataclass(frozen=True, kw_only=True)
class Row:
    """A row: measured quantity, goal in words, value, and whether it passes (None: no goal)."""

    part: str
    what: str
    goal: str
    value: str
    passed: bool | None


def at_least(part: str, what: str, value: float, goal: float, *, unit: str = "%") -> Row:
    """A row that passes if the value is at least `goal`; for the unit "%" both are in 0-1."""
    shown = {"%": lambda v: f"{100 * v:.1f} %", "": lambda v: f"{v:.3f}"}
    text = shown.get(unit, lambda v: f"{v:.2f} {unit}")
    wanted = f"≥ {goal:.0%}".replace("%", " %") if unit == "%" else f"≥ {goal:g} {unit}".strip()
    return Row(part=part, what=what, goal=wanted, value=text(value), passed=value >= goal)


def at_most(part: str, what: str, value: float, goal: float, unit: str) -> Row:
    """A row that passes if the value is at most `goal`."""
    passed = value <= goal
    return Row(
        part=part, what=what, goal=f"≤ {goal:g} {unit}", value=f"{value:.1f} {unit}", passed=passed
    )


def note(part: str, what: str, value: str) -> Row:
    """A row without a goal."""
    return Row(part=part, what=what, goal="", value=value, passed=None)


def _verdict(row: Row) -> str:
    return {True: "pass", False: "**fail**", None: ""}[row.passed]


def markdown(rows: Sequence[Row]) -> str:
    """The table as Markdown."""
    lines = ["| | measured | goal | value | |", "| --- | --- | --- | --- | --- |"]
    lines += [f"| {r.part} | {r.what} | {r.goal} | {r.value} | {_verdict(r)} |" for r in rows]
    return "\n".join(lines)


def plain(rows: Sequence[Row]) -> str:
    """The table as plain text."""
    cells = [[r.part, r.what, r.goal, r.value, _verdict(r).strip("*")] for r in rows]
    cells.insert(0, ["", "measured", "goal", "value", ""])
    widths = [max(len(line[k]) for line in cells) for k in range(5)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in cells
    )


def put_into_card(card: Path, text: str) -> None:
    """Replace the text between the two markers of the model card.

    Raises:
        ValueError: the card has no such markers.
    """
    put_between(card, text, START, END)


def put_between(document: Path, text: str, start: str, end: str) -> None:
    """Replace the text between two markers of a document.

    Raises:
        ValueError: the document has no such markers.
    """
    before, _, rest = document.read_text(encoding="utf-8").partition(start)
    _, found, after = rest.partition(end)
    if not found:
        raise ValueError(f"{document} lacks the markers {start} and {end}: put them in.")
    document.write_text(f"{before}{start}\n\n{text}\n\n{end}{after}", encoding="utf-8")
