"""Whose a job is, by the request that brings it: a logged-in user's, a browser's, or the user's."""

from __future__ import annotations

import hashlib
import re
import secrets
from http.cookies import CookieError, SimpleCookie
from typing import Any

import gradio as gr

from inference.library.records import LOCAL_OWNER
from inference.serving.guard import Application, Message, Receive, Scope, Send
from inference.serving.options import Options

COOKIE = "masquerade_browser"
#: The request of a Gradio event.
Visitor = gr.Request | None
_VALUE = re.compile(r"[0-9a-f]{32}")
SECONDS = 400 * 86_400  # the most that browsers keep a cookie


class Owners:
    """Tells whose a request's jobs are.

    With `--auth` they are the logged-in user's. On a page that only this machine can reach, all
    are one user's, `LOCAL_OWNER`. On a shared page without a login each browser is an owner, by a
    random cookie; a request without that has no owner, and its jobs are not kept.

    Args:
        options: of the server.
    """

    def __init__(self, options: Options) -> None:
        self._by_name, self.by_browser = bool(options.auth), False
        if not self._by_name:
            self.by_browser = options.is_shared

    def of(self, visitor: Visitor) -> str | None:
        """The owner of what a visitor makes; None if it cannot be told."""
        if visitor is None or visitor.request is None:
            return None
        if self._by_name:
            return visitor.username
        if not self.by_browser:
            return self.without_visitor
        value = browser_of(visitor.request.headers.get("cookie", ""))
        # The cookie itself is a secret and is not stored.
        return value and f"browser-{hashlib.sha256(value.encode()).hexdigest()[:32]}"

    @property
    def without_visitor(self) -> str | None:
        """The owner of what a program makes that names nobody; None if it cannot be told."""
        return None if self._by_name or self.by_browser else LOCAL_OWNER

    def middleware(self) -> list[tuple[type, tuple[()], dict[str, Any]]]:
        """The server's middleware that this needs."""
        return [(BrowserCookie, (), {})] if self.by_browser else []


def browser_of(cookies: str) -> str | None:
    """The value of our cookie in a Cookie header; None if there is none of ours."""
    try:
        found = SimpleCookie(cookies).get(COOKIE)
    except CookieError:
        return None
    return found.value if found is not None and _VALUE.fullmatch(found.value) else None


class BrowserCookie:
    """ASGI middleware that gives each browser a random cookie with the page.

    Args:
        app: the server's application.
    """

    def __init__(self, app: Application) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on; the answer to one for the page sets the cookie if it is missing."""
        is_page = scope["type"] == "http" and scope["path"] == "/" and scope["method"] == "GET"
        if not is_page or browser_of(_cookies(scope)) is not None:
            await self._app(scope, receive, send)
            return
        secure = "; Secure" if scope.get("scheme") == "https" else ""
        cookie = (
            f"{COOKIE}={secrets.token_hex(16)}; Path=/; HttpOnly; SameSite=Lax; "
            f"Max-Age={SECONDS}{secure}"
        )

        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = [*message.get("headers", []), (b"set-cookie", cookie.encode())]
                message = {**message, "headers": headers}
            await send(message)

        await self._app(scope, receive, sent)


def _cookies(scope: Scope) -> str:
    values = (value for key, value in scope["headers"] if key.lower() == b"cookie")
    return "; ".join(value.decode("latin-1") for value in values)
