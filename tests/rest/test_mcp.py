"""Tests of the Model Context Protocol, with its own client against a real server."""

from __future__ import annotations

import asyncio
import base64
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import httpx2
import numpy as np
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from PIL import Image

from inference.library.records import LOCAL_OWNER, Search, State
from inference.picture import png_metadata
from inference.recipe.prompt_block import parse
from inference.serving.options import Options
from tests.support.page_server import Server, coloured, png, tiny_server
from tests.support.rest_client import token_for

PHOTO = base64.b64encode(png(coloured((200, 30, 40)))).decode()
RECIPE = "a garden --mask_prompt foreground --mask_invert\nsteps=2\nseed=5\nmask_threshold=0.5"


@pytest.fixture(scope="module")
def running(tiny_catalog: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with tiny_server(tiny_catalog, tmp_path_factory.mktemp("mcp"), "--mcp") as server:
        yield server


def called(server: Server, tool: str, token: str = "", **arguments: str) -> tuple[Any, list[Any]]:
    """A tool's result, and the progress that came before it."""
    seen: list[Any] = []

    async def note(progress: float, total: float | None, message: str | None) -> None:
        seen.append((progress, total, message))

    async def talk() -> Any:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        async with httpx2.AsyncClient(headers=headers, timeout=60) as http:
            transport = streamable_http_client(f"{server.url}/mcp", http_client=http)
            async with Client(transport) as client:
                return await client.call_tool(tool, arguments, progress_callback=note)

    return asyncio.run(talk()), seen


def report_of(result: Any) -> Any:
    assert not result.is_error, result.content
    return json.loads(result.content[-1].text)


def test_a_client_reads_which_tools_there_are_and_what_they_take(running: Server) -> None:
    async def talk() -> Any:
        async with Client(f"{running.url}/mcp") as client:
            return (await client.list_tools()).tools

    tools = {one.name: one for one in asyncio.run(talk())}
    assert set(tools) == {"paint", "mask", "styles"}
    assert set(tools["paint"].input_schema["properties"]) == {"photo", "recipe", "mask_image"}
    assert "base64" in tools["paint"].description


def test_a_photo_is_painted_with_progress_and_a_report(running: Server) -> None:
    result, seen = called(running, "paint", photo=PHOTO, recipe=RECIPE)
    report = report_of(result)
    assert report["seed"] == 5
    assert report["kept_pixels_changed"] == 0
    picture = base64.b64decode(result.content[0].data)
    assert result.content[0].mime_type == "image/png"
    embedded = png_metadata.read(picture)
    assert embedded is not None
    assert embedded.recipe.prompt == "a garden"
    assert (2.0, 2.0, "Painting") in [(a, b, str(c).partition(" ")[0]) for a, b, c in seen]


def test_what_is_painted_is_in_the_library(running: Server) -> None:
    called(running, "paint", photo=PHOTO, recipe=f"{RECIPE}\nnum_images=2")
    newest = running.library.search(Search(owner=LOCAL_OWNER, limit=1))[0]
    assert parse(newest.recipe).recipe.num_images == 2


def test_the_mask_comes_with_the_scores_of_the_words(running: Server) -> None:
    result, _ = called(running, "mask", photo=PHOTO, recipe=RECIPE)
    picture = Image.open(io.BytesIO(base64.b64decode(result.content[0].data)))
    assert set(np.unique(np.asarray(picture.convert("L")))) <= set(range(256))
    assert picture.size == Image.open(io.BytesIO(base64.b64decode(PHOTO))).size
    assert "foreground" in json.dumps(report_of(result))


def test_the_styles_are_listed_with_their_keys(running: Server) -> None:
    listed = report_of(called(running, "styles")[0])
    assert {one["style"] for one in listed} >= {"drawn", "ink", "words"}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({}, "There is no photo"),
        ({"photo": "no picture!"}, "neither an https address nor a file in base64"),
        ({"photo": base64.b64encode(b"no picture").decode()}, "picture"),
        ({"photo": f"data:image/png;base64,{PHOTO}", "recipe": "steps=999"}, "from 1 to 50"),
        ({"photo": "http://127.0.0.1/secret.png"}, "not on the public internet"),
        ({"photo": PHOTO, "recipe": "style=oil"}, "choose one of"),
    ],
    ids=lambda one: str(one)[:40],
)
def test_wrong_arguments_are_answered_with_a_sentence(
    running: Server, arguments: dict[str, str], sentence: str
) -> None:
    result, _ = called(running, "paint", **arguments)
    assert result.is_error
    assert sentence in result.content[0].text
    assert "Traceback" not in result.content[0].text


def test_a_client_that_leaves_stops_its_job(running: Server) -> None:
    async def talk() -> None:
        started = asyncio.Event()

        async def note(progress: float, _total: float | None, _message: str | None) -> None:
            if progress:
                started.set()

        async with Client(f"{running.url}/mcp") as client:
            recipe = f"{RECIPE}\nsteps=50\nnum_images=8".replace("steps=2\n", "")
            arguments = {"photo": PHOTO, "recipe": recipe}
            call = asyncio.create_task(client.call_tool("paint", arguments, progress_callback=note))
            await asyncio.wait_for(started.wait(), 60)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call

    asyncio.run(talk())
    assert report_of(called(running, "paint", photo=PHOTO, recipe=RECIPE)[0])["seed"] == 5
    stopped = Search(owner=LOCAL_OWNER, states=(State.CANCELLED,))
    assert [one for one in running.library.search(stopped) if "num_images=8" in one.recipe]


# --- who may call it ------------------------------------------------------------------------------


def posted(server: Server, **headers: str) -> httpx.Response:
    question = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
    accepted = {"Accept": "application/json, text/event-stream"}
    with server.client() as client:
        return client.post("/mcp", json=question, headers={**accepted, **headers})


def test_another_site_s_page_may_not_call_it(running: Server) -> None:
    assert posted(running, Origin="https://elsewhere.example").status_code == 403
    assert posted(running, Host="elsewhere.example").status_code == 421
    assert posted(running).status_code == 200


def test_with_a_login_it_needs_a_token_of_the_library(tiny_catalog: Path, tmp_path: Path) -> None:
    with tiny_server(tiny_catalog, tmp_path, "--mcp", "--auth", "ann:secret") as server:
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic x"}):
            refused = posted(server, **headers)
            assert (refused.status_code, refused.headers["WWW-Authenticate"]) == (401, "Bearer")
        token = token_for(server, "ann")
        result, _ = called(server, "paint", token, photo=PHOTO, recipe=RECIPE)
        assert report_of(result)["kept_pixels_changed"] == 0
        assert [one.origin for one in server.library.search(Search(owner="ann"))]


def test_without_the_option_there_is_no_such_page(tiny_catalog: Path, tmp_path: Path) -> None:
    with tiny_server(tiny_catalog, tmp_path) as server:
        assert posted(server).status_code == 404


def test_the_option_needs_its_package(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("inference.serving.options.find_spec", lambda _name: None)
    with pytest.raises(SystemExit):
        Options.read("", ["--mcp"], {})
    assert "pip install mcp" in capsys.readouterr().err
