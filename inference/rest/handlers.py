"""Handlers of the REST service: prompts, tunes and pictures of a token's owner."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

import anyio.to_thread
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from inference.catalog.catalog import Catalog
from inference.catalog.schema import Style
from inference.errors import InvalidPhoto
from inference.library.library import Library
from inference.library.records import NewJob, Origin, Search, State, StoredJob
from inference.library.tokens import digest_of, token_in
from inference.rest.answers import SAY_WHO, InvalidFields, Json, Refusal, busy
from inference.rest.callbacks import CallbackRules
from inference.rest.progress_stream import HEADERS, MEDIA_TYPE, Look, ProgressOf, events
from inference.rest.prompt_object import (
    BASE,
    GIVEN,
    SIGNER,
    Object,
    number_of,
    prompt_object,
    style_of,
    tune_object,
)
from inference.rest.prompt_request import PromptRequest
from inference.rest.request_body import attributes_of

# Most prompts that wait, of one owner and of all, and seconds after which to try again.
MAX_WAITING, MAX_WAITING_IN_ALL, TRY_AGAIN = 100, 500, 30
MAX_OFFSET, MAX_LIMIT = 10_000, 120
DAY = 86_400.0
# Threads that read pictures and write the library; apart from those of the page.
THREADS = 8
NOT_KNOWN = "This token is not known here: «python -m inference token» makes one."
DELETED = "The prompt was deleted."
FULL = "All places in the queue are taken: try again later."

Made = TypeVar("Made")


@dataclass(frozen=True, kw_only=True)
class Client:
    """Who sends a request: the name of the token and its digest."""

    owner: str
    digest: str


@dataclass(frozen=True, kw_only=True)
class RestRules:
    """What a REST service takes.

    Attributes:
        callbacks: where callbacks may go.
        idempotent: whether the same attributes within a day give the same prompt.
        most_waiting, most_of_one: most prompts that wait or are painted, of all and of one owner.
        full: status of the answer when so many wait.
        try_again: seconds after which a client may send more.
    """

    callbacks: CallbackRules = field(default_factory=CallbackRules)
    idempotent: bool = False
    most_waiting: int = MAX_WAITING_IN_ALL
    most_of_one: int = MAX_WAITING
    full: int = 429
    try_again: int = TRY_AGAIN


class RestApi:
    """The handlers of the routes.

    Args:
        library: where prompts are jobs.
        catalog: its styles are the tunes.
        rules: what is taken.
        accepted: called after a prompt was accepted.
        stopped: called with the number of a job that was deleted.
        progress: gives stage and steps of a job that is being painted.
    """

    def __init__(
        self,
        library: Library,
        catalog: Catalog,
        rules: RestRules,
        *,
        accepted: Callable[[], None],
        stopped: Callable[[int], None],
        progress: ProgressOf,
    ) -> None:
        self._library, self._catalog, self._rules = library, catalog, rules
        self._accepted, self._stopped, self._progress = accepted, stopped, progress
        self._accepting = threading.Lock()
        self._threads: anyio.CapacityLimiter | None = None

    def client(self, request: Request) -> Client:
        """Who sends a request.

        Raises:
            Refusal: 401 without a known token.
        """
        token = token_in(request.headers.get("authorization", ""))
        if not token:
            raise Refusal(401, SAY_WHO, {"WWW-Authenticate": "Bearer"})
        digest = digest_of(token)
        owner = self._library.token_owner(digest)
        if owner is None:
            raise Refusal(401, NOT_KNOWN, {"WWW-Authenticate": "Bearer"})
        return Client(owner=owner, digest=digest)

    # --- prompts ---------------------------------------------------------------------------------

    async def create(self, request: Request, tune_id: str) -> Json:
        """Create a prompt: it is stored, and painted in its turn."""
        client = await self._in_thread(self.client, request)
        style = self._style(tune_id)
        attributes = await attributes_of(request)
        base = base_of(request)
        job, is_new = await self._in_thread(self._accept, client, style, attributes, base)
        self._accepted()
        return Json(self._object(job, base), 201 if is_new else 200)

    def _accept(
        self, client: Client, style: Style, attributes: dict[str, Any], base: str
    ) -> tuple[StoredJob, bool]:
        """Check and store a prompt; or, if that is wanted, find the same one of the last day."""
        asked = PromptRequest.read(attributes, style.key)
        self._check_callback(asked.callback)
        fingerprint = asked.fingerprint(style.key)
        self._check_queue(client.owner)
        if self._rules.idempotent and (known := self._same(client.owner, fingerprint)):
            return known, False
        photo, mask, notes = asked.pictures()
        new = NewJob(
            owner=client.owner,
            origin=Origin.REST,
            recipe=asked.recipe,
            photo=photo,
            mask=mask,
            request={GIVEN: asked.given, BASE: base, SIGNER: client.digest},
            notes=(*notes, *asked.notes),
            fingerprint=fingerprint,
            callback=asked.callback,
        )
        with self._accepting:  # of two equal requests at once, the second finds the first
            self._check_queue(client.owner)
            if self._rules.idempotent and (known := self._same(client.owner, fingerprint)):
                return known, False
            return self._library.accept(new), True

    def read(self, client: Client, tune_id: str | None, prompt_id: str, base: str) -> Json:
        """A prompt."""
        return Json(self._object(self._job(client, tune_id, prompt_id), base))

    def stream(
        self, client: Client, tune_id: str | None, prompt_id: str, base: str
    ) -> StreamingResponse:
        """The progress of a prompt, as events."""
        number = self._job(client, tune_id, prompt_id).id

        async def look() -> Look:
            job = await self._in_thread(self._library.get, client.owner, number)
            if job is None:
                return Look(prompt=None)
            shown = self._object(job, base)
            if job.state.has_ended:
                return Look(prompt=shown, has_ended=True)
            return Look(prompt=shown, progress=await self._progress(number))

        return StreamingResponse(events(look), media_type=MEDIA_TYPE, headers=HEADERS)

    def listed(self, client: Client, tune_id: str | None, search: Search, base: str) -> Json:
        """The prompts of a token's owner, the newest first."""
        if search.offset > MAX_OFFSET:
            raise Refusal(400, f"The offset is over {MAX_OFFSET}: use before_id instead.")
        style = "" if tune_id is None else self._style(tune_id).key
        wanted = Search(
            owner=client.owner, style=style, before=search.before, offset=search.offset,
            limit=search.limit,
        )  # fmt: skip
        return Json([self._object(job, base) for job in self._library.search(wanted)])

    def delete(self, client: Client, tune_id: str | None, prompt_id: str) -> Json:
        """Delete a prompt with its pictures; a running one is stopped."""
        job = self._job(client, tune_id, prompt_id)
        self._library.delete(client.owner, job.id)
        self._stopped(job.id)
        self._accepted()  # others may have waited for space on the disk
        return Json({"message": DELETED})

    # --- tunes and pictures ----------------------------------------------------------------------

    def tunes(self, search: Search, base: str) -> Json:
        """The styles."""
        styles = self._catalog.styles()[search.offset :][: search.limit]
        return Json([tune_object(one, base) for one in styles])

    def tune(self, tune_id: str, base: str) -> Json:
        """A style."""
        return Json(tune_object(self._style(tune_id.removesuffix(".json")), base))

    def picture(self, name: str) -> Response:
        """A finished picture, for whoever knows its name."""
        data = self._library.picture(name)
        if data is None:
            raise Refusal(404, "There is no such picture: it was deleted, or never was.")
        kind = "image/png" if name.endswith(".png") else "image/jpeg"
        headers = {
            "Cache-Control": "private, max-age=86400", "X-Content-Type-Options": "nosniff",
            "ETag": f'"{name}"',
        }  # fmt: skip
        return Response(data, media_type=kind, headers=headers)

    # --- within ----------------------------------------------------------------------------------

    async def _in_thread(self, work: Callable[..., Made], *arguments: object) -> Made:
        if self._threads is None:
            self._threads = anyio.CapacityLimiter(THREADS)
        return await anyio.to_thread.run_sync(partial(work, *arguments), limiter=self._threads)

    def _object(self, job: StoredJob, base: str) -> Object:
        return prompt_object(job, self._catalog, base)

    def _style(self, tune_id: str) -> Style:
        style = style_of(self._catalog, tune_id)
        if style is None:
            known = ", ".join(self._catalog.style_by_key)
            raise Refusal(404, f"There is no such tune: there are {known}.")
        return style

    def _job(self, client: Client, tune_id: str | None, prompt_id: str) -> StoredJob:
        number = number_of(prompt_id)
        job = None if number is None else self._library.get(client.owner, number)
        if job is None or (tune_id is not None and self._style(tune_id).key != job.style):
            raise Refusal(404, "There is no such prompt of yours: GET /prompts lists them.")
        return job

    def _same(self, owner: str, fingerprint: str) -> StoredJob | None:
        """The same prompt of the last day, unless it has failed."""
        known = self._library.find_same(owner, fingerprint, DAY)
        return None if known is None or known.state is State.FAILED else known

    def _check_callback(self, callback: str) -> None:
        try:
            if callback:
                self._rules.callbacks.policy_for(callback)
        except InvalidPhoto as error:
            raise InvalidFields({"callback": [str(error)]}) from error

    def _check_queue(self, owner: str) -> None:
        most = self._rules.most_of_one
        if self._library.count_waiting(owner) >= most:
            raise busy(429, f"{most} prompts of yours wait: send more later.", TRY_AGAIN)
        if self._library.count_waiting() >= self._rules.most_waiting:
            raise busy(self._rules.full, FULL, self._rules.try_again)


def base_of(request: Request) -> str:
    """The address by which a client called the server, without a slash at the end."""
    return f"{request.url.scheme}://{request.url.netloc}"
