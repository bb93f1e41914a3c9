"""The running REST service of a server: its routes before the page's, its callbacks, and MCP."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from inference.catalog.catalog import Catalog
from inference.library.records import StoredJob
from inference.rest.answers import Json
from inference.rest.application import application
from inference.rest.callbacks import CallbackRules, Callbacks
from inference.rest.handlers import RestApi, RestRules
from inference.rest.prompt_object import BASE, prompt_object
from inference.serving.backend import Backend, backend
from inference.serving.guard import Application, Receive, Scope, Send, is_rest
from inference.serving.options import Options
from inference.studio.studio import Studio

NO_LIBRARY = "This server keeps no library, which prompts need: start it with --library."


class RestRoutes:
    """ASGI middleware that answers the paths of the REST service itself.

    Args:
        app: the server's application.
        rest: that of the REST service; None answers 503.
    """

    def __init__(self, app: Application, *, rest: Application | None) -> None:
        self._app, self._rest = app, rest

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or pass it on."""
        if scope["type"] != "http" or not is_rest(scope["path"]):
            await self._app(scope, receive, send)
        elif self._rest is not None:
            await self._rest({**scope, "app": self._rest, "root_path": ""}, receive, send)
        else:
            await Json({"detail": NO_LIBRARY}, 503)(scope, receive, send)


@contextmanager
def running_backend(
    studio: Studio, options: Options, folder: Path | None = None
) -> Iterator[Backend]:
    """Context of all that a server runs behind the page; see `backend`."""
    with backend(studio, options, folder) as behind:
        if options.mcp:
            _offer_mcp(behind, studio.catalog, options)
        with rest_service(behind, studio.catalog, options):
            yield behind


def _offer_mcp(behind: Backend, catalog: Catalog, options: Options) -> None:
    """Add the middleware of the Model Context Protocol."""
    from inference.rest.mcp_server import McpRoute, McpTools  # its package is an optional extra

    arguments = {"tools": McpTools(behind.jobs, catalog), "needs_token": bool(options.auth)}
    behind.middleware.append((McpRoute, (), arguments))


@contextmanager
def rest_service(behind: Backend, catalog: Catalog, options: Options) -> Iterator[None]:
    """Context of the REST service of a server; adds its middleware."""
    library, queue = behind.jobs.library, behind.queue
    if library is None or queue is None:
        behind.middleware.append((RestRoutes, (), {"rest": None}))
        yield
        return

    def object_of(job: StoredJob) -> dict[str, Any]:
        return prompt_object(job, catalog, str(job.request.get(BASE, "")))

    async def progress(job: int) -> dict[str, Any] | None:
        return queue.progress(job)

    rules = RestRules(
        callbacks=CallbackRules(hosts=options.callback_hosts), idempotent=options.idempotent
    )
    callbacks = Callbacks(library, rules.callbacks, object_of)
    api = RestApi(
        library, catalog, rules, accepted=queue.wake, stopped=queue.cancel, progress=progress
    )
    behind.middleware.append((RestRoutes, (), {"rest": application(api)}))
    queue.when_ended(callbacks.wake)
    callbacks.start()
    try:
        yield
    finally:
        callbacks.stop()
