"""Loads the default style in a background thread, with its progress as one line of text."""

from __future__ import annotations

from contextlib import closing
from threading import Event, Thread

from inference.errors import MasqueradeError
from inference.studio.studio import Studio

STOP_SECONDS = 10.0


class ModelStatus:
    """The state of the models, for the page.

    Attributes:
        text: one line for the user.
        ready: whether loading has ended, successfully or not.
    """

    def __init__(self, studio: Studio) -> None:
        self.text = "Starting"
        self.ready = False
        self._studio = studio
        self._stopping = Event()
        self._thread = Thread(target=self._load, daemon=True, name="warm-up")

    def start(self) -> None:
        """Start to load the default style; returns at once."""
        self._thread.start()

    def stop(self) -> None:
        """Stop loading before its next stage; waits at most `STOP_SECONDS` for it."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(STOP_SECONDS)

    def _load(self) -> None:
        studio = self._studio
        try:
            with closing(studio.warm_up()) as events:
                for progress in events:
                    self.text = f"{progress.stage} · {progress.detail}"
                    if self._stopping.is_set():
                        return
            style, device = studio.style(), studio.models().device
            notes = studio.fallback_reason, studio.models().photo_note
            parts = ("Ready", style.title, device.title, *notes)
            self.text = " · ".join(part for part in parts if part)
        except MasqueradeError as error:
            self.text = str(error)
        self.ready = True
