"""The FastAPI application of the REST service: its routes, and answers to errors."""

from __future__ import annotations

import logging
from pathlib import Path
from traceback import extract_tb
from typing import Annotated

from fastapi import Depends, FastAPI, Query
from fastapi.exceptions import RequestValidationError
from fastapi.security import HTTPBearer
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from inference.errors import MasqueradeError, NotStored
from inference.library.records import Search
from inference.rest.answers import Json, Refusal, refused
from inference.rest.api_page import api_page
from inference.rest.handlers import MAX_LIMIT, Client, RestApi, base_of
from inference.rest.openapi import PROMPT, TUNE, answer, errors, prompt_body
from inference.rest.progress_stream import MEDIA_TYPE

MESSAGE = {"type": "object", "properties": {"message": {"type": "string"}}}
PICTURE = {"description": "The picture.", "content": {"image/png": {}, "image/jpeg": {}}}
EVENTS = {"description": "Server-sent events.", "content": {MEDIA_TYPE: {}}}
RETRY_AFTER = "60"
# All that code of ours may raise by mistake.
UNFORESEEN = (
    ArithmeticError, AssertionError, AttributeError, LookupError, MasqueradeError, MemoryError,
    OSError, RuntimeError, TypeError, ValueError,
)  # fmt: skip

log = logging.getLogger(__name__)


def paging(
    offset: Annotated[int, Query(ge=0, description="How many to skip.")] = 0,
    limit: Annotated[int, Query(ge=1, le=MAX_LIMIT, description="How many to list.")] = 20,
    before_id: Annotated[
        int | None, Query(ge=1, le=2**53, description="Only those with a smaller id.")
    ] = None,
) -> Search:
    """The part of a list that a request wants."""
    return Search(owner="", before=before_id, offset=offset, limit=limit)


PART, BEARER = Depends(paging), Depends(HTTPBearer(auto_error=False))


def application(api: RestApi) -> FastAPI:
    """Make the application.

    Args:
        api: its handlers.
    """
    app = FastAPI(
        title="Masquerade", version="1", docs_url=None, redoc_url=None, redirect_slashes=False,
        exception_handlers={
            Refusal: refused, NotStored: _not_stored, HTTPException: _no_route,
            RequestValidationError: _invalid_parameters, **dict.fromkeys(UNFORESEEN, _failed),
        },
    )  # fmt: skip
    _add_prompts(app, api)
    _add_single_prompts(app, api)
    _add_tunes_and_pictures(app, api)

    @app.get("/docs", include_in_schema=False)
    def docs() -> HTMLResponse:
        return HTMLResponse(api_page(app.openapi()))

    return app


def _add_prompts(app: FastAPI, api: RestApi) -> None:
    made = {
        200: answer(PROMPT, "The same prompt of the last day, with --idempotent."),
        201: answer(PROMPT, "The new prompt."),
        **errors(401, 404, 413, 415, 429),
    }
    body, many = {"requestBody": prompt_body()}, {"type": "array", "items": PROMPT}
    listed = {200: answer(many, "The prompts, the newest first."), **errors(401, 404)}
    bearer, known, wanted = [BEARER], Depends(api.client), PART
    of_tune = "/tunes/{tune_id}/prompts"

    @app.post(of_tune, status_code=201, responses=made, dependencies=bearer, openapi_extra=body)
    async def create_prompt(request: Request, tune_id: str) -> Response:
        """Create a prompt, which is painted in its turn."""
        return await api.create(request, tune_id)

    @app.get(of_tune, responses=listed, dependencies=bearer)
    def list_prompts_of_tune(
        request: Request, tune_id: str, client: Client = known, part: Search = wanted
    ) -> Response:
        """The prompts of a tune."""
        return api.listed(client, tune_id, part, base_of(request))

    @app.get("/prompts", responses=listed, dependencies=bearer)
    def list_prompts(request: Request, client: Client = known, part: Search = wanted) -> Response:
        """All prompts."""
        return api.listed(client, None, part, base_of(request))


