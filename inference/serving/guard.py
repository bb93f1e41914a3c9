"""Request filter of the page's server (ASGI middleware): host, origin, route, size and body.

A local server can be reached by every site that is open in the same browser. So a request's Host
has to be a known name or an IP address (against DNS rebinding), and its Origin has to be that Host
(against cross-site requests). Only routes that the page and the documented endpoints use are open:
the web framework has others, which fetch URLs, write files or resize icons without permission.
"""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Collection, Mapping, MutableMapping, Sequence
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from inference.picture.photo import MAX_BYTES

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

API = "/gradio_api/"
PAGES = frozenset(
    ("/", "/config", "/theme.css", "/robots.txt", "/favicon.ico", "/manifest.json", "/login",
     "/login/", "/logout", "/pwa_icon")
)  # fmt: skip
FOLDERS = ("/assets/", "/static/", "/svelte/")
# First segment of the allowed paths below API.
ROUTES = frozenset(
    ("info", "openapi.json", "startup-events", "app_id", "user", "login_check", "token",
     "heartbeat", "queue", "call", "run", "cancel", "reset", "upload", "upload_progress",
     "theme.css")
)  # fmt: skip
MCP_PATH = "/mcp"
# REST and MCP, which have their own limits and read bodies themselves.
REST_PAGES = frozenset(("/tunes", "/prompts", "/docs", "/openapi.json", MCP_PATH))
REST_FOLDERS = ("/tunes/", "/prompts/", "/images/")
FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")
METHODS = frozenset(("GET", "HEAD", "POST", "OPTIONS"))
REST_METHODS = frozenset(("GET", "HEAD", "POST", "DELETE"))
# Domains whose owners control where each name points, so that they are safe from DNS rebinding.
TRUSTED_DOMAINS = (".localhost", ".gradio.live", ".hf.space")
# Largest request bodies in bytes: uploads, with room for the form's other parts; all others.
MAX_UPLOAD, MAX_BODY = MAX_BYTES + 2**20, 2 * 2**20
TOO_LONG = "This is over {} MB: send less."
BUSY = "All places in the queue are taken: try again in a minute."
RETRY_AFTER = b"30"  # seconds

_WEB = re.compile(r"[a-z][a-z0-9+.-]+:", re.IGNORECASE)


class Refused(Exception):
    """A refused request: HTTP status and message."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


class Guard:
    """ASGI middleware that refuses all requests other than those of the page and the endpoints.

    Args:
        app: the server's application.
        hosts: host names in lower case, beside localhost and IP addresses; may be extended later,
            because the address of a shared link is known only after the start.
        endpoints: names of the endpoints with their parameters. A wrong number of values would be
            an error inside the framework, which logs all values.
    """

    def __init__(
        self,
        app: Application,
        *,
        hosts: Collection[str | None] = (),
        endpoints: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        self._app = app
        self._hosts = hosts
        self._endpoints = endpoints or {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it with a message."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] == "websocket":  # not used by the page
            await send({"type": "websocket.close", "code": 1008})
            return
        path = scope["path"]
        try:
            self._check(scope)
            if scope["method"] == "POST" and not is_rest(path):
                _check_length(scope)
                if not path.endswith("/upload"):
                    body = await _body(receive)
                    if not _one(scope, b"content-type").startswith(FORMS):
                        self._check_json(path, body)
                    receive = _replay(body, receive)
        except Refused as refused:
            await _answer(send, refused.status, str(refused))
            return
        await self._app(scope, receive, send if is_rest(path) else _with_busy_message(send))

    def _check(self, scope: Scope) -> None:
        host = _one(scope, b"host")
        name = _name(host)
        if not self._is_ours(name):
            raise Refused(
                421, f"This server is not {name[:80]!r}: start it with --allowed-host if it is."
            )
        origin = _one(scope, b"origin")
        if origin and not self._is_own(origin, host):
            raise Refused(
                403, "This is another site's page: start the server with --allowed-host for it."
            )
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        if scope["method"] not in (REST_METHODS if is_rest(path) else METHODS):
            raise Refused(405, "There is nothing to be done in this way: use GET or POST.")
        if not _is_open(path):
            raise Refused(404, "There is nothing at this address: see /gradio_api/info.")

    def _check_json(self, path: str, body: bytes) -> None:
        try:
            value = json.loads(body) if body else None
        except (ValueError, RecursionError) as error:
            raise Refused(400, "This is not JSON: see /gradio_api/info for what is.") from error
        _check_files(value)
        _, called, name = path.partition(f"{API}call/")
        if not called:
            return
        by_name = name.startswith("v2/")
        names = self._endpoints.get(name.removeprefix("v2/").strip("/"))
        if names is None:
            raise Refused(404, f"This can be called: {', '.join(self._endpoints)}.")
        data = value.get("data") if isinstance(value, dict) and not by_name else value
        fits = isinstance(data, list) and len(data) == len(names)
        if by_name:
            fits = isinstance(data, dict) and data.keys() <= set(names)
        if not fits:
            raise Refused(422, f"This takes {', '.join(names)}, null where there is none.")

    def _is_ours(self, name: str) -> bool:
        return (
            name == "localhost"
            or name in self._hosts
            or name.endswith(TRUSTED_DOMAINS)
            or _is_plain_address(name)
        )

    def _is_own(self, origin: str, host: str) -> bool:
        """Whether an Origin is the request's own Host."""
        place = origin.partition("://")[2]
        return (
            _without_usual_port(place) == _without_usual_port(host) or _name(place) in self._hosts
        )


