"""The connection to Ray: joins a cluster, or starts Ray on this machine alone."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray

from inference.cluster.requirement import HERE
from inference.errors import MasqueradeError

ROOT = Path(__file__).parents[2]
NO_CLUSTER = (
    "There is no Ray cluster at {}: start one with «ray start --head», or leave the address out to "
    "use this machine."
)
# Read by the processes that Ray starts: it reports its use to its makers otherwise, and gives up
# on a proxy that has not started within 5 s, which a busy machine needs.
RAY_SETTINGS = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "60"}
# Seconds that a cluster has to answer.
SECONDS = 10.0
# Bytes for photos on their way between the processes of this machine.
OBJECT_STORE = 512 * 2**20


@dataclass(frozen=True, kw_only=True)
class Resources:
    """What the nodes of a cluster have together."""

    cpus: int
    gpus: int


@contextmanager
def connected(address: str = HERE) -> Iterator[Resources]:
    """Context in which Ray is there; at its end our own processes are gone.

    Args:
        address: of a cluster, as `ray://host:10001`, `host:6379` or `auto`; or `HERE`.

    Raises:
        MasqueradeError: there is no cluster at this address.
    """
    # Ray's own remarks would stand between the lines of a command.
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
    connect(address)
    try:
        found = ray.cluster_resources()
        yield Resources(cpus=int(found.get("CPU", 0)), gpus=int(found.get("GPU", 0)))
    finally:
        ray.shutdown()


def connect(address: str) -> None:
    """Connect this process to Ray; `ray.shutdown` ends it."""
    for name, value in RAY_SETTINGS.items():
        os.environ.setdefault(name, value)
    options: dict[str, Any] = {}
    _check(address)
    if address == HERE:
        options = {
            "num_cpus": os.cpu_count(), "object_store_memory": OBJECT_STORE,
            "include_dashboard": False,
        }  # fmt: skip
    try:
        ray.init(
            address=address, runtime_env=runtime_env(), log_to_driver=False,
            logging_level=logging.ERROR, **options,
        )  # fmt: skip
    except (OSError, RuntimeError, ValueError) as error:
        raise MasqueradeError(NO_CLUSTER.format(address)) from error


def _check(address: str) -> None:
    """Check that somebody answers at an address, because Ray would wait for minutes.

    Raises:
        MasqueradeError: nobody does.
    """
    host, has_port, port = address.rpartition("://")[2].rpartition(":")
    if not has_port:  # a word such as «auto», or a name whose port Ray knows
        return
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=SECONDS):
            pass
    except (OSError, ValueError) as error:
        raise MasqueradeError(NO_CLUSTER.format(address)) from error


def runtime_env() -> dict[str, Any]:
    """The surroundings of our processes: this code, which every node has at the same place."""
    return {"env_vars": {"PYTHONPATH": str(ROOT)}}
