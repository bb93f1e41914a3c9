"""The progress of a prompt as server-sent events, until it has ended."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import anyio

from inference.rest.prompt_object import Object

#: Gives stage and steps of a job that is being painted; None of any other.
ProgressOf = Callable[[int], Awaitable[Object | None]]
# Seconds between two looks, between two signs of life, and after which a client has to ask again.
PAUSE, SIGN_OF_LIFE, LONGEST = 0.5, 15.0, 600.0
MEDIA_TYPE = "text/event-stream"
HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


@dataclass(frozen=True, kw_only=True)
class Look:
    """What a look at a prompt shows.

    Attributes:
        prompt: the prompt object; None if it was deleted.
        has_ended: whether nothing happens to it any more.
        progress: stage and steps, where they are known.
    """

    prompt: Object | None
    has_ended: bool = False
    progress: Object | None = None


async def events(look: Callable[[], Awaitable[Look]]) -> AsyncIterator[bytes]:
    """The events: `progress` with state, stage and steps, and at the end `prompt`, or `deleted`."""
    end, spoken, last = time.monotonic() + LONGEST, time.monotonic(), b""
    while time.monotonic() < end:
        seen = await look()
        if seen.prompt is None:
            yield _event("deleted", {})
            return
        if seen.has_ended:
            yield _event("prompt", seen.prompt)
            return
        told = _event("progress", {"state": seen.prompt["state"], **(seen.progress or {})})
        if told != last:
            yield told
            spoken, last = time.monotonic(), told
        elif time.monotonic() - spoken > SIGN_OF_LIFE:
            yield b":\n\n"
            spoken = time.monotonic()
        await anyio.sleep(PAUSE)


def _event(kind: str, content: Any) -> bytes:
    return f"event: {kind}\ndata: {json.dumps(content, allow_nan=False)}\n\n".encode("ascii")