def _one(scope: Scope, name: bytes) -> str:
    """The value of a header that must not be repeated; "" if it is missing."""
    found = [value for key, value in scope["headers"] if key.lower() == name]
    if len(found) > 1:
        raise Refused(400, f"The header {name.decode()} stands twice: send it once.")
    return found[0].decode("latin-1").strip().lower() if found else ""


def _name(host: str) -> str:
    """The host name without port and without the brackets of IPv6."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _without_usual_port(host: str) -> str:
    return re.sub(r":(80|443)$", "", host)


def _is_plain_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def is_rest(path: str) -> bool:
    """Whether a decoded path is one of the REST service, or that of MCP."""
    return path in REST_PAGES or path.startswith(REST_FOLDERS)


def _is_open(path: str) -> bool:
    """Whether a decoded path is an allowed route without path traversal."""
    if "\0" in path or ".." in path.replace("\\", "/").split("/"):
        return False
    if path in PAGES or path.startswith(FOLDERS) or is_rest(path):
        return True
    if not path.startswith(API):
        return False
    rest = path.removeprefix(API)
    if rest.startswith("file="):
        return not _WEB.match(rest.removeprefix("file="))
    return rest.partition("/")[0] in ROUTES


def _check_length(scope: Scope) -> None:
    """Refuse a body by its Content-Length."""
    most = MAX_UPLOAD if scope["path"].endswith("/upload") else MAX_BODY
    length = _one(scope, b"content-length")
    if length.isdigit() and int(length) > most:
        raise Refused(413, TOO_LONG.format(most >> 20))
    if most == MAX_UPLOAD and not length.isdigit():
        raise Refused(411, "The length of the upload is not said: send it with its length.")


async def _body(receive: Receive) -> bytes:
    """Read a request's whole body."""
    body, more = bytearray(), True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Refused(400, "The request broke off: send it again.")
        body += message.get("body", b"")
        more = message.get("more_body", False)
        if len(body) > MAX_BODY:
            raise Refused(413, TOO_LONG.format(MAX_BODY >> 20))
    return bytes(body)


def _check_files(value: object) -> None:
    """Refuse files given by URL, which the framework would fetch without limits."""
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            waiting += one.values()
            path, about = one.get("path"), one.get("meta", {})
            bent = isinstance(path, str) and (_WEB.match(path) or "\0" in path)
            if (bent and about) or not (isinstance(about, dict) or path is None):
                raise Refused(
                    400, "A file is uploaded first; a photo's address is input_image_url."
                )
        elif isinstance(one, list):
            waiting += one


def _replay(body: bytes, receive: Receive) -> Receive:
    """A receive function that first returns a body that was already read."""
    first: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replayed() -> Message:
        return first.pop() if first else await receive()

    return replayed


def _with_busy_message(send: Send) -> Send:
    """Replace the body of a full queue's answer (503) by a message that says what to do."""
    replaced = False

    async def sent(message: Message) -> None:
        nonlocal replaced
        if message["type"] == "http.response.start" and message["status"] == 503:
            replaced = True
            await _answer(send, 503, BUSY, (b"retry-after", RETRY_AFTER))
        elif not replaced:
            await send(message)

    return sent


async def _answer(send: Send, status: int, sentence: str, *more: tuple[bytes, bytes]) -> None:
    body = json.dumps({"detail": sentence}).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        *more,
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
