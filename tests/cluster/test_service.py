"""Tests of the service on a cluster of three nodes on this machine, with tiny models."""

from __future__ import annotations

import io
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from inference import Photo, Recipe, Result, Studio
from inference.__main__ import EXIT_USAGE, main
from inference.catalog.catalog import Catalog
from inference.cluster.dispatcher import checkpoint_of
from inference.cluster.settings import ServiceSettings
from inference.errors import LibraryUnavailable
from inference.library.address import place_of
from inference.library.tokens import Tokens
from inference.picture import png_metadata
from inference.serving.options import LIBRARY, LIBRARY_FILES
from tests.support.page_server import coloured, png, wait_until
from tests.support.postgresql import PostgresqlServer
from tests.support.ray_cluster import (
    DISPATCHER,
    PAINTER,
    ROOT,
    SURROUNDINGS,
    add_node,
    command,
    kill_a_node,
    kill_a_process,
    ray_cluster,
)
from tests.support.rest_client import SETTINGS, TEXT, create, ended

MOST_WAITING = 12


@dataclass(frozen=True, kw_only=True)
class Service:
    """A running service: its cluster, its command, its settings, and a client."""

    cluster: Any
    process: subprocess.Popen[str]
    settings: dict[str, Any]
    client: httpx.Client

    def deploy(self, **changed: Any) -> None:
        """Update it to other settings, replica by replica."""
        given = json.dumps(self.settings | changed)
        subprocess.run(
            [sys.executable, "-m", "tests.support.serve_driver", self.cluster.address, given],
            cwd=ROOT, env=os.environ | SURROUNDINGS, check=True, capture_output=True, timeout=900,
        )  # fmt: skip


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def service(
    tiny_catalog: Path, tmp_path_factory: pytest.TempPathFactory, postgresql: PostgresqlServer
) -> Iterator[Service]:
    """The service with a library in PostgreSQL, as on several machines."""
    folder, port = tmp_path_factory.mktemp("service"), free_port()
    library = {"library": postgresql.create(), "library_files": str(folder / "files")}
    tokens = Tokens(place_of(*library.values()))
    headers = {"Authorization": f"Bearer {tokens.make('ann')}"}
    tokens.close()
    settings = {
        "catalog": str(tiny_catalog), "style": "drawn", "lease": 4, "min_painters": 2,
        "max_painters": 2, "mask_finder_cpus": 0, "max_waiting": MOST_WAITING,
    }  # fmt: skip
    options = [
        part for name, value in settings.items()
        for part in (f"--{name.replace('_', '-')}", str(value))
    ]  # fmt: skip
    hidden = {LIBRARY: library["library"], LIBRARY_FILES: library["library_files"]}
    with (
        ray_cluster() as cluster,
        command(
            "serve", "--ray", cluster.address, "--port", str(port), *options, surroundings=hidden
        ) as process,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=120) as client,
    ):
        try:
            assert process.stdout is not None
            assert process.stderr is not None
            started = "Serving on" in process.stdout.readline()
            assert started, process.stderr.read()
            yield Service(
                cluster=cluster, process=process, settings=settings | library, client=client
            )
        finally:
            process.kill()


def picture(client: httpx.Client, prompt: dict[str, Any]) -> bytes:
    (url,) = prompt["images"]
    answer = client.get(url)
    assert answer.status_code == 200
    return answer.content


def followed(client: httpx.Client, prompt: dict[str, Any]) -> list[str]:
    """The kinds of a prompt's events, in their order without repetition."""
    with client.stream("GET", f"/prompts/{prompt['id']}/progress") as answer:
        kinds = [line[7:] for line in answer.iter_lines() if line.startswith("event: ")]
    return list(dict.fromkeys(kinds))


def test_a_prompt_gives_the_picture_that_one_machine_gives(
    service: Service, tiny_catalog: Path
) -> None:
    photo = png(coloured((200, 30, 40)))
    made = create(service.client, photo)
    assert made.status_code == 201, made.text
    assert followed(service.client, made.json()) == ["progress", "prompt"]
    prompt = ended(service.client, made.json())
    assert (prompt["state"], prompt["error"], prompt["seed"]) == ("done", None, 5)
    studio = Studio(catalog=Catalog.load(tiny_catalog), style="drawn")
    recipe = Recipe.parse({"prompt": TEXT, "style": "drawn", **SETTINGS})
    (result,) = [one for one in studio.paint(Photo.open(photo), recipe) if isinstance(one, Result)]
    found = np.asarray(Image.open(io.BytesIO(picture(service.client, prompt))))
    assert np.array_equal(found, result.images[0])


def seen(client: httpx.Client, prompt: dict[str, Any]) -> dict[str, Any]:
    """A prompt; empty while the replica that answers is being replaced."""
    try:
        answer = client.get(f"/prompts/{prompt['id']}")
    except httpx.TransportError:
        return {}
    found: dict[str, Any] = answer.json() if answer.status_code == 200 else {}
    return found


def outlived(client: httpx.Client, prompt: dict[str, Any]) -> dict[str, Any]:
    """A prompt once it has ended, though processes are killed meanwhile."""
    wait_until(lambda: seen(client, prompt).get("state") in ("done", "failed"), 600)
    return ended(client, prompt)


