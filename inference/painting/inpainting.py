"""Data types of an inpainting run without tensors: input, event per step, output."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from inference.picture.photo import Pixels
from inference.picture.progress import Progress, Stage
from inference.recipe.recipe import Recipe

# Seconds between two previews, because decoding and sending them slows the painting down.
PREVIEW_SECONDS = 0.3


@dataclass(frozen=True, kw_only=True)
class ControlInput:
    """A ControlNet's map or an IP-Adapter's picture, with its scale and its part of the steps.

    Attributes:
        control: key of the control in the catalog.
        map: (H, W, 3) uint8 RGB; a ControlNet's has the size of the painted picture, an
            IP-Adapter's any size.
        scale: conditioning scale in 0–1.
        start, end: part of the denoising steps in which it guides, in 0–1.
        hidden: (H, W), true where the ControlNet gets -1 in the place of the map, which an 8-bit
            picture cannot hold; None for nowhere.
    """

    control: str
    map: Pixels = field(repr=False)
    scale: float = 1.0
    start: float = 0.0
    end: float = 1.0
    hidden: npt.NDArray[np.bool_] | None = field(default=None, repr=False)

    def guides(self, index: int, total: int) -> bool:
        """Whether step `index` of `total` lies between `start` and `end`."""
        return index / total >= self.start and (index + 1) / total <= self.end


@dataclass(frozen=True, kw_only=True)
class InpaintInput:
    """Input of an inpainting run: a part of the photo at generation size, and its mask.

    Attributes:
        picture: (H, W, 3) uint8 RGB; both sides are multiples of 8.
        repaint: (H, W) bool, true where the painter may paint.
        strength: (H, W) in 0–1, the share of the steps in which each pixel is painted; None paints
            `repaint` in all of them.
        guides: control maps and image prompts.
        window: side, in pixels, of the square windows through which a larger picture is painted
            (MultiDiffusion); None paints it in one piece.
    """

    picture: Pixels = field(repr=False)
    repaint: npt.NDArray[np.bool_] = field(repr=False)
    strength: npt.NDArray[np.float32] | None = field(default=None, repr=False)
    guides: tuple[ControlInput, ...] = ()
    window: int | None = None


@dataclass(frozen=True, kw_only=True)
class DenoisingStep:
    """Event after each denoising step; `preview()` returns the first picture so far."""

    step: int
    steps: int
    preview: Callable[[], Pixels] = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class Underway:
    """Event between two steps: before the first one, within a long one, or after the last.

    Attributes:
        step: the number of steps done.
        steps: their number in all; 0 while the photo and the words are encoded.
        share: the done share of the present step, in 0–1.
    """

    step: int = 0
    steps: int = 0
    share: float = 0.0


@dataclass(frozen=True, kw_only=True)
class InpaintOutput:
    """Last event: one (H, W, 3) uint8 RGB picture per seed."""

    pictures: tuple[Pixels, ...] = field(repr=False)


Painting: TypeAlias = Generator[DenoisingStep | Underway | InpaintOutput]
Paint: TypeAlias = Callable[[InpaintInput, Recipe], Painting]


def report_steps(
    painting: Painting, stage: Stage, detail: str = ""
) -> Generator[Progress, None, InpaintOutput]:
    """Run a painting to its end; yields progress with previews and time left, returns the output.

    Args:
        painting: the painter's generator; it is closed together with this one.
        stage: stage of the progress events.
        detail: added to each event.
    """
    yield Progress(stage=Stage.ENCODING, detail=detail)
    started: float | None = None
    shown = 0.0
    with closing(painting) as events:
        for event in events:
            if isinstance(event, InpaintOutput):
                return event
            now = time.monotonic()
            if event.steps and started is None:
                started = now
            preview = None
            if isinstance(event, DenoisingStep) and now - shown >= PREVIEW_SECONDS:
                shown, preview = now, event.preview()
            yield Progress(
                stage=_stage(event, stage),
                step=event.step,
                steps=event.steps,
                detail=detail,
                preview=preview,
                seconds_left=_seconds_left(event, now - (started or now)),
            )
    raise AssertionError("the painter always ends with its pictures")


def _stage(event: DenoisingStep | Underway, stage: Stage) -> Stage:
    """The stage that an event belongs to; `stage` is that of the steps."""
    if isinstance(event, DenoisingStep) or 0 < event.steps > event.step:
        return stage
    return Stage.DECODING if event.steps else Stage.ENCODING


def _seconds_left(event: DenoisingStep | Underway, seconds: float) -> float | None:
    """Estimated seconds until the last step is done, `seconds` after the first one began."""
    done = event.step + (event.share if isinstance(event, Underway) else 0.0)
    return seconds / done * (event.steps - done) if done else None
