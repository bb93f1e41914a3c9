"""Local model hub: serves folders over the HTTP API that huggingface_hub uses.

    with HubServer() as hub:
        hub.add("owner/name", folder)
        monkeypatch.setenv("HF_ENDPOINT", hub.url)

It answers the requests of `model_info`, `list_repo_tree` and `hf_hub_download`. To simulate
failures, set `hub.fault`, permanently or, with `hub.fault_count`, for a number of answers.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from urllib.parse import unquote, urlsplit

from tests.support.hub_files import Part, RepoFile


class Fault(Enum):
    """Simulated failures. The first group affects every answer, the second only weights."""

    SERVER_ERROR = auto()
    UNAUTHORIZED = auto()
    GATED = auto()
    LOGIN_PAGE = auto()
    SLOW = auto()

    CUT_OFF = auto()
    STARTS_OVER = auto()
    TOO_SHORT = auto()
    WRONG_BYTES = auto()
    DIES_AFTER_LISTING = auto()


_OF_BODIES = {
    Fault.CUT_OFF,
    Fault.STARTS_OVER,
    Fault.TOO_SHORT,
    Fault.WRONG_BYTES,
    Fault.DIES_AFTER_LISTING,
}


@dataclass(frozen=True, kw_only=True)
class _Repo:
    name: str
    folder: Path
    commit: str

    def files(self) -> Iterator[RepoFile]:
        for path in sorted(self.folder.rglob("*")):
            if path.is_file():
                yield RepoFile(path=path.relative_to(self.folder).as_posix(), where=path)


class HubServer:
    """The server; a context manager that listens on a free port of 127.0.0.1."""

    def __init__(self) -> None:
        self.repos: dict[str, _Repo] = {}
        self.branches: dict[tuple[str, str], _Repo] = {}
        #: Repositories whose list is open and whose files are not.
        self.gated: set[str] = set()
        self.requests: list[tuple[str, str]] = []
        self.fault: Fault | None = None
        self.fault_count: int | None = None
        self.seconds_per_file = 0.0
        self.released = threading.Event()
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._http.daemon_threads = True
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_port}"

    def add(self, name: str, folder: Path, *, commit: str = "") -> None:
        """Serve `folder` as repository `name`, whose branch main is at `commit`."""
        commit = commit or hashlib.sha1(name.encode()).hexdigest()
        self.repos[name] = _Repo(name=name, folder=folder, commit=commit)

    def add_branch(self, name: str, branch: str, folder: Path) -> None:
        """Serve `folder` as another branch of a repository, such as refs/pr/1."""
        commit = hashlib.sha1(f"{name} {branch}".encode()).hexdigest()
        repo = _Repo(name=name, folder=folder, commit=commit)
        self.branches |= {(name, branch): repo, (name, commit): repo}

    def downloads(self) -> list[str]:
        """The paths of all requested files, in order."""
        return [path for method, path in self.requests if method == "GET" and "/resolve/" in path]

    def takes_fault(self) -> bool:
        """Whether this answer has the fault; counts `fault_count` down."""
        if self.fault is None or self.fault_count == 0:
            return False
        if self.fault_count is not None:
            self.fault_count -= 1
        return True

    def close(self) -> None:
        """Stop the server; its port then refuses connections."""
        self.released.set()
        if self._thread.is_alive():
            self._http.shutdown()
            self._thread.join()
        self._http.server_close()

    def __enter__(self) -> HubServer:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _handler(hub: HubServer) -> type[BaseHTTPRequestHandler]:
    class Handler(_Handler):
        server_state = hub

    return Handler


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_state: HubServer

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Keep the test output clean."""

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        hub = self.server_state
        path = unquote(urlsplit(self.path).path)
        hub.requests.append((self.command, path))
        if hub.fault is not None and hub.fault not in _OF_BODIES and hub.takes_fault():
            self._misbehave(hub.fault)
        elif path.startswith("/api/models/"):
            self._describe(path.removeprefix("/api/models/"))
        elif "/resolve/" in path:
            if self.command == "GET":
                time.sleep(hub.seconds_per_file)
            self._serve(path.lstrip("/"))
        else:
            self._refuse(HTTPStatus.NOT_FOUND, "EntryNotFound")

    def _misbehave(self, fault: Fault) -> None:
        if fault is Fault.SERVER_ERROR:
            self._refuse(HTTPStatus.SERVICE_UNAVAILABLE)
        elif fault is Fault.UNAUTHORIZED:
            self._refuse(HTTPStatus.UNAUTHORIZED, "RepoNotFound")
        elif fault is Fault.GATED:
            self._refuse(HTTPStatus.FORBIDDEN, "GatedRepo")
        elif fault is Fault.LOGIN_PAGE:
            self._send(b"<html>Welcome to the cafe</html>", {"Content-Type": "text/html"})
        else:
            self.server_state.released.wait()
            self.close_connection = True

    def _describe(self, question: str) -> None:
        """`owner/name[/revision/x]` lists the files flat, `owner/name/tree/x` as a tree."""
        owner, name, *rest = question.split("/", 3)
        gated = f"{owner}/{name}" in self.server_state.gated
        if rest == ["auth-check"]:
            if gated:
                self._refuse(HTTPStatus.FORBIDDEN, "GatedRepo")
            else:
                self._send_json({})
            return
        repo = self._find(f"{owner}/{name}", rest[1] if len(rest) > 1 else "main")
        if repo is None:
            return
        if rest and rest[0] == "tree":
            self._send_json([file.as_tree_entry() for file in repo.files()])
        else:
            siblings = [file.as_sibling() for file in repo.files()]
            about = {"id": repo.name, "sha": repo.commit, "gated": "auto" if gated else False}
            self._send_json({**about, "siblings": siblings})

    def _serve(self, path: str) -> None:
        """`owner/name/resolve/revision/path/of/file`"""
        owner, name, _, revision, wish = path.split("/", 4)
        repo = self._find(f"{owner}/{name}", revision)
        if repo is None:
            return
        file = next((f for f in repo.files() if f.path == wish), None)
        if file is None:
            self._refuse(HTTPStatus.NOT_FOUND, "EntryNotFound")
            return
        headers = {"ETag": file.etag, "X-Repo-Commit": repo.commit, "Accept-Ranges": "bytes"}
        if file.is_large:
            headers |= {"X-Linked-ETag": file.etag, "X-Linked-Size": str(file.size)}
        spoilt = self.command == "GET" and file.is_large and self.server_state.takes_fault()
        self._send_file(file, headers, self.server_state.fault if spoilt else None)

    def _send_file(self, file: RepoFile, headers: dict[str, str], fault: Fault | None) -> None:
        start = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").split("-")[0])
        half = file.size // 2
        if fault is Fault.DIES_AFTER_LISTING:
            self._refuse(HTTPStatus.SERVICE_UNAVAILABLE)
        elif fault is Fault.CUT_OFF:
            self._send(file.part(start), headers, only=0 if start else half)
        elif fault is Fault.STARTS_OVER:
            self._send(file.part(), headers, only=half)
        elif fault is Fault.TOO_SHORT:
            self._send(file.part(0, half), headers)
        elif fault is Fault.WRONG_BYTES:
            self._send(file.part(is_damaged=True), headers)
        elif start:
            headers["Content-Range"] = f"bytes {start}-{file.size - 1}/{file.size}"
            self._send(file.part(start), headers, status=HTTPStatus.PARTIAL_CONTENT)
        else:
            self._send(file.part(), headers)

    def _find(self, name: str, revision: str) -> _Repo | None:
        hub = self.server_state
        repo = hub.branches.get((name, revision)) or hub.repos.get(name)
        if repo is None:
            self._refuse(HTTPStatus.UNAUTHORIZED, "RepoNotFound")
        elif revision not in ("main", repo.commit) and (name, revision) not in hub.branches:
            self._refuse(HTTPStatus.NOT_FOUND, "RevisionNotFound")
            repo = None
        return repo

    def _refuse(self, status: HTTPStatus, code: str = "") -> None:
        self._send(b"", {"X-Error-Code": code, "X-Error-Message": status.phrase}, status=status)

    def _send_json(self, answer: object) -> None:
        self._send(json.dumps(answer).encode(), {"Content-Type": "application/json"})

    def _send(
        self,
        body: bytes | Part,
        headers: dict[str, str],
        *,
        status: HTTPStatus = HTTPStatus.OK,
        only: int | None = None,
    ) -> None:
        """Send the body, or announce all of it and close the connection after `only` bytes."""
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            for block in [body[:only]] if isinstance(body, bytes) else body.blocks(only):
                self.wfile.write(block)
        if only is not None:
            self.close_connection = True
