"""What has to be so before Ray is imported: it is installed, and its own ports are closed."""

from __future__ import annotations

import os
import secrets
from collections.abc import MutableMapping
from importlib.util import find_spec

from inference.errors import MasqueradeError

#: The address that stands for Ray on this machine, started and ended by us.
HERE = "local"
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


def keep_others_out(
    address: str | None, environment: MutableMapping[str, str] = os.environ
) -> None:
    """Have the ports of a Ray that we start ask for a random token: they listen everywhere.

    Ray reads the environment when it is imported. A cluster of others has its own rules.
    """
    if address == HERE and "RAY_AUTH_MODE" not in environment:
        environment["RAY_AUTH_MODE"] = "token"
        environment["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
