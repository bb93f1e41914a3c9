"""Tests of the progress of prompts as server-sent events."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.support.page_server import Server, coloured, png, wait_until
from tests.support.rest_client import create, ended, rest_client

PHOTO = png(coloured((20, 120, 40)))


@pytest.fixture
def ann(running: Server) -> Iterator[httpx.Client]:
    with rest_client(running) as client:
        yield client


def followed(client: httpx.Client, path: str) -> Iterator[tuple[str, Any]]:
    """The events of a prompt: pairs of kind and data."""
    kind = ""
    with client.stream("GET", path) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        for line in answer.iter_lines():
            if line.startswith("event: "):
                kind = line.removeprefix("event: ")
            elif line.startswith("data: "):
                yield kind, json.loads(line.removeprefix("data: "))


def test_it_tells_stage_and_steps_and_at_the_end_the_prompt(
    running: Server, ann: httpx.Client
) -> None:
    made = create(ann, PHOTO, steps=50, num_images=8).json()
    told = list(followed(ann, f"/tunes/drawn/prompts/{made['id']}/progress"))
    *before, (kind, prompt) = told
    assert {one for one, _ in before} == {"progress"}
    assert before[-1][1]["state"] == "running"
    assert any(0 < data.get("step", 0) <= data["steps"] == 50 for _, data in before)
    assert (kind, prompt["state"]) == ("prompt", "done")
    assert prompt == ann.get(f"/prompts/{made['id']}").json()


def test_one_that_waits_says_so_and_one_that_is_deleted_ends_the_stream(
    running: Server, ann: httpx.Client
) -> None:
    first = create(ann, PHOTO, steps=50, num_images=8).json()
    waiting = create(ann, PHOTO, seed=8).json()
    told: list[tuple[str, Any]] = []
    path = f"/prompts/{waiting['id']}/progress"
    reader = threading.Thread(target=lambda: told.extend(followed(ann, path)))
    reader.start()
    assert next(followed(ann, path)) == ("progress", {"state": "queued"})
    ann.delete(f"/prompts/{waiting['id']}")
    reader.join(10)
    assert told[-1] == ("deleted", {})
    ann.delete(f"/prompts/{first['id']}")
    wait_until(lambda: running.studio.now == 0)


@pytest.mark.parametrize("path", ["/prompts/999/progress", "/tunes/ink/prompts/{}/progress"])
def test_what_is_not_there_or_another_ones(running: Server, ann: httpx.Client, path: str) -> None:
    made = ended(ann, create(ann, PHOTO).json())
    assert ann.get(path.format(made["id"])).status_code == 404
    with rest_client(running, "bob") as bob:
        assert bob.get(f"/prompts/{made['id']}/progress").status_code == 404
    assert httpx.get(f"{running.url}/prompts/{made['id']}/progress").status_code == 401
