"""Silences warnings and progress bars of transformers and diffusers."""

from __future__ import annotations

import os
from typing import Any


def silence(library_logging: Any, variable: str) -> None:
    """Log only errors of a library, unless its environment variable sets another level.

    Args:
        library_logging: `transformers.utils.logging` or `diffusers.utils.logging`.
        variable: the environment variable for its verbosity.
    """
    library_logging.disable_progress_bar()
    if variable not in os.environ:
        library_logging.set_verbosity_error()
