"""Loading the models in the background, and saying how far it is."""

from __future__ import annotations

from dataclasses import dataclass
from threading import Thread

from inference.errors import MasqueradeError
from inference.studio import Studio


@dataclass
class Warmth:
    """What a page can say about the models.

    Attributes:
        text: one line for the user.
        ready: whether loading is over, well or ill.
    """

    studio: Studio
    text: str = "Starting"
    ready: bool = False

    def start(self) -> None:
        """Begin to load the default style; returns at once."""
        Thread(target=self._load, daemon=True).start()

    def _load(self) -> None:
        try:
            for progress in self.studio.warm_up():
                self.text = f"{progress.stage} · {progress.detail}"
            style, device = self.studio.style(), self.studio.models().device
            parts = ("Ready", style.title, device.title, self.studio.fallback_reason)
            self.text = " · ".join(part for part in parts if part)
        except MasqueradeError as error:
            self.text = str(error)
        self.ready = True
