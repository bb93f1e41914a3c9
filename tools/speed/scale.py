"""The service on a cluster against the one-process server: throughput, and overhead per job.

Both are started as a user starts them, with the embedded pack and one thread a process, and asked
by a client over HTTP. Every job has a photo of its own, so that no cache helps. A job ends when the
server says that it did (`trained_at`); the client asks seldom, because each question takes
processor time from the painter where both share two cores. What a question costs is measured, too.
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
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from PIL import Image

from inference.library.tokens import Tokens
from tools.speed.tables import Row

ROOT = Path(__file__).resolve().parents[2]
PHOTO = ROOT / "assets" / "examples" / "beach.png"
# A job whose overhead is measured is short, so that its own time varies little.
SHORT, LONG = 1, 8
# Seconds between two questions of a client, and questions whose cost is measured.
POLL, QUESTIONS = 0.25, 200
# Ray gives its workers a lower priority (nice 15), which counts where the cores are not free.
SURROUNDINGS = {"OMP_NUM_THREADS": "1", "RAY_worker_niceness": "0"}
START_SECONDS = 400


@dataclass(frozen=True, kw_only=True)
class Asker:
    """Asks a server for pictures, each of a photo of its own.

    Attributes:
        client: with a token.
        fields: of every prompt, beside its text, steps and seed.
    """

    client: httpx.Client
    fields: Mapping[str, Any] = field(default_factory=dict)

    def seconds_a_job(self, repeats: int) -> float:
        """The median time from the request for a short job until it is done."""
        times = []
        for number in range(repeats):
            started = time.time()
            times.append(self.wait_for(self.create(1000 + number, SHORT)) - started)
        return statistics.median(times)

    def rate(self, jobs: int, steps: int) -> float:
        """Jobs a second, where all are sent at once."""
        started = time.time()
        with ThreadPoolExecutor(4) as senders:
            numbers = list(senders.map(lambda k: self.create(2000 + k, steps), range(jobs)))
        return jobs / (max(self.wait_for(number) for number in numbers) - started)

    def seconds_a_question(self) -> float:
        """The mean time that the answer to the question how far a prompt is takes."""
        number = self.create(3000, SHORT)
        self.wait_for(number)
        started = time.perf_counter()
        for _ in range(QUESTIONS):
            self.wait_for(number)
        return (time.perf_counter() - started) / QUESTIONS

    def create(self, seed: int, steps: int) -> int:
        """Send a prompt; returns its number."""
        pixels = np.array(Image.open(PHOTO).convert("RGB"))
        pixels[0, 0] = (seed % 251, seed // 251, 7)
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "PNG", compress_level=1)
        values = {"text": "a garden", "steps": steps, "seed": seed, **self.fields}
        answer = self.client.post(
            "/tunes/drawn/prompts",
            data={f"prompt[{name}]": str(value) for name, value in values.items()},
            files={"prompt[input_image]": ("photo.png", file.getvalue())},
        )
        if answer.status_code != 201:
            raise RuntimeError(answer.text)
        return int(answer.json()["id"])

    def wait_for(self, number: int) -> float:
        """Wait until a prompt is done; returns when it was, in seconds since 1970."""
        while True:
            prompt = self.client.get(f"/prompts/{number}").json()
            if prompt["error"]:
                raise RuntimeError(prompt["error"])
            if prompt["trained_at"]:
                return datetime.fromisoformat(prompt["trained_at"]).timestamp()
            time.sleep(POLL)


def measure(jobs: int, repeats: int, *, steps: int = LONG) -> list[Row]:
    """Measure the one-process server, then the service with one painter and with two.

    Args:
        jobs: for the throughput.
        repeats: short jobs for the overhead; the medians are compared.
        steps: of a job for the throughput.
    """
    with _server(["app.py"], []) as asker:
        alone = _told("one process, seconds a job", asker.seconds_a_job(repeats))
        asked = [_told("one process, seconds a question", asker.seconds_a_question())]
    with _cluster(1) as asker:
        one = _told("service, seconds a job", asker.seconds_a_job(repeats))
        asked.append(_told("service, seconds a question", asker.seconds_a_question()))
        rates = [_told("one painter, jobs a second", asker.rate(jobs, steps))]
    with _cluster(2) as asker:
        asker.rate(4, SHORT)  # both painters have painted
        rates.append(_told("two painters, jobs a second", asker.rate(jobs, steps)))
    with _cluster(1, "--max-mask-finders", "1") as asker:
        looked = _told("with a mask finder, seconds a job", asker.seconds_a_job(repeats))
    return [
        {
            "case": "overhead per job", "one process ms": 1000 * alone,
            "service ms": 1000 * one, "overhead ms": 1000 * (one - alone),
            "with a mask finder ms": 1000 * looked,
        },
        {
            "case": "a question how far a prompt is", "one process ms": 1000 * asked[0],
            "service ms": 1000 * asked[1],
        },
        {
            "case": f"{jobs} jobs of {steps} steps", "1 painter jobs/min": 60 * rates[0],
            "2 painters jobs/min": 60 * rates[1], "ratio": rates[1] / rates[0],
        },
    ]  # fmt: skip


def _told(what: str, value: float) -> float:
    """Write a figure at once, because a later part may fail; returns it."""
    print(f"{what}: {value:.3f} (load {os.getloadavg()[0]:.1f})", file=sys.stderr, flush=True)
    return value


@contextmanager
def _cluster(painters: int, *more: str) -> Iterator[Asker]:
    """The service with so many painters, which find their own masks unless `more` says else."""
    count = str(painters)
    options = ["--min-painters", count, "--max-painters", count]
    options += more or ["--max-mask-finders", "0"]
    with _server(["-m", "inference", "serve", "--ray"], options) as asker:
        yield asker


@contextmanager
def _server(command: Sequence[str], options: Sequence[str]) -> Iterator[Asker]:
    """An asker of a server with a library of its own, which has painted once."""
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
            stderr=subprocess.DEVNULL, env=os.environ | SURROUNDINGS,
        )  # fmt: skip
        url = f"http://127.0.0.1:{port}"
        try:
            with httpx.Client(base_url=url, headers=headers, timeout=60) as client:
                _wait_for(client, process)
                asker = Asker(client=client)
                asker.wait_for(asker.create(0, SHORT))
                yield asker
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
