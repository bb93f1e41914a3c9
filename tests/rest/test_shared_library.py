"""Tests of servers that share a library: prompts by REST, and a server that is killed."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from inference.library.address import Shared
from inference.library.library import Library
from inference.library.records import State
from tests.support.library_jobs import files_in, new_job, place_for
from tests.support.page_server import FIELDS, coloured, png, tiny_server, wait_until
from tests.support.postgresql import PostgresqlServer
from tests.support.rest_client import create, ended, rest_client

ROOT = Path(__file__).parents[2]
PHOTO = png(coloured((200, 30, 40)))


def test_a_prompt_is_painted_and_its_pictures_fetched_out_of_database_and_object_store(
    tmp_path: Path, tiny_catalog: Path, postgresql: PostgresqlServer
) -> None:
    place = place_for("postgresql with objects", tmp_path, postgresql)
    assert isinstance(place, Shared)
    given = ("--library", place.database, "--library-files", place.files)
    with tiny_server(tiny_catalog, tmp_path, *given) as server, rest_client(server) as ann:
        prompt = ended(ann, create(ann, PHOTO).json())
        assert prompt["error"] is None
        answer = httpx.get(prompt["images"][0])
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "image/png"
        assert Image.open(io.BytesIO(answer.content)).size[0] > 0
        assert ann.delete(f"/prompts/{prompt['id']}").status_code == 200
        assert httpx.get(prompt["images"][0]).status_code == 404
        assert files_in(place) == []


SERVER = """
import sys
from pathlib import Path
from typing import Any
import inference.library.leases, inference.library.library
from inference.catalog.catalog import Catalog
from inference.library.address import place_of
from inference.studio.studio import Studio
from inference.serving.backend import backend
from inference.serving.options import Options
inference.library.library.LEASE, inference.library.leases.BEAT = 5.0, 0.3
options = Options(library=place_of(*sys.argv[1:3]))
studio = Studio(catalog=Catalog.load(Path(sys.argv[3])), style="drawn")
with backend(studio, options, Path(sys.argv[4])) as behind:
    print(behind.jobs.library._leases.worker, flush=True)
    sys.stdin.read()
"""


@contextmanager
def server_process(
    place: Shared, tmp_path: Path, catalog: Path, name: str
) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """A running server, and its name as a worker."""
    given = [place.database, place.files, str(catalog), str(tmp_path / name)]
    with subprocess.Popen(
        [sys.executable, "-c", SERVER, *given], cwd=ROOT, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip(), process
        finally:
            process.kill()


@pytest.mark.skipif(os.name == "nt", reason="there is no SIGKILL")
def test_what_a_killed_server_painted_is_painted_by_another_one(
    tmp_path: Path, tiny_catalog: Path, postgresql: PostgresqlServer
) -> None:
    place = place_for("postgresql", tmp_path, postgresql)
    assert isinstance(place, Shared)
    endless = {"steps": 50, "num_images": 8, "w": 1024, "h": 1024}
    with (
        closing(Library(place)) as library,
        server_process(place, tmp_path, tiny_catalog, "one") as one,
        server_process(place, tmp_path, tiny_catalog, "two") as two,
    ):
        processes = dict([one, two])

        def accept(**values: Any) -> int:
            return library.accept(new_job(photo=PHOTO, **{**FIELDS, **values})).id

        first, *others = [accept(**endless), accept(seed=1), accept(seed=2)]
        wait_until(lambda: library.find(first).state is State.RUNNING, 90)
        killed = library.find(first).worker
        processes.pop(killed).send_signal(signal.SIGKILL)
        (other,) = processes
        wait_until(lambda: library.find(first).worker == other, 90)
        assert library.find(first).attempts == 2
        assert library.delete("ann", first)  # which stops it
        wait_until(lambda: all(library.find(k).state is State.DONE for k in others), 90)
        assert {library.find(k).worker for k in others} == {other}
