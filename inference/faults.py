"""What a model does wrong becomes one sentence, and never a value that somebody keeps."""

from __future__ import annotations

import errno
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from safetensors import SafetensorError

from inference.errors import MasqueradeError, ModelFailed, OutOfMemory, PaintingFailed

log = logging.getLogger(__name__)

# What the libraries below us raise; some end the process where an error was meant.
FAULTS = (
    RuntimeError, MemoryError, SystemExit, OSError, ValueError, TypeError, LookupError,
    ArithmeticError, AttributeError, AssertionError, SafetensorError,
)  # fmt: skip
# How the devices say it that do not raise torch's own error for it.
TOO_LITTLE = ("out of memory", "can't allocate memory", "not enough memory")


@contextmanager
def told() -> Iterator[None]:
    """Turn what goes wrong inside into an error of our tree; the cause stays chained to it.

    Raises:
        OutOfMemory: the device has too little memory.
        ModelFailed: anything else that is not of our tree already.
    """
    try:
        yield
    except MasqueradeError:
        raise
    except FAULTS as error:
        # Its text may hold somebody's words, so only its kind is written down.
        log.warning("a model failed: %s", type(error).__name__)
        raise _sentence(error) from error


def sound(value: Any) -> Any:
    """`value`, if every number in it is finite.

    Args:
        value: an array, a tensor, a distribution with its parameters in one tensor, or a tuple
            of those.

    Raises:
        PaintingFailed: there is a NaN or an infinity.
    """
    for one in value if isinstance(value, tuple) else (value,):
        numbers: Any = getattr(one, "parameters", one)
        finite = np.isfinite(one) if isinstance(one, np.ndarray) else numbers.isfinite()
        if not finite.all():
            raise PaintingFailed
    return value


def _sentence(error: BaseException) -> MasqueradeError:
    if isinstance(error, MemoryError) or any(one in str(error).lower() for one in TOO_LITTLE):
        return OutOfMemory()
    if type(error).__name__ == "OutOfMemoryError":  # torch's, without importing torch
        return OutOfMemory()
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return ModelFailed("The disk is full: free some space and press Generate again.")
    if isinstance(error, SafetensorError):
        return ModelFailed("A model's file is damaged: fetch it again, or choose another style.")
    return ModelFailed()
