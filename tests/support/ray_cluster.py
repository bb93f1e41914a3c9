"""A Ray cluster of three nodes on this machine, and commands that use it in processes of theirs."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ray.cluster_utils import Cluster

ROOT = Path(__file__).parents[2]
OBJECT_STORE = 100 * 2**20
# A node that was killed is noticed within seconds, not after half a minute.
SURROUNDINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "OMP_NUM_THREADS": "1",
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "1000",
    "RAY_health_check_failure_threshold": "3",
}


@contextmanager
def ray_cluster(nodes: int = 3, cpus: int = 1) -> Iterator[Any]:
    """A cluster whose first node has the services; its processes are gone at the end."""
    os.environ.update(SURROUNDINGS)  # of the nodes' processes
    cluster = Cluster()
    try:
        cluster.add_node(num_cpus=cpus, object_store_memory=OBJECT_STORE, include_dashboard=False)
        for _ in range(nodes - 1):
            cluster.add_node(num_cpus=cpus, object_store_memory=OBJECT_STORE)
        yield cluster
    finally:
        cluster.shutdown()


def kill(cluster: Any) -> None:
    """Kill a node that is not the first one, with all that runs on it."""
    cluster.remove_node(sorted(cluster.worker_nodes, key=str)[0], allow_graceful=False)


def command(*arguments: str | Path, **options: Any) -> subprocess.Popen[str]:
    """Start `python -m inference` with these arguments."""
    return subprocess.Popen(
        [sys.executable, "-m", "inference", *map(str, arguments)], cwd=ROOT, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=os.environ | SURROUNDINGS, **options,
    )  # fmt: skip


def done(process: subprocess.Popen[str], seconds: float = 120) -> tuple[int, str, str]:
    """The exit status and what was written, once a command has ended."""
    with process:
        try:
            stdout, stderr = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
    return process.returncode, stdout, stderr
