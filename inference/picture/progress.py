"""Progress events of a job: stage, steps done, preview and time left."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from inference.picture.photo import Pixels


class Stage(StrEnum):
    """Stages of a job; the value is shown to the user."""

    WAITING = "Waiting for the painter"
    LOADING = "Loading models"
    MASK = "Finding the words"
    CONTROL = "Drawing the control map"
    ENCODING = "Encoding the photo and the words"
    PAINTING = "Painting"
    DECODING = "Decoding the picture"
    ENLARGING = "Enlarging"
    REFINING = "Refining"
    FINISHING = "Putting the person back"
    FACES = "Repainting faces"
    CORRECTING = "Correcting faces"
    LIKENESS = "Giving faces their likeness"
    OUTPAINTING = "Painting around the picture"
    MATCHING = "Matching the colours"
    GRAIN = "Adding film grain"
    GRADING = "Grading the colours"


@dataclass(frozen=True, kw_only=True)
class Progress:
    """An event while a job works.

    Attributes:
        stage: the current stage.
        step, steps: steps done and in all; both 0 if unknown.
        share: the done share of a stage without steps, in 0–1; None if unknown.
        detail: more about the stage, such as the file that is downloaded.
        preview: (H, W, 3) uint8, the first picture in its present state; None in most events.
        control_map: (H, W, 3) uint8, in one event, after it is drawn; None in all others.
        seconds_left: estimated seconds to the end of the stage; None without an estimate.
    """

    stage: Stage
    step: int = 0
    steps: int = 0
    share: float | None = None
    detail: str = ""
    preview: Pixels | None = field(default=None, repr=False)
    control_map: Pixels | None = field(default=None, repr=False)
    seconds_left: float | None = None

    @property
    def text(self) -> str:
        """All that is known in one line for the user."""
        parts = [str(self.stage), self.detail]
        if self.steps:
            parts.append(f"step {self.step} of {self.steps}")
        if self.seconds_left is not None:
            parts.append(f"{duration(self.seconds_left)} left")
        return " · ".join(part for part in parts if part)

    def report(self) -> dict[str, object]:
        """Stage and steps, ready for JSON."""
        return {"stage": str(self.stage), "step": self.step, "steps": self.steps}


def duration(seconds: float) -> str:
    """A time for the user: seconds below 100, else minutes, else hours and minutes."""
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"
