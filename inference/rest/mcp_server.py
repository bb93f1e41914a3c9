"""The Model Context Protocol at /mcp: the tools paint, mask and styles (modelcontextprotocol.io).

Streamable HTTP without sessions. A photo comes as an address or as the file itself in base64, and a
recipe as a prompt block; pictures go back as PNG.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Any, TypeVar

from anyio import from_thread, to_thread
from mcp.server.mcpserver import Context, Image, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.transport_security import TransportSecuritySettings
from starlette.datastructures import Headers

from inference.catalog.catalog import Catalog
from inference.errors import InvalidPhoto, MasqueradeError
from inference.library.records import Origin
from inference.library.tokens import digest_of, token_in
from inference.mask.browser_view import mask_report
from inference.picture.image_files import encode_png
from inference.picture.photo import MAX_BYTES
from inference.picture.progress import Progress
from inference.picture.result import Result
from inference.rest.answers import SAY_WHO, Json
from inference.serving.form import style_menu
from inference.serving.guard import MCP_PATH, Application, Receive, Scope, Send
from inference.serving.job_service import JobService
from inference.serving.request import PaintRequest, request_of

INSTRUCTIONS = (
    "Masquerade repaints a photo around a person who stays untouched. Pass the photo as an https "
    "address or as base64, and a prompt such as «an astronaut, space --mask_prompt face, hair "
    "--mask_invert»: what the words of mask_prompt find is kept."
)
MOST = MAX_BYTES * 4 // 3 + 2**20  # bytes of a request

Made = TypeVar("Made")
Content = list[Image | str]


class McpTools:
    """The tools; their signatures and docstrings are what a client reads.

    Args:
        service: runs the requests.
        catalog: has the styles.
    """

    def __init__(self, service: JobService, catalog: Catalog) -> None:
        self._service, self._catalog = service, catalog

    async def paint(
        self, context: Context, photo: str = "", recipe: str = "", mask_image: str = ""
    ) -> Content:
        """Repaint a photo around what is kept of it.

        photo and mask_image: an https address, or a picture file in base64. recipe: a prompt block,
        that is a prompt with flags, then field=value lines. Gives the pictures, then a report with
        the seed, all settings, and how many kept pixels changed, which is none.
        """
        stopped = Event()

        async def report(progress: Progress) -> None:
            if not stopped.is_set():
                await context.report_progress(
                    progress.step, progress.steps or None, str(progress.stage)
                )

        def work() -> Content:
            request = replace(self._request(photo, recipe, mask_image), owner=self._owner(context))
            with closing(self._service.paint(request, stopped)) as events:
                for event in events:
                    if isinstance(event, Result):
                        pictures = [Image(data=event.png(k)) for k in range(len(event.images))]
                        return [*pictures, _text(event.report(request.notes))]
                    if isinstance(event, Progress):
                        from_thread.run(report, event)
            raise AssertionError("a job always ends with its result")

        try:
            return await _in_thread(work)
        finally:
            stopped.set()

    async def mask(self, photo: str = "", recipe: str = "", mask_image: str = "") -> Content:
        """The mask of a photo, white where it would be repainted, and how sure each word is.

        Parameters as of paint.
        """

        def work() -> Content:
            request = self._request(photo, recipe, mask_image)
            picture, report = mask_report(self._service.select(request), request.recipe)
            return [Image(data=encode_png(picture)), _text(report)]

        return await _in_thread(work)

    async def styles(self) -> str:
        """The styles with their keys, which a recipe names by style=KEY, and what they are for."""
        titles = {key: title for title, key in style_menu(self._catalog)}
        return _text(
            [
                {"style": one.key, "title": titles[one.key], "description": one.description}
                for one in self._catalog.styles()
            ]
        )

    def _request(self, photo: str, recipe: str, mask_image: str) -> PaintRequest:
        files = [self._file(one, name) for one, name in ((photo, "photo"), (mask_image, "mask"))]
        given = [None if one is None else {"path": str(one)} for one in files]
        request = request_of(given[0], recipe, given[1], self._service.files.root)
        return replace(request, origin=Origin.COMMAND)

    def _file(self, source: str, name: str) -> Path | None:
        """The file that a client sent or named; None for an empty text."""
        if source.startswith(("http://", "https://")):
            return self._service.fetch(source)
        head, _, rest = source.partition(",") if source.startswith("data:") else ("", "", source)
        try:
            return self._service.store(base64.b64decode(rest, validate=True) or None)
        except (binascii.Error, ValueError) as error:
            raise InvalidPhoto(
                f"The {name} is neither an https address nor a file in base64{head and ' behind '}"
                f"{head[:40]}: send one of them."
            ) from error

    def token_owner(self, authorization: str) -> str | None:
        """Whose the token of an Authorization header is; None if it is not known."""
        token, library = token_in(authorization), self._service.library
        return None if library is None or not token else library.token_owner(digest_of(token))

    def _owner(self, context: Context) -> str | None:
        given = (context.headers or {}).get("authorization", "")
        return self.token_owner(given) or self._service.owners.without_visitor


class McpRoute:
    """ASGI middleware that answers the path of the protocol.

    Args:
        app: the server's application.
        tools: the tools.
        needs_token: whether a request needs a token of the library.
    """

    def __init__(self, app: Application, *, tools: McpTools, needs_token: bool) -> None:
        server = MCPServer("masquerade", instructions=INSTRUCTIONS, log_level="WARNING")
        for tool in (tools.paint, tools.mask, tools.styles):
            server.add_tool(tool, structured_output=False)
        self._app, self._tools, self._needs_token = app, tools, needs_token
        self._route: Application = server.streamable_http_app(
            streamable_http_path=MCP_PATH, stateless_http=True, max_request_body_size=MOST,
            # The request filter of the server knows its names.
            transport_security=TransportSecuritySettings(enable_dns_rebinding_protection=False),
        )  # fmt: skip
        self._sessions = server.session_manager

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or pass it on."""
        if scope["type"] == "lifespan":
            async with self._sessions.run():
                await self._app(scope, receive, send)
        elif scope["type"] != "http" or scope["path"].rstrip("/") != MCP_PATH:
            await self._app(scope, receive, send)
        elif self._needs_token and not await to_thread.run_sync(self._is_known, scope):
            answer = Json({"detail": SAY_WHO}, 401, {"WWW-Authenticate": "Bearer"})
            await answer(scope, receive, send)
        else:
            await self._route({**scope, "path": MCP_PATH, "root_path": ""}, receive, send)

    def _is_known(self, scope: Scope) -> bool:
        given = Headers(scope=scope).get("authorization", "")
        return self._tools.token_owner(given) is not None


async def _in_thread(work: Callable[[], Made]) -> Made:
    """Run blocking work; the sentences of our errors are the client's."""
    try:
        return await to_thread.run_sync(work, abandon_on_cancel=True)
    except MasqueradeError as error:
        raise ToolError(str(error)) from error


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
