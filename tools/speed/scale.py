"""The service on a cluster against the one-process server: throughput, and overhead per job.

Both are started as a user starts them, with the embedded pack and one thread a process, and asked
by a client over HTTP. Every job has a photo of its own, so that no cache helps.
"""

from __future__ import annotations

import io
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import numpy as np
from PIL import Image

from inference.library.tokens import Tokens
from tools.speed.tables import Row

ROOT = Path(__file__).resolve().parents[2]
PHOTO = ROOT / "assets" / "examples" / "beach.png"
# A job whose overhead is measured is short, so that its own time varies little.
SHORT, LONG = 1, 8
POLL = 0.004
START_SECONDS = 180


def measure(jobs: int, repeats: int, *, steps: int = LONG) -> list[Row]:
    """Measure the one-process server, then the service with one painter and with two.

    Args:
        jobs: for the throughput.
        repeats: short jobs for the overhead; the medians are compared.
        steps: of a job for the throughput.
    """
    with ExitStack() as stack:
        client = stack.enter_context(_server(["app.py"], []))
        alone = _seconds_a_job(client, repeats)
    with _cluster(1) as client:
        one = _seconds_a_job(client, repeats)
        rates = [_rate(client, jobs, steps)]
    with _cluster(2) as client:
        _seconds_a_job(client, 4)  # both painters have painted
        rates.append(_rate(client, jobs, steps))
    with _cluster(1, "--max-mask-finders", "1") as client:
        looked = _seconds_a_job(client, repeats)
    return [
        {
            "case": "overhead per job", "one process ms": 1000 * alone,
            "service ms": 1000 * one, "overhead ms": 1000 * (one - alone),
            "with a mask finder ms": 1000 * looked,
        },
        {
            "case": f"{jobs} jobs of {steps} steps", "1 painter jobs/min": 60 * rates[0],
            "2 painters jobs/min": 60 * rates[1], "ratio": rates[1] / rates[0],
        },
    ]  # fmt: skip


@contextmanager
def _cluster(painters: int, *more: str) -> Iterator[httpx.Client]:
    """The service with so many painters, which find their own masks unless `more` says else."""
    count = str(painters)
    options = ["--min-painters", count, "--max-painters", count]
    options += more or ["--max-mask-finders", "0"]
    with _server(["-m", "inference", "serve", "--ray"], options) as client:
        yield client


@contextmanager
def _server(command: Sequence[str], options: Sequence[str]) -> Iterator[httpx.Client]:
    """A client of a server with a library of its own, which has painted once."""
    with tempfile.TemporaryDirectory() as folder, socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        probe.close()
        tokens = Tokens(library := Path(folder) / "library")
        headers = {"Authorization": f"Bearer {tokens.make('bench')}"}
        tokens.close()
        given = ["--library", str(library), "--style", "drawn", "--port", str(port), *options]
        process = subprocess.Popen(
            [sys.executable, *command, *given], cwd=ROOT, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, env=os.environ | {"OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        url = f"http://127.0.0.1:{port}"
        try:
            with httpx.Client(base_url=url, headers=headers, timeout=60) as client:
                _wait_for(client, process)
                _ended(client, _create(client, 0, SHORT))
                yield client
        finally:
            process.terminate()
            process.wait(60)


def _wait_for(client: httpx.Client, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + START_SECONDS
    while True:
        try:
            if client.get("/tunes").status_code == 200:
                return
        except httpx.TransportError:
            pass
        if process.poll() is not None or time.monotonic() > end:
            raise RuntimeError("the server does not start")
        time.sleep(0.2)


def _seconds_a_job(client: httpx.Client, repeats: int) -> float:
    """The median time from the request for a short job to the answer that it is done."""
    times = []
    for number in range(repeats):
        started = time.perf_counter()
        _ended(client, _create(client, 1000 + number, SHORT))
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def _rate(client: httpx.Client, jobs: int, steps: int) -> float:
    """Jobs a second, where all are sent at once."""
    started = time.perf_counter()
    with ThreadPoolExecutor(4) as senders:
        numbers = list(senders.map(lambda k: _create(client, 2000 + k, steps), range(jobs)))
    for number in numbers:
        _ended(client, number, 0.05)
    return jobs / (time.perf_counter() - started)


def _create(client: httpx.Client, seed: int, steps: int) -> int:
    pixels = np.array(Image.open(PHOTO).convert("RGB"))
    pixels[0, 0] = (seed % 251, seed // 251, 7)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", compress_level=1)
    answer = client.post(
        "/tunes/drawn/prompts",
        data={"prompt[text]": "a garden", "prompt[steps]": steps, "prompt[seed]": seed},
        files={"prompt[input_image]": ("photo.png", file.getvalue())},
    )
    if answer.status_code != 201:
        raise RuntimeError(answer.text)
    return int(answer.json()["id"])


def _ended(client: httpx.Client, number: int, poll: float = POLL) -> None:
    while True:
        prompt = client.get(f"/prompts/{number}").json()
        if prompt["error"]:
            raise RuntimeError(prompt["error"])
        if prompt["trained_at"]:
            return
        time.sleep(poll)
