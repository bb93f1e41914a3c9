"""The command that serves on a cluster: `python -m inference serve --ray [ADDRESS]`."""

from __future__ import annotations

import argparse
import logging
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TextIO

import ray
from pydantic import ValidationError
from ray import serve
from ray.exceptions import RayError

from inference.cluster.connection import connect
from inference.cluster.requirement import HERE
from inference.cluster.service import app
from inference.cluster.settings import ServiceSettings
from inference.errors import MasqueradeError

NAME = "masquerade"
DESCRIPTION = "Serve the REST API by the nodes of a Ray cluster, or by several painters here."
# What the settings are, by the option that gives each.
OPTIONS = {
    "library": "folder in which jobs and pictures are kept, or postgresql://… for several machines",
    "library_files": "where files are kept beside a database: a folder, s3://… or gs://…",
    "lease": "seconds after which the job of a painter that is gone is painted by another",
    "style": "default style; see inference/catalog/catalog.toml",
    "catalog": "your own styles, laid over the built-in ones",
    "max_waiting": "most prompts that wait; more get 503",
    "ingresses": "processes that take requests",
    "min_painters": "fewest painters",
    "max_painters": "most painters",
    "painter_gpus": "GPUs of each painter",
    "painter_cpus": "processors of each painter",
    "mask_finder_cpus": "processors of each process that looks at photos",
    "max_mask_finders": "most processes that look at photos; with 0, painters do",
}


def serve_on_cluster(arguments: Sequence[str], stdout: TextIO) -> None:
    """Serve until the process is told to end; then painters have time to end what they paint.

    Raises:
        MasqueradeError: a setting, the library or the cluster cannot be used.
    """
    options = _options(arguments)
    given = {name: value for name in OPTIONS if (value := getattr(options, name)) is not None}
    try:
        settings = ServiceSettings(hosts=tuple(options.allowed_host), **given)
    except ValidationError as error:
        mistake = error.errors()[0]
        name = str(mistake["loc"][0]).replace("_", "-")
        raise MasqueradeError(f"--{name} is wrong: {mistake['msg']}.") from error
    settings.read_catalog()
    settings.check_reach(machines=1)
    connect(options.ray)
    try:
        settings.check_reach(_machines())
        with served(settings, options.host, options.port) as url:
            stdout.write(f"Serving on {url}, described at {url}/docs\n")
            stdout.flush()
            _wait_for_signal()
    finally:
        ray.shutdown()


@contextmanager
def served(settings: ServiceSettings, host: str, port: int) -> Iterator[str]:
    """Context in which the service answers at the address that this gives.

    Raises:
        MasqueradeError: it cannot be started; the log of Ray says why.
    """
    logging.getLogger("ray.serve").setLevel(logging.WARNING)
    quiet = {"enable_access_log": False}  # addresses of pictures are secrets
    options = {"host": host, "port": port}
    try:
        serve.start(proxy_location="HeadOnly", http_options=options, logging_config=quiet)
        serve.run(app(settings), name=NAME, route_prefix="/", logging_config=quiet)
    except (RayError, RuntimeError, TimeoutError) as error:
        serve.shutdown()
        raise MasqueradeError(
            "The service cannot be started: «serve status» and Ray's log say why."
        ) from error
    try:
        yield f"http://{host}:{port}"
    finally:
        serve.shutdown()


def _machines() -> int:
    """How many machines the cluster has."""
    return len({node["NodeManagerAddress"] for node in ray.nodes() if node["Alive"]})


def _wait_for_signal() -> None:
    ended = threading.Event()

    def end(_: int, __: FrameType | None) -> None:
        ended.set()

    before = {one: signal.signal(one, end) for one in (signal.SIGINT, signal.SIGTERM)}
    try:
        ended.wait()
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m inference serve", description=DESCRIPTION)
    parser.add_argument(
        "--ray", nargs="?", const=HERE, required=True, metavar="ADDRESS",
        help="of a cluster, such as ray-head:6379; this machine alone without one",
    )  # fmt: skip
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on; %(default)s")
    parser.add_argument("--port", type=int, default=8000, help="port to listen on; %(default)s")
    parser.add_argument(
        "--allowed-host", action="append", default=[], metavar="NAME",
        help="a name by which the service may be called; may be given again",
    )  # fmt: skip
    for name, told in OPTIONS.items():
        kind = Path if name == "catalog" else str
        parser.add_argument(f"--{name.replace('_', '-')}", type=kind, help=told)
    return parser.parse_args(arguments)
