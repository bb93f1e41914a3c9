"""Tests of the request filter, with real requests to a real server."""

from __future__ import annotations

import http.client
import json
import re
from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from urllib.parse import urlsplit

import httpx
import pytest

from inference.serving.guard import BUSY
from tests.support.page_server import (
    API,
    FIELDS,
    Server,
    ask,
    coloured,
    events,
    outcome,
    png,
    tiny_server,
    upload,
)

MINE = "masks.example"
# Uploads: 20 MiB for a photo, 1 MiB for the other parts of the form; other requests: 2 MiB.
MAX_UPLOAD, MAX_BODY = 21 * 2**20, 2 * 2**20


@pytest.fixture(scope="module")
def running(tiny_catalog: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("work")
    with tiny_server(tiny_catalog, folder, "--allowed-host", MINE) as server:
        yield server


def raw(server: Server, method: str, path: str, *headers: tuple[str, str]) -> tuple[int, str]:
    """Status and body of a request whose path and headers are sent as they are."""
    place = urlsplit(server.url)
    connection = http.client.HTTPConnection(str(place.hostname), place.port, timeout=20)
    connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
    for name, value in headers:
        connection.putheader(name, value)
    connection.endheaders()
    answer = connection.getresponse()
    body = answer.read().decode("utf-8", "replace")
    connection.close()
    return answer.status, body


def host_of(server: Server) -> str:
    return urlsplit(server.url).netloc


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("localhost:7860", 200),
        ("LOCALHOST", 200),
        ("me.localhost", 200),
        ("127.0.0.1", 200),
        ("[::1]:7860", 200),
        ("192.168.1.7:7860", 200),
        (MINE, 200),
        (f"{MINE}:443", 200),
        ("0123456789abcdef.gradio.live", 200),
        ("somebody-masquerade.hf.space", 200),
        ("evil.example", 421),
        ("evil.example:7860", 421),
        (f"{MINE}.evil.example", 421),
        (f"evil{MINE}", 421),
        ("localhost.evil.example", 421),
        ("127.0.0.1.evil.example", 421),
        ("gradio.live.evil.example", 421),
        ("", 421),
        ("[", 421),
        ("user@evil.example", 421),
    ],
)
def test_it_answers_by_its_own_names_only(running: Server, host: str, status: int) -> None:
    said, body = raw(running, "GET", "/config", ("Host", host))
    assert said == status
    if status != 200:
        assert "--allowed-host" in json.loads(body)["detail"]


def test_two_hosts_are_none(running: Server) -> None:
    twice = ("Host", "localhost"), ("Host", "evil.example")
    assert raw(running, "GET", "/config", *twice)[0] == 400


@pytest.mark.parametrize(
    ("host", "origin", "status"),
    [
        ("localhost:7860", "http://localhost:7860", 200),
        ("localhost", "http://localhost:80", 200),
        ("x.hf.space", "https://x.hf.space", 200),
        ("127.0.0.1:7860", f"https://{MINE}", 200),
        ("127.0.0.1:7860", "http://127.0.0.1:8000", 403),
        ("127.0.0.1:7860", "http://localhost:7860", 403),
        ("127.0.0.1:7860", "https://evil.example", 403),
        ("127.0.0.1:7860", "https://evil.hf.space", 403),
        ("192.168.1.7:7860", "https://evil.example", 403),
        ("127.0.0.1:7860", "null", 403),
        ("127.0.0.1:7860", "http://127.0.0.1:7860@evil.example", 403),
    ],
)
def test_it_answers_to_its_own_pages_only(
    running: Server, host: str, origin: str, status: int
) -> None:
    headers = ("Host", host), ("Origin", origin)
    assert raw(running, "GET", "/config", *headers)[0] == status
    forwarded = *headers, ("X-Forwarded-Host", urlsplit(origin).netloc)
    assert raw(running, "GET", "/config", *forwarded)[0] == status


# Refused by the guard, because the framework would serve or fetch some of them.
CLOSED = [
    "/pwa_icon/192", "/pwa_icon/20000", "/monitoring", "/monitoring/summary", "/docs/", "/redoc",
    "/docs/oauth2-redirect", "/openapi.json/", "/tunesx", "/images", "/prompts/../config",
    "/images/../library.sqlite", "/images/..%2flibrary.sqlite", "/images/%2e%2e/in-use.lock",
    f"{API}/deep_link?session_hash=x", f"{API}/proxy=https://example.org/",
    f"{API}/file/etc/passwd", f"{API}/vibe-code", f"{API}/runs", f"{API}/dev/reload",
    f"{API}/stream/a/b/c/playlist-file", f"{API}/custom_component/a/client/b/c.js",
    f"{API}/component_server", f"{API}/process_recording", f"{API}/mcp/sse", "/etc/passwd",
    f"{API}/file=http://127.0.0.1:1/", f"{API}/file=https://example.org/x.png",
    f"{API}/file=HTTPS://example.org/x.png", f"{API}/file=http%3A%2F%2Fexample.org/",
    f"{API}/file=ftp://example.org/x", f"{API}/file=file:///etc/passwd",
    f"{API}/file=../../../../etc/passwd", f"{API}/file=..%2f..%2f..%2fetc/passwd",
    f"{API}/file=..\\..\\etc\\passwd", f"{API}/file=/tmp/../etc/passwd", f"{API}/file=%00",
    "/assets/../app.py", "/assets/..%2f..%2f..%2fetc/passwd", "/static/%2e%2e/%2e%2e/app.py",
    "/static/..%5c..%5capp.py", "/svelte/../../etc/passwd",
]  # fmt: skip
# Existing files that must not be served.
PRIVATE = [
    f"{API}/file=/etc/passwd", f"{API}/file=//etc/passwd", f"{API}/file=app.py", f"{API}/file=",
    f"{API}/file=/proc/self/environ", f"{API}/file=~/.ssh/id_rsa", "/assets//etc/passwd",
    "/static//etc/passwd",
]  # fmt: skip


