"""Loads the default style in a background thread, with its progress as one line of text."""

from __future__ import annotations

from contextlib import closing
from threading import Event, Thread

from inference.errors import MasqueradeError
from inference.picture.progress import Progress, Stage
from inference.studio.studio import Studio

STOP_SECONDS = 10.0


class ModelStatus:
    """The state of the models, for the page.

    Attributes:
        studio: loads them.
        text: one line for the user.
        ready: whether the default style was loaded, successfully or not.
        loading: whether models are being loaded now.
    """

    def __init__(self, studio: Studio) -> None:
        self.studio = studio
        self.text = "Starting"
        self.ready = False
        self.loading = True
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

    def follow(self, progress: Progress | None) -> None:
        """Take note of a job's progress; None after its end."""
        if not self.ready:
            return
        self.loading = progress is not None and progress.stage is Stage.LOADING
        if self.loading and progress is not None:
            self.text = progress.text
        else:
            self.text = self._ready_text()

    def _load(self) -> None:
        try:
            with closing(self.studio.warm_up()) as events:
                for progress in events:
                    self.text = progress.text
                    if self._stopping.is_set():
                        return
            self.text = self._ready_text()
        except MasqueradeError as error:
            self.text = str(error)
        self.ready, self.loading = True, False

    def _ready_text(self) -> str:
        models = self.studio.models()
        title = models.style_title or self.studio.style().title
        notes = self.studio.fallback_reason, models.photo_note
        parts = ("Ready", title, models.device.title, *notes)
        return " · ".join(part for part in parts if part)
