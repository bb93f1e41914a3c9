"""A client of the REST service, and a server for callbacks on this machine."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx

from inference.library.tokens import digest_of
from tests.support.page_server import Server

# Random weights find every word; the stroke leaves something to keep.
TEXT = "a garden"
SETTINGS: dict[str, Any] = {
    "steps": 2, "seed": 5, "mask_negative": "", "mask_threshold": 0.05, "controlnet": "",
    "mask_strokes": "-2000:5000,5000",
}  # fmt: skip
TUNE = "drawn"


def token_for(server: Server, name: str) -> str:
    """A new token of a running server."""
    token = f"mq_{name}-{time.monotonic_ns()}"
    with server.library._storage.used() as rows:
        rows.add_token(name, digest_of(token), time.time())
    return token


@contextmanager
def rest_client(server: Server, name: str = "ann") -> Iterator[httpx.Client]:
    """A client with a token of this name."""
    headers = {"Authorization": f"Bearer {token_for(server, name)}"}
    with httpx.Client(base_url=server.url, headers=headers, timeout=60) as client:
        yield client


def form(**values: Any) -> dict[str, str]:
    """The fields of a multipart form."""
    given = {"text": TEXT, **SETTINGS, **values}
    return {f"prompt[{name}]": str(value) for name, value in given.items() if value is not None}


def create(client: httpx.Client, photo: bytes, tune: str = TUNE, **values: Any) -> httpx.Response:
    """Send a prompt with a photo."""
    files = {"prompt[input_image]": ("me.png", photo)}
    return client.post(f"/tunes/{tune}/prompts", data=form(**values), files=files)


def ended(client: httpx.Client, prompt: dict[str, Any], seconds: float = 300) -> dict[str, Any]:
    """Poll a prompt until it has ended, as a client does."""
    end = time.monotonic() + seconds
    while True:
        answer = client.get(f"/tunes/{prompt['tune_id']}/prompts/{prompt['id']}")
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        if found["trained_at"] or found["error"]:
            return found
        assert time.monotonic() < end, found
        time.sleep(0.1)


@dataclass
class Receiver:
    """A server that takes callbacks: their headers and bodies, and how it answers the next ones."""

    port: int
    taken: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    answers: Callable[[int], int] = lambda _: 200
    hold: threading.Event = field(default_factory=threading.Event)
    hanging: bool = False

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}/hook?id=7"

    def objects(self) -> list[dict[str, Any]]:
        """The objects that came."""
        return [json.loads(body) for _, body in self.taken]


@contextmanager
def receiver() -> Iterator[Receiver]:
    """A running `Receiver`."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if found.hanging:
                found.hold.wait(30)
            found.taken.append(({k.lower(): v for k, v in self.headers.items()}, body))
            self.send_response(found.answers(len(found.taken)))
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        found = Receiver(port=server.server_address[1])
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield found
        finally:
            found.hold.set()
            server.shutdown()
            thread.join()