@pytest.mark.parametrize("path", CLOSED)
def test_there_is_nothing_behind_other_addresses(running: Server, path: str) -> None:
    status, body = raw(running, "GET", path, ("Host", host_of(running)))
    assert status == 404
    assert json.loads(body)["detail"].startswith("There is nothing at this address")


@pytest.mark.parametrize("path", PRIVATE)
def test_no_other_file_can_be_read(running: Server, path: str) -> None:
    status, body = raw(running, "GET", path, ("Host", host_of(running)))
    assert 400 <= status < 500
    assert "root:" not in body
    assert "Traceback" not in body


def test_a_result_can_be_fetched_and_what_lies_beside_it_cannot(
    running: Server, client: httpx.Client
) -> None:
    file = upload(client, png(coloured((1, 2, 3))))
    assert client.get(f"{API}/file={file['path']}").status_code == 200
    beside = running.folder.parent / "secret.txt"
    beside.write_text("secret")
    for path in (beside, f"{running.folder}/../secret.txt", f"{running.folder}/%2e%2e/secret.txt"):
        assert 400 <= client.get(f"{API}/file={path}").status_code < 500


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "TRACE", "CONNECT"])
def test_other_methods_are_refused(running: Server, method: str) -> None:
    assert raw(running, method, "/config", ("Host", host_of(running)))[0] in (400, 405)


@pytest.mark.parametrize(
    ("path", "length", "status"),
    [
        (f"{API}/upload", str(MAX_UPLOAD + 1), 413),
        (f"{API}/upload", None, 411),
        (f"{API}/queue/join", str(MAX_BODY + 1), 413),
        (f"{API}/run/predict", str(MAX_BODY + 1), 413),
        ("/login", str(MAX_BODY + 1), 413),
    ],
)
def test_what_is_too_long_is_not_even_read(
    running: Server, path: str, length: str | None, status: int
) -> None:
    said = ("Content-Length", length) if length else ("Transfer-Encoding", "chunked")
    kind = ("Content-Type", "multipart/form-data; boundary=x")
    assert raw(running, "POST", path, ("Host", host_of(running)), kind, said)[0] == status


def test_a_body_without_end_is_cut_off(client: httpx.Client) -> None:
    def endless() -> Iterator[bytes]:
        yield from (b" " * 2**16 for _ in range(1000))

    answer = client.post(f"{API}/call/paint", content=endless())
    assert answer.status_code == 413


@pytest.mark.parametrize(
    "path", ["https://example.org/x.png", "HTTP://127.0.0.1/", "ftp://example.org/x"]
)
def test_no_event_of_the_page_fetches_an_address(client: httpx.Client, path: str) -> None:
    """The framework would, for any value of any event, without a bound."""
    file = {"path": path, "meta": {"_type": "gradio.FileData"}}
    for place in ("queue/join", "run/predict", "call/paint"):
        body = {"data": [[{"deep": file}], "", None], "fn_index": 0, "session_hash": "x"}
        for kind in ("application/json", "text/plain", "application/problem+json"):
            answer = client.post(
                f"{API}/{place}", content=json.dumps(body), headers={"content-type": kind}
            )
            assert answer.status_code == 400
            assert "input_image_url" in answer.json()["detail"]


def test_a_full_queue_is_a_sentence_and_the_next_place_is_free_again(
    running: Server, client: httpx.Client
) -> None:
    file = upload(client, png(coloured((9, 9, 9))))
    most = running.blocks._queue.max_size
    with running.studio._job_lock:  # so that nobody is served
        waiting = [ask(client, "paint", file, FIELDS, None)]
        follower = Thread(target=lambda: list(events(client, "paint", waiting[0])))
        while len(waiting) <= most + 5:
            answer = client.post(f"{API}/call/paint", json={"data": [file, FIELDS, None]})
            if answer.status_code != 200:
                break
            waiting.append(answer.json()["event_id"])
        assert most <= len(waiting) <= most + 1, "one is at work, the others wait"
        assert answer.status_code == 503
        assert answer.json() == {"detail": BUSY}
        assert re.fullmatch(r"[^\n]+\.", BUSY)
        assert int(answer.headers["retry-after"]) > 0
        follower.start()
    follower.join()
    for number in waiting[1:]:
        *_, (kind, _) = events(client, "paint", number)
        assert kind == "complete"
    assert outcome(client, "paint", file, FIELDS, None)[0] == "complete"


def test_a_password_closes_everything(tiny_catalog: Path, tmp_path: Path) -> None:
    running = tiny_server(tiny_catalog, tmp_path, MASQUERADE_AUTH="ann:secret")
    with running as server, server.client() as client:
        assert "ann" not in client.get("/").text
        assert client.get("/config").status_code == 401
        assert client.get(f"{API}/info").status_code == 401
        assert client.post(f"{API}/call/paint", json={"data": [None] * 3}).status_code == 401
        assert client.post(f"{API}/upload", files={"files": b"x"}).status_code == 401
        wrong = {"username": "ann", "password": "wrong"}
        assert client.post("/login", data=wrong).status_code == 400
        right = {"username": "ann", "password": "secret"}
        assert client.post("/login", data=right).status_code == 200
        assert client.get("/config").status_code == 200
        assert upload(client, png(coloured((1, 2, 3))))["path"]
