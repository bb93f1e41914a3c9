"""Answers of the REST service: JSON in ASCII, and refusals with a sentence or with one by field."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

#: Sentences by the name of a field, as in `{"steps": ["takes a whole number"]}`.
FieldErrors = Mapping[str, list[str]]

SAY_WHO = "Send a token: Authorization: Bearer …. «python -m inference token» makes one."


class Json(Response):
    """A JSON answer; ASCII, because a client may have sent halves of characters."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """Encode the content."""
        return json.dumps(content, allow_nan=False).encode("ascii")


class Refusal(Exception):
    """A request that is not carried out.

    Args:
        status: of the answer.
        sentence: says what to do.
        headers: of the answer.
    """

    def __init__(
        self, status: int, sentence: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(sentence)
        self.status, self.headers = status, dict(headers or {})
        self.body: object = {"detail": sentence}


class InvalidFields(Refusal):
    """A request with fields that have wrong values."""

    def __init__(self, errors: FieldErrors) -> None:
        super().__init__(422, "Some fields have wrong values.")
        self.body = errors


def busy(status: int, sentence: str, seconds: int) -> Refusal:
    """The refusal of a client that may come again later."""
    return Refusal(status, sentence, {"Retry-After": str(seconds)})


async def refused(_: Request, refusal: Exception) -> Json:
    """The answer to a refused request."""
    assert isinstance(refusal, Refusal)
    return Json(refusal.body, refusal.status, refusal.headers)