def _add_single_prompts(app: FastAPI, api: RestApi) -> None:
    one = {200: answer(PROMPT, "The prompt."), **errors(401, 404)}
    told = {200: EVENTS, **errors(401, 404)}
    gone = {200: answer(MESSAGE, "It is deleted."), **errors(401, 404)}
    bearer, known, of_tune = [BEARER], Depends(api.client), "/tunes/{tune_id}/prompts/{prompt_id}"

    @app.get(of_tune, responses=one, dependencies=bearer)
    def read_prompt_of_tune(
        request: Request, tune_id: str, prompt_id: str, client: Client = known
    ) -> Response:
        """A prompt of a tune; its trained_at is null until it is done."""
        return api.read(client, tune_id, prompt_id, base_of(request))

    @app.get("/prompts/{prompt_id}", responses=one, dependencies=bearer)
    def read_prompt(request: Request, prompt_id: str, client: Client = known) -> Response:
        """A prompt."""
        return api.read(client, None, prompt_id, base_of(request))

    @app.get(f"{of_tune}/progress", responses=told, dependencies=bearer, response_class=Response)
    def follow_prompt_of_tune(
        request: Request, tune_id: str, prompt_id: str, client: Client = known
    ) -> Response:
        """The progress of a prompt of a tune, as events until it has ended."""
        return api.stream(client, tune_id, prompt_id, base_of(request))

    @app.get("/prompts/{prompt_id}/progress", responses=told, dependencies=bearer,
             response_class=Response)  # fmt: skip
    def follow_prompt(request: Request, prompt_id: str, client: Client = known) -> Response:
        """The progress of a prompt."""
        return api.stream(client, None, prompt_id, base_of(request))

    @app.delete(of_tune, responses=gone, dependencies=bearer)
    def delete_prompt_of_tune(tune_id: str, prompt_id: str, client: Client = known) -> Response:
        """Delete a prompt of a tune with its pictures; if it is being painted, that stops."""
        return api.delete(client, tune_id, prompt_id)

    @app.delete("/prompts/{prompt_id}", responses=gone, dependencies=bearer)
    def delete_prompt(prompt_id: str, client: Client = known) -> Response:
        """Delete a prompt."""
        return api.delete(client, None, prompt_id)


def _add_tunes_and_pictures(app: FastAPI, api: RestApi) -> None:
    one = {200: answer(TUNE, "The tune."), **errors(401, 404)}
    many = {200: answer({"type": "array", "items": TUNE}, "The tunes."), **errors(401)}
    bearer, wanted = [BEARER, Depends(api.client)], PART

    @app.get("/tunes", responses=many, dependencies=bearer)
    def list_tunes(request: Request, part: Search = wanted) -> Response:
        """The tunes: the styles of the catalog."""
        return api.tunes(part, base_of(request))

    @app.get("/tunes/{tune_id}", responses=one, dependencies=bearer)
    def read_tune(request: Request, tune_id: str) -> Response:
        """A tune, by its number or its style's key."""
        return api.tune(tune_id, base_of(request))

    @app.get("/images/{name}", responses={200: PICTURE, **errors(404)}, response_class=Response)
    def read_picture(name: str) -> Response:
        """A finished picture; its address cannot be guessed and needs no token."""
        return api.picture(name)


async def _not_stored(_: Request, error: Exception) -> Json:
    return Json({"detail": str(error)}, 507, {"Retry-After": RETRY_AFTER})


async def _failed(_: Request, error: Exception) -> Json:
    """The answer after an error of ours; its message may have a user's words and is not logged."""
    place = extract_tb(error.__traceback__)[-1]
    log.error("REST: %s at %s:%s", type(error).__name__, Path(place.filename).name, place.lineno)
    return Json({"detail": "The server failed here: try again, or try other fields."}, 500)


async def _no_route(_: Request, error: Exception) -> Json:
    assert isinstance(error, HTTPException)
    told = {404: "There is nothing at this address: see /docs."}
    told[405] = "This address does not take this method: see /docs."
    sentence = told.get(error.status_code, "The request cannot be carried out: see /docs.")
    return Json({"detail": sentence}, error.status_code, dict(error.headers or {}))


async def _invalid_parameters(_: Request, error: Exception) -> Json:
    assert isinstance(error, RequestValidationError)
    found: dict[str, list[str]] = {}
    for fault in error.errors():
        found.setdefault(str(fault["loc"][-1]), []).append(f"{fault['msg']}.")
    return Json(found, 422)
