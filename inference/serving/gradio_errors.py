"""Converts `MasqueradeError` to `gr.Error`: a message on the page, an error of an endpoint."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import gradio as gr

from inference.errors import MasqueradeError


@contextmanager
def shown_errors() -> Iterator[None]:
    """Context manager that raises a `MasqueradeError` as a `gr.Error` with the same message."""
    try:
        yield
    except MasqueradeError as error:
        raise gr.Error(str(error), print_exception=False) from error
