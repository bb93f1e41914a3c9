"""Denoising steps as progress that a page can show."""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import closing

from inference.patch import Painted, PaintStep
from inference.results import Progress, Stage

# The picture as it forms is shown this often, because showing it costs time too.
PREVIEW_SECONDS = 0.3


def watched(
    painting: Generator[PaintStep | Painted], stage: Stage, detail: str = ""
) -> Generator[Progress, None, Painted]:
    """Run a painter to its end, telling of each step; returns what it painted."""
    started = time.monotonic()
    shown = 0.0
    with closing(painting) as steps:
        for event in steps:
            if isinstance(event, Painted):
                return event
            now = time.monotonic()
            due = now - shown >= PREVIEW_SECONDS
            shown = now if due else shown
            yield Progress(
                stage=stage,
                step=event.step,
                steps=event.steps,
                detail=detail,
                preview=event.preview() if due else None,
                seconds_left=(now - started) / event.step * (event.steps - event.step),
            )
    raise AssertionError("the painter always ends with its pictures")
