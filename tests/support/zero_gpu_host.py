"""Stand-in for the host of a ZeroGPU Space: the HTTP service by which `spaces` allocates GPUs.

    with ZeroGpuHost() as host, running_app(folder, **host.surroundings()) as url:
        ...

Run as a script, this file starts the page there. All of `spaces` is real except its patch of
PyTorch, which needs a CUDA build: it is removed, as `spaces` does if PyTorch is not installed.
"""

from __future__ import annotations

import json
import runpy
import sys
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import ModuleType, TracebackType
from urllib.parse import parse_qs, urlsplit

LOAN = {"idle": False, "nvidiaIndex": 0, "nvidiaUUID": "GPU-0", "allowToken": "token"}
QUOTA = {"left": 10, "wait": 3600}


class ZeroGpuHost:
    """Grants a GPU to every request, unless it `refuses`; `asked` holds the requests."""

    def __init__(self) -> None:
        host = self
        self.refuses = False
        self.asked: list[tuple[str, dict[str, str]]] = []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                parts = urlsplit(self.path)
                host.asked.append(
                    (parts.path, {key: one[0] for key, one in parse_qs(parts.query).items()})
                )
                refused = host.refuses and parts.path == "/schedule"
                body = json.dumps(QUOTA if refused else LOAN).encode()
                self.send_response(HTTPStatus.TOO_MANY_REQUESTS if refused else HTTPStatus.OK)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    def surroundings(self) -> dict[str, str]:
        """The environment variables of such a Space."""
        url = f"http://127.0.0.1:{self._server.server_port}"
        return {"SPACES_ZERO_GPU": "true", "SPACES_ZERO_DEVICE_API_URL": url}

    def requests(self, path: str) -> list[dict[str, str]]:
        """The queries of all requests for this path."""
        return [query for asked, query in self.asked if asked == path]

    def __enter__(self) -> ZeroGpuHost:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()


def without_patch() -> ModuleType:
    """`spaces.zero.torch` as it is without PyTorch."""
    module = ModuleType("spaces.zero.torch")
    for name in ("enter_mode", "patch", "unpatch", "init", "move"):
        setattr(module, name, lambda *_, **__: None)
    module.is_in_bad_fork = lambda: False  # type: ignore[attr-defined]
    module.pack = module.size = lambda: 0  # type: ignore[attr-defined]
    return module


if __name__ == "__main__":
    sys.modules["spaces.zero.torch"] = without_patch()
    sys.path[0], sys.argv = "", sys.argv[1:]
    runpy.run_path(sys.argv[0], run_name="__main__")