def test_a_painters_node_is_killed_and_every_job_is_done_once(service: Service) -> None:
    colours = [(25 * k + 5, 200 - 20 * k, 90) for k in range(8)]
    made = [
        create(service.client, png(coloured(colour)), seed=100 + k, steps=20, num_images=4).json()
        for k, colour in enumerate(colours)
    ]

    def states() -> list[str]:
        return [one["state"] for one in service.client.get("/prompts").json()]

    wait_until(lambda: states().count("running") > 0 and states().count("done") > 1, 300)
    kill_a_node(service.cluster, PAINTER)
    for k, (one, colour) in enumerate(zip(made, colours, strict=True)):
        prompt = outlived(service.client, one)
        assert prompt["state"] == "done", prompt
        assert len(prompt["images"]) == 4
        data = service.client.get(prompt["images"][0]).content
        embedded = png_metadata.read(data)
        assert embedded is not None
        assert embedded.recipe.seed == 100 + k
        pixels = np.asarray(Image.open(io.BytesIO(data)))
        assert (pixels == colour).all(-1).any(), "nothing of this prompt's own photo is kept"
    numbers = [one["id"] for one in service.client.get("/prompts").json()]
    assert len(numbers) == len(set(numbers))
    assert {one["id"] for one in made} <= set(numbers)
    add_node(service.cluster)


@pytest.mark.parametrize("title", [DISPATCHER, PAINTER], ids=["dispatcher", "painter"])
def test_a_process_that_is_killed_loses_no_job(service: Service, title: str) -> None:
    photo = png(coloured((7, 90, 30)))
    made = [create(service.client, photo, seed=k, steps=20, num_images=4).json() for k in range(3)]
    wait_until(lambda: service.client.get(f"/prompts/{made[0]['id']}").json()["state"] != "queued")
    kill_a_process(service.cluster, title)
    assert [ended(service.client, one)["state"] for one in made] == ["done"] * 3


def test_an_update_under_load_fails_no_request(service: Service) -> None:
    answers: list[tuple[str, int]] = []
    ids: list[dict[str, Any]] = []
    stopping = threading.Event()

    def load() -> None:
        while not stopping.is_set():
            made = create(service.client, png(coloured((9, 9, len(ids) + 1))), seed=len(ids))
            answers.append(("create", made.status_code))
            ids.append(made.json())
            state = "queued"
            while state in ("queued", "running"):
                read = service.client.get(f"/prompts/{ids[-1]['id']}")
                answers.append(("read", read.status_code))
                state = read.json().get("state", "gone")
                time.sleep(0.1)

    loads = [threading.Thread(target=load) for _ in range(2)]
    for one in loads:
        one.start()
    service.deploy(retry_after=7)
    time.sleep(2)
    stopping.set()
    for one in loads:
        one.join(600)
    assert {(kind, code) for kind, code in answers} == {("create", 201), ("read", 200)}
    assert all(ended(service.client, one)["state"] == "done" for one in ids)


def test_over_the_limit_there_is_503_with_a_time_to_come_again(service: Service) -> None:
    photo = png(coloured((1, 2, 3)))
    accepted = 0
    while (answer := create(service.client, photo, steps=50, num_images=8)).status_code == 201:
        accepted += 1
        assert accepted < 5 * MOST_WAITING, "there is no limit"
    assert accepted >= MOST_WAITING
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "7"
    assert answer.json()["detail"].endswith("try again later.")
    waiting = service.client.get("/prompts", params={"limit": 50}).json()
    for prompt in waiting:
        if prompt["state"] in ("queued", "running"):
            assert service.client.delete(f"/prompts/{prompt['id']}").status_code == 200
    again = create(service.client, photo)
    assert again.status_code == 201
    assert ended(service.client, again.json())["state"] == "done"


def test_it_ends_when_it_is_told_to(service: Service) -> None:
    service.process.send_signal(signal.SIGTERM)
    assert service.process.wait(60) == 0
    with pytest.raises(httpx.ConnectError):
        service.client.get("/docs")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--max-painters", "none"), "--max-painters is wrong"),
        (("--library", "mysql://host/db"), "no address of a database"),
        (("--catalog", "nowhere.toml"), "nowhere.toml"),
    ],
    ids=["a setting", "the library", "the catalog"],
)
def test_what_is_wrong_is_said(options: tuple[str, ...], sentence: str) -> None:
    stdout, stderr = io.StringIO(), io.StringIO()
    assert main(["serve", "--ray", "127.0.0.1:1", *options], stdout, stderr) == EXIT_USAGE
    assert sentence in stderr.getvalue()


def test_a_folder_is_a_library_for_one_machine(tmp_path: Path) -> None:
    settings = ServiceSettings(library=str(tmp_path))
    settings.check_reach(1)
    with pytest.raises(LibraryUnavailable, match="for one machine"):
        settings.check_reach(2)
    ServiceSettings(library="postgresql://ann@host/db", library_files="s3://b/f").check_reach(9)


@pytest.mark.parametrize(
    ("style", "checkpoint"),
    [("drawn", "drawn"), ("ink", "drawn"), ("soft", "drawn"), ("photo", "photo"), ("x", "x")],
)
def test_styles_of_one_checkpoint_are_painted_by_the_same_painters(
    style: str, checkpoint: str
) -> None:
    assert checkpoint_of(Catalog.load(), style) == checkpoint
