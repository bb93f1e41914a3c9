"""The full-size table as Markdown, with the conditions under which it was measured."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence

import psutil
import torch

from inference.runtime.device import Device
from tools.full.measuring import Measured
from tools.full.rows import Row

START, END = "<!-- measured: written by tools/full_size.py -->", "<!-- end of full size -->"
_HEAD = (
    "| tried | downloaded | download | load | the rest | peak | picture | kept pixels changed |",
    "|---|---|---|---|---|---|---|---|",
)
_COLUMNS = 7
_MB, _GB = 1e6, 1e9


def conditions() -> str:
    """A sentence on the machine, as it is now."""
    device = Device.probe()
    kind = str(device.dtype).removeprefix("torch.")
    memory = psutil.virtual_memory().total / _GB
    return (
        f"{os.cpu_count()} cores of {platform.machine()}, {memory:.0f} GB of memory, "
        f"{device.title}, {kind}, Python {platform.python_version()}, PyTorch {torch.__version__}; "
        f"load average {os.getloadavg()[0]:.1f} at the start."
    )


def markdown(rows: Sequence[Row], measured: Mapping[str, Measured], about: str) -> str:
    """The table of all rows; those that were not tried say so."""
    lines = [_line(row, measured.get(row.key)) for row in rows]
    return "\n".join([about, "", *_HEAD, *lines])


def line(row: Row, measured: Measured) -> str:
    """A row as plain text for the terminal."""
    return " ".join(_line(row, measured).strip("| ").split())


def _line(row: Row, measured: Measured | None) -> str:
    if measured is None:
        return _cells(row.title, "not tried")
    outcome = measured.outcome
    if row.lacks:
        return _cells(row.title, f"not tried: {outcome.problem}")
    if outcome.size == (0, 0):
        return _cells(row.title, f"**failed**: {outcome.problem}")
    width, height = outcome.size
    last = f"**{outcome.problem}**" if outcome.problem else str(outcome.kept_pixels_changed)
    return _cells(
        row.title,
        f"{measured.downloaded / _MB:,.0f} MB",
        f"{outcome.download:.0f} s",
        f"{outcome.load:.0f} s",
        f"{outcome.paint:.0f} s",
        f"{outcome.peak / _GB:.1f} GB",
        f"{width}×{height}",
        last,
    )


def _cells(title: str, *cells: str) -> str:
    """A line of the table; the last cell stands at its end."""
    empty = [""] * (_COLUMNS - len(cells))
    return f"| {' | '.join([title, *empty, *cells])} |".replace("  ", " ")
