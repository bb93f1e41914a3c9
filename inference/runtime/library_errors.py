"""Translates exceptions of torch, diffusers and other libraries into `MasqueradeError`."""

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

# SystemExit is included: some libraries exit the process instead of raising an error.
LIBRARY_ERRORS = (
    RuntimeError, MemoryError, SystemExit, OSError, ValueError, TypeError, LookupError,
    ArithmeticError, AttributeError, AssertionError, SafetensorError,
)  # fmt: skip
# Messages of devices that do not raise OutOfMemoryError.
OUT_OF_MEMORY_MESSAGES = ("out of memory", "can't allocate memory", "not enough memory")


@contextmanager
def translated_errors() -> Iterator[None]:
    """Context manager that raises library errors as `MasqueradeError`, chained to the original.

    Raises:
        OutOfMemory: the device has too little memory.
        ModelFailed: any other error that is not a `MasqueradeError` already.
    """
    try:
        yield
    except MasqueradeError:
        raise
    except LIBRARY_ERRORS as error:
        # The message may contain a user's words, so only the type is logged.
        log.warning("a model failed: %s", type(error).__name__)
        raise _translate(error) from error


def check_finite(value: Any) -> Any:
    """`value` itself, if every number in it is finite.

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


def _translate(error: BaseException) -> MasqueradeError:
    message = str(error).lower()
    if isinstance(error, MemoryError) or any(one in message for one in OUT_OF_MEMORY_MESSAGES):
        return OutOfMemory()
    if type(error).__name__ == "OutOfMemoryError":  # torch's, without importing torch
        return OutOfMemory()
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return ModelFailed("The disk is full: free some space and press Generate again.")
    if isinstance(error, SafetensorError):
        return ModelFailed("A model's file is damaged: fetch it again, or choose another style.")
    return ModelFailed()
