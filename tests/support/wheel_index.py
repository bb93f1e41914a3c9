"""Local package index (PEP 503) and tiny wheels for it.

with WheelIndex() as index:
    index.add(*tiny_wheel({"tiny/model.tflite": b"..."}))
    use_alone(index, monkeypatch, tmp_path)
"""

from __future__ import annotations

import hashlib
import io
import os
import threading
from collections.abc import Mapping
from enum import Enum, auto
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from zipfile import ZIP_DEFLATED, ZipFile

import pytest


class Fault(Enum):
    """Simulated failures: of every answer, or only of the wheels."""

    SERVER_ERROR = auto()
    STALLS = auto()

    STALLS_IN_A_WHEEL = auto()
    CUTS_A_WHEEL_OFF = auto()


def tiny_wheel(
    files: Mapping[str, bytes], *, version: str = "1.0", tag: str = "py3-none-any"
) -> tuple[str, bytes]:
    """File name and contents of a wheel of the package `tiny` with these files."""
    about = f"tiny-{version}.dist-info"
    every = dict(files) | {
        f"{about}/METADATA": f"Metadata-Version: 2.1\nName: tiny\nVersion: {version}\n".encode(),
        f"{about}/WHEEL": f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tag}\n".encode(),
    }
    record = "".join(f"{path},,\n" for path in (*every, f"{about}/RECORD"))
    every[f"{about}/RECORD"] = record.encode()
    packed = io.BytesIO()
    with ZipFile(packed, "w", ZIP_DEFLATED) as archive:
        for path, data in every.items():
            archive.writestr(path, data)
    return f"tiny-{version}-{tag}.whl", packed.getvalue()


class WheelIndex:
    """The index; a context manager that listens on a free port of 127.0.0.1.

    Attributes:
        requests: paths of all requests.
        stalled: set once an answer stands still.
        hung_up: set once the client of such an answer is gone.
    """

    def __init__(self) -> None:
        self.wheels: dict[str, bytes] = {}
        self.requests: list[str] = []
        self.fault: Fault | None = None
        self.stalled, self.hung_up = threading.Event(), threading.Event()
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._http.daemon_threads = True
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_port}/simple"

    def add(self, name: str, data: bytes) -> None:
        """Offer a wheel."""
        self.wheels[name] = data

    def page(self, package: str) -> bytes:
        """The page with the links to a package's wheels; empty if there are none."""
        names = [name for name in self.wheels if name.startswith(f"{package}-")]
        links = [f'<a href="/files/{name}">{name}</a>' for name in names]
        return f"<!DOCTYPE html><html><body>{''.join(links)}</body></html>".encode() * bool(links)

    def close(self) -> None:
        """Stop the server; its port then refuses connections."""
        if self._thread.is_alive():
            self._http.shutdown()
            self._thread.join()
        self._http.server_close()

    def __enter__(self) -> WheelIndex:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def use_alone(index: WheelIndex, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Make it the only index that pip knows, with an empty cache and temporary folder."""
    (folder / "temporary").mkdir()
    for name in ("PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "PIP_NO_INDEX", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", "PIP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_DEFAULT_TIMEOUT", "60")
    monkeypatch.setenv("TMPDIR", str(folder / "temporary"))
    monkeypatch.setenv("HF_HUB_CACHE", str(folder / "cache"))
    monkeypatch.setenv("PIP_INDEX_URL", index.url)


def _handler(index: WheelIndex) -> type[BaseHTTPRequestHandler]:
    class Handler(_Handler):
        server_state = index

    return Handler


class _Handler(BaseHTTPRequestHandler):
    server_state: WheelIndex

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Keep the test output clean."""

    def do_GET(self) -> None:
        index = self.server_state
        index.requests.append(self.path)
        folder, name = self.path.strip("/").split("/", 1)  # simple/<package>, files/<wheel>
        if index.fault is Fault.SERVER_ERROR:
            self._send(b"", status=HTTPStatus.SERVICE_UNAVAILABLE)
        elif index.fault is Fault.STALLS:
            self._stall()
        elif folder == "files":
            self._send_wheel(index.wheels[name])
        else:
            page = index.page(name)
            self._send(page, status=HTTPStatus.OK if page else HTTPStatus.NOT_FOUND)

    def _send_wheel(self, data: bytes) -> None:
        fault = self.server_state.fault
        half = fault in (Fault.STALLS_IN_A_WHEEL, Fault.CUTS_A_WHEEL_OFF)
        self._send(data, kind="application/octet-stream", only=len(data) // 2 if half else None)
        if fault is Fault.STALLS_IN_A_WHEEL:
            self._stall()

    def _stall(self) -> None:
        """Stand still until the client hangs up."""
        self.wfile.flush()
        self.server_state.stalled.set()
        if self.connection.recv(1) == b"":
            self.server_state.hung_up.set()
        self.close_connection = True

    def _send(
        self,
        body: bytes,
        *,
        kind: str = "text/html",
        status: HTTPStatus = HTTPStatus.OK,
        only: int | None = None,
    ) -> None:
        """Send the body, or announce all of it and send `only` so many bytes."""
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[:only])


def sha256(data: bytes) -> str:
    """SHA-256 in hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()
