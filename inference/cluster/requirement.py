"""Whether Ray is installed, which is an optional extra, and how to install it."""

from __future__ import annotations

from importlib.util import find_spec

from inference.errors import MasqueradeError

HOW_TO_INSTALL = (
    "Ray is not installed here: run «python -m pip install -r requirements-ray.txt -c "
    "constraints.txt»."
)


def check_installed() -> None:
    """Check that Ray is there, without importing it.

    Raises:
        MasqueradeError: it is not; says how to install it.
    """
    if find_spec("ray") is None:
        raise MasqueradeError(HOW_TO_INSTALL)
