"""What stands between the network and the page's server: names, origins, paths and bodies.

A page that runs on somebody's machine can be reached by every site that this person has open in
the same browser. So a request has to be meant for this server (its Host is a name that we know, or
a plain address, which no name can be bent to: DNS rebinding), and come from its own page (its
Origin is that Host). Only the routes that the page and the documented endpoints use are open: the
web framework beneath has others, which fetch addresses, write files or scale icons for anybody.
"""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Collection, Mapping, MutableMapping, Sequence
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from inference.photo import MAX_BYTES

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

API = "/gradio_api/"
PAGES = frozenset(
    ("/", "/config", "/theme.css", "/robots.txt", "/favicon.ico", "/manifest.json", "/login",
     "/login/", "/logout")
)  # fmt: skip
FOLDERS = ("/assets/", "/static/", "/svelte/")
# By the first part of their path below API; what a server needs to paint and to hand files over.
ROUTES = frozenset(
    ("info", "openapi.json", "startup-events", "app_id", "user", "login_check", "token",
     "heartbeat", "queue", "call", "run", "cancel", "reset", "upload", "upload_progress",
     "theme.css")
)  # fmt: skip
FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")
METHODS = frozenset(("GET", "HEAD", "POST", "OPTIONS"))
# Names below these belong to whoever routes to us, and cannot lead anywhere else.
OURS = (".localhost", ".gradio.live", ".hf.space")
# A form has a little more in it than its file.
MAX_UPLOAD, MAX_BODY = MAX_BYTES + 2**20, 2 * 2**20
TOO_LONG = "This is over {} MB: send less."
BUSY = "All places in the queue are taken: try again in a minute."
RETRY_AFTER = b"30"  # seconds

_WEB = re.compile(r"[a-z][a-z0-9+.-]+:", re.IGNORECASE)


class Refused(Exception):
    """A request that is not passed on: its HTTP status, and the sentence that says why."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


class Guard:
    """ASGI middleware: refuses what is not meant for the page; see the module.

    Args:
        app: the server's application.
        hosts: names in lower case by which this server may be called, and from whose pages, beside
            localhost and plain addresses; may grow later, because a shared link is known late.
        endpoints: what programs may call, with the names of its values. Any other number of them
            would be an error deep in the framework, which writes all of them into the log.
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
        """Pass a request on, or answer it with a sentence."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] == "websocket":  # nothing here speaks it
            await send({"type": "websocket.close", "code": 1008})
            return
        try:
            self._check(scope)
            if scope["method"] == "POST":
                _check_length(scope)
                if not scope["path"].endswith("/upload"):
                    body = await _body(receive)
                    if not _one(scope, b"content-type").startswith(FORMS):
                        self._check_json(scope["path"], body)
                    receive = _replay(body, receive)
        except Refused as refused:
            await _answer(send, refused.status, str(refused))
            return
        await self._app(scope, receive, _with_our_words(send))

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
        if scope["method"] not in METHODS:
            raise Refused(405, "There is nothing to be done in this way: use GET or POST.")
        if not _is_open(scope["path"].removeprefix(scope.get("root_path", ""))):
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
            or name.endswith(OURS)
            or _is_plain_address(name)
        )

    def _is_own(self, origin: str, host: str) -> bool:
        """Whether a page belongs to this server, by the name that the server is called by."""
        place = origin.partition("://")[2]
        return (
            _without_usual_port(place) == _without_usual_port(host) or _name(place) in self._hosts
        )


def _one(scope: Scope, name: bytes) -> str:
    """A header that may stand once; "" where it does not stand."""
    found = [value for key, value in scope["headers"] if key.lower() == name]
    if len(found) > 1:
        raise Refused(400, f"The header {name.decode()} stands twice: send it once.")
    return found[0].decode("latin-1").strip().lower() if found else ""


def _name(host: str) -> str:
    """The name in front of a port, without the brackets of IPv6."""
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


def _is_open(path: str) -> bool:
    """Whether a path, already decoded, is one of ours and stays where it seems to be."""
    if "\0" in path or ".." in path.replace("\\", "/").split("/"):
        return False
    if path in PAGES or path.startswith(FOLDERS):
        return True
    if not path.startswith(API):
        return False
    rest = path.removeprefix(API)
    if rest.startswith("file="):
        return not _WEB.match(rest.removeprefix("file="))
    return rest.partition("/")[0] in ROUTES


def _check_length(scope: Scope) -> None:
    """Refuse by its announced length what is too long to be read."""
    most = MAX_UPLOAD if scope["path"].endswith("/upload") else MAX_BODY
    length = _one(scope, b"content-length")
    if length.isdigit() and int(length) > most:
        raise Refused(413, TOO_LONG.format(most >> 20))
    if most == MAX_UPLOAD and not length.isdigit():
        raise Refused(411, "The length of the upload is not said: send it with its length.")


async def _body(receive: Receive) -> bytes:
    """All of a request."""
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
    """A file that is named by a web address would be fetched without any bound."""
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
    """A body that was read already, and then whatever comes."""
    first: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replayed() -> Message:
        return first.pop() if first else await receive()

    return replayed


def _with_our_words(send: Send) -> Send:
    """A full queue is told in a sentence that says what to do."""
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
