"""A Ray cluster of three nodes on this machine, and commands that use it in processes of theirs."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
from ray.cluster_utils import Cluster

from inference.cluster.connection import RAY_SETTINGS

ROOT = Path(__file__).parents[2]
OBJECT_STORE = 100 * 2**20
# The titles of painters' processes, of the service and of a folder.
DISPATCHER = "ServeReplica:masquerade:Dispatcher"
PAINTER, PHOTO_PAINTER = "ServeReplica:masquerade:Painter", "MapBatches(PhotoPainter)"
# A node that was killed refuses connections, which is noticed within seconds; one that is busy
# has time to answer.
SURROUNDINGS = RAY_SETTINGS | {
    "OMP_NUM_THREADS": "1",
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "20000",
    "RAY_health_check_failure_threshold": "5",
}


@contextmanager
def ray_cluster() -> Iterator[Any]:
    """A cluster: a first node with Ray's own services, and two that work, with one CPU each.

    All its processes are gone at the end.
    """
    os.environ.update(SURROUNDINGS)  # of the nodes' processes
    cluster = Cluster()
    try:
        cluster.add_node(num_cpus=0, include_dashboard=False, object_store_memory=OBJECT_STORE)
        for _ in range(2):
            add_node(cluster)
        yield cluster
    finally:
        cluster.shutdown()


def add_node(cluster: Any) -> None:
    """Add a node that works."""
    cluster.add_node(num_cpus=1, object_store_memory=OBJECT_STORE)


def kill_a_node(cluster: Any, process: str) -> None:
    """Kill a node on which a process with such a title runs, and all that runs on it."""
    for node in sorted(cluster.worker_nodes, key=lambda node: str(node.node_id)):
        if _processes(node, process):
            cluster.remove_node(node, allow_graceful=False)
            return
    raise AssertionError(f"no node has {process}")


def kill_a_process(cluster: Any, process: str) -> None:
    """Kill a process with such a title, on whichever node it runs."""
    for node in (cluster.head_node, *cluster.worker_nodes):
        for one in _processes(node, process):
            one.kill()
            return
    raise AssertionError(f"no node has {process}")


def _processes(node: Any, title: str) -> list[psutil.Process]:
    raylet = psutil.Process(node.all_processes["raylet"][0].process.pid)
    return [one for one in raylet.children(recursive=True) if title in " ".join(one.cmdline())]


def command(
    *arguments: str | Path, surroundings: Mapping[str, str] | None = None
) -> subprocess.Popen[str]:
    """Start `python -m inference` with these arguments and environment variables."""
    environment = {**os.environ, **SURROUNDINGS, **(surroundings or {})}
    return subprocess.Popen(
        [sys.executable, "-m", "inference", *map(str, arguments)], cwd=ROOT, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment,
    )  # fmt: skip


def done(process: subprocess.Popen[str], seconds: float = 600) -> tuple[int, str, str]:
    """The exit status and what was written, once a command has ended."""
    with process:
        try:
            stdout, stderr = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
    return process.returncode, stdout, stderr
