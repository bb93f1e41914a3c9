"""The page on a real server in this process, with tiny models, and an HTTP client for it."""

from __future__ import annotations

import io
import json
import socket
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from PIL import Image

from app import served
from inference import Progress, Result, Studio
from inference.catalog.catalog import Catalog
from inference.picture.photo import Pixels
from inference.rest.service import running_backend
from inference.serving.options import Options
from inference.studio.job import Job

API = "/gradio_api"
# Random weights find every word; the stroke leaves something to keep.
FIELDS: dict[str, Any] = {
    "prompt": "a garden", "steps": 2, "seed": 5, "mask_negative": "", "mask_threshold": 0.05,
    "mask_strokes": "-2000:5000,5000", "controlnet": "",
}  # fmt: skip


class Watched(Studio):
    """A studio that counts its concurrent jobs, and can fail in one."""

    now = most = 0
    breaks_with: str = ""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.is_warm = threading.Event()

    def warm_up(self) -> Generator[Progress]:
        try:
            yield from super().warm_up()
        finally:
            self.is_warm.set()

    def _paint_here(self, job: Job) -> Generator[Progress | Result]:
        if self.breaks_with:
            raise RuntimeError(self.breaks_with)
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            yield from super()._paint_here(job)
        finally:
            self.now -= 1


@dataclass(frozen=True)
class Server:
    """A running server: its address, studio and folder."""

    url: str
    studio: Watched
    blocks: Any
    library: Any

    @property
    def folder(self) -> Path:
        """Where its temporary files are."""
        return Path(self.blocks.app.uploaded_file_dir)

    def client(self) -> httpx.Client:
        return httpx.Client(base_url=self.url, timeout=60)


@contextmanager
def tiny_server(
    catalog: Path, folder: Path, *arguments: str, **surroundings: str
) -> Iterator[Server]:
    """A server as `python app.py` starts it, on a free port, with temporary files in `folder`."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    given = ["--port", port, "--style", "drawn", "--library", str(folder / "library"), *arguments]
    options = Options.read("", given, surroundings)
    studio = Watched(
        catalog=Catalog.load(catalog), style="drawn", safety_checker=options.safety_checker
    )
    with (
        running_backend(studio, options, folder) as behind,
        served(studio, options, behind) as blocks,
    ):
        assert studio.is_warm.wait(60), "the models do not load"
        yield Server(f"http://127.0.0.1:{port}", studio, blocks, behind.jobs.library)


def png(pixels: Pixels) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def coloured(colour: tuple[int, int, int], size: tuple[int, int] = (96, 120)) -> Pixels:
    """A photo of one colour, with a little structure."""
    pixels = np.full((size[1], size[0], 3), colour, dtype=np.uint8)
    pixels[10:20, 10:20] = 255 - pixels[10:20, 10:20]
    return pixels


def wait_until(true: Callable[[], bool], seconds: float = 120) -> None:
    """Wait until a condition holds that other threads fulfil."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it does not happen"
        time.sleep(0.02)


def upload(client: httpx.Client, data: bytes, name: str = "photo.png") -> dict[str, Any]:
    answer = client.post(f"{API}/upload", files={"files": (name, data)})
    assert answer.status_code == 200, answer.text
    return {"path": answer.json()[0], "meta": {"_type": "gradio.FileData"}}


def ask(client: httpx.Client, endpoint: str, *data: Any) -> str:
    """Send a request; returns the event id under which the answer is fetched."""
    answer = client.post(
        f"{API}/call/{endpoint}",
        content=json.dumps({"data": data}),
        headers={"content-type": "application/json"},
    )
    assert answer.status_code == 200, answer.text
    return str(answer.json()["event_id"])


def events(client: httpx.Client, endpoint: str, number: str) -> Iterator[tuple[str, Any]]:
    """The events of a request: pairs of a kind (generating, complete, error) and data."""
    kind = ""
    with client.stream("GET", f"{API}/call/{endpoint}/{number}") as answer:
        for line in answer.iter_lines():
            if line.startswith("event: "):
                kind = line.removeprefix("event: ")
            elif line.startswith("data: ") and kind != "heartbeat":
                yield kind, json.loads(line.removeprefix("data: "))


def outcome(client: httpx.Client, endpoint: str, *data: Any) -> tuple[str, Any]:
    """The last event of a request to an endpoint."""
    *_, last = events(client, endpoint, ask(client, endpoint, *data))
    return last


def sentence(client: httpx.Client, endpoint: str, *data: Any) -> str:
    """The message with which an endpoint refuses a request."""
    kind, said = outcome(client, endpoint, *data)
    assert kind == "error", said
    assert isinstance(said["error"], str), "it says nothing"
    return said["error"]


def picture(client: httpx.Client, file: dict[str, Any]) -> Pixels:
    """Download a picture that an endpoint returned."""
    answer = client.get(f"{API}/file={file['path']}")
    assert answer.status_code == 200
    return np.asarray(Image.open(io.BytesIO(answer.content)).convert("RGB"))
