"""Tests of a page in a ZeroGPU Space, where the GPU is allocated per painting.

The library `spaces` with its forks and pipes is real; the host is `tests/support/zero_gpu_host.py`.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest

from inference import Photo, Recipe, Result, Studio
from inference.catalog.catalog import Catalog
from tests.support.browser import running_app
from tests.support.page_server import (
    FIELDS,
    ask,
    coloured,
    events,
    outcome,
    picture,
    png,
    sentence,
    upload,
)
from tests.support.zero_gpu_host import ZeroGpuHost

SCRIPT = str(Path(__file__).parents[1] / "support" / "zero_gpu_host.py")
PHOTO = coloured((200, 120, 40))


@pytest.fixture(scope="module")
def host() -> Iterator[ZeroGpuHost]:
    with ZeroGpuHost() as host:
        yield host


@pytest.fixture(scope="module")
def client(
    host: ZeroGpuHost, tiny_catalog: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[httpx.Client]:
    """A client of a page there, with the host's token."""
    command = (SCRIPT, "app.py", "--style", "drawn", "--catalog", str(tiny_catalog))
    folder = tmp_path_factory.mktemp("app")
    with (
        running_app(folder, *command, **host.surroundings()) as url,
        httpx.Client(base_url=url, timeout=60, headers={"x-ip-token": "visitor"}) as client,
    ):
        yield client


def lent_to(host: ZeroGpuHost) -> int:
    """Id of the last process with the GPU."""
    return int(host.requests("/allow")[-1]["pid"])


def test_the_page_reports_that_it_started(client: httpx.Client, host: ZeroGpuHost) -> None:
    assert host.requests("/startup-report") == [{}]


def test_a_painting_from_there_is_the_same_as_from_here(
    client: httpx.Client, host: ZeroGpuHost, tiny_catalog: Path
) -> None:
    kind, (said,) = outcome(client, "paint", upload(client, png(PHOTO)), FIELDS, None)
    assert (kind, said["kept_pixels_changed"]) == ("complete", 0)
    here = Studio(catalog=Catalog.load(tiny_catalog), style="drawn")
    *_, result = here.paint(Photo.of(PHOTO), Recipe(**FIELDS))
    assert isinstance(result, Result)
    np.testing.assert_array_equal(picture(client, said["images"][0]), result.images[0])


def test_the_gpu_is_asked_for_in_the_visitors_name_for_as_long_as_it_takes(
    client: httpx.Client, host: ZeroGpuHost
) -> None:
    photo = upload(client, png(PHOTO))
    asked = []
    for count in (1, 4):
        outcome(client, "paint", photo, {**FIELDS, "num_images": count}, None)
        asked.append(host.requests("/schedule")[-1])
    assert [one["token"] for one in asked] == ["visitor"] * 2
    assert [int(one["durationSeconds"]) for one in asked] == [30, 60]
    assert len(host.requests("/release")) == len(host.requests("/schedule"))


def test_a_mask_takes_no_gpu(client: httpx.Client, host: ZeroGpuHost) -> None:
    before = len(host.asked)
    kind, _ = outcome(client, "mask", upload(client, png(PHOTO)), FIELDS, None)
    assert kind == "complete"
    assert len(host.asked) == before


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"mask_strokes": "+2000:5000,5000", "mask_invert": True}, "nothing would be repainted"),
        ({"controlnet": "hed"}, "The model failed"),  # it does not fit the tiny painter
    ],
    ids=str,
)
def test_what_goes_wrong_there_is_said_here_and_the_next_job_runs(
    client: httpx.Client, fields: dict[str, object], message: str
) -> None:
    photo = upload(client, png(PHOTO))
    assert message in sentence(client, "paint", photo, {**FIELDS, **fields}, None)
    assert outcome(client, "paint", photo, FIELDS, None)[0] == "complete"


def test_a_refusal_is_said_in_the_spaces_words(client: httpx.Client, host: ZeroGpuHost) -> None:
    photo, host.refuses = upload(client, png(PHOTO)), True
    said = sentence(client, "paint", photo, FIELDS, None)
    host.refuses = False
    assert said.startswith("No GPU was lent: You have exceeded your ZeroGPU quota")
    assert outcome(client, "paint", photo, FIELDS, None)[0] == "complete"


def test_a_process_that_is_killed_takes_only_its_own_painting_with_it(
    client: httpx.Client, host: ZeroGpuHost
) -> None:
    photo = upload(client, png(PHOTO))
    number = ask(client, "paint", photo, {**FIELDS, "steps": 50, "num_images": 4}, None)
    said = []
    for kind, data in events(client, "paint", number):
        said.append((kind, data))
        if kind == "generating" and data[0]["step"] == 2:
            os.kill(lent_to(host), signal.SIGKILL)
    kind, data = said[-1]
    assert (kind, data["error"]) == (
        "error",
        "No GPU was lent: GPU task aborted. Press Generate again.",
    )
    assert outcome(client, "paint", photo, FIELDS, None)[0] == "complete"


def test_a_visitor_who_leaves_gives_the_gpu_back(client: httpx.Client, host: ZeroGpuHost) -> None:
    photo, released = upload(client, png(PHOTO)), len(host.requests("/release"))
    number = ask(client, "paint", photo, {**FIELDS, "steps": 50, "num_images": 4}, None)
    for kind, data in events(client, "paint", number):
        if kind == "generating" and data[0]["step"] == 2:
            break
    until = time.monotonic() + 20
    while len(host.requests("/release")) == released:
        assert time.monotonic() < until
        time.sleep(0.05)
    assert outcome(client, "paint", photo, FIELDS, None)[0] == "complete"
