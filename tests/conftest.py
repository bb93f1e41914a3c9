"""Shared fixtures: tiny models in place of the embedded pack, a local model hub, a server."""

from __future__ import annotations

import gc
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest
import torch
from huggingface_hub import close_session

from inference.catalog.catalog import FACE, Catalog, HubSource
from tests.support import hub_repositories
from tests.support.browser import address, app_folder, browser, page, tab  # noqa: F401 - fixtures
from tests.support.hub_repositories import LAYOUTS
from tests.support.hub_server import HubServer
from tests.support.photo_models import photo_models  # noqa: F401 - a fixture
from tests.support.postgresql import postgresql  # noqa: F401 - a fixture

if TYPE_CHECKING:
    from tests.support.page_server import Server

# Tiny models gain nothing from a second thread, and lose much where the cores are busy.
torch.set_num_threads(1)
os.environ["OMP_NUM_THREADS"] = "1"  # of the servers and commands that tests start
# Their library is a new one of each test process, not that of the user who runs the tests.
os.environ["XDG_DATA_HOME"] = os.environ["LOCALAPPDATA"] = tempfile.mkdtemp(prefix="data-home-")


def pytest_unconfigure() -> None:
    """Delete the data directory of this process."""
    shutil.rmtree(os.environ["XDG_DATA_HOME"], ignore_errors=True)


# Files that take longest come first, so that both workers end at about the same time.
LONGEST = ("tests/page", "tests/pack", "test_step_compiler", "test_ahead_of_time")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Order the files by `LONGEST`; all others follow as they are."""

    def rank(item: pytest.Item) -> int:
        path = item.path.as_posix()
        return next((k for k, part in enumerate(LONGEST) if part in path), len(LONGEST))

    items.sort(key=rank)


THREADS_END_SECONDS = 20
TINY_PACK = """
[families.pack.segmenter]
folder = "segmenter"
[families.pack.photo]
words = []
[families.pack.pose]
folder = "pose"
[families.pack.enlarger]
folder = "enlarger"
[families.pack.controls.pose.source]
folder = "controlnet"
[families.pack.controls.canny]
title = "Edges"
[families.pack.controls.canny.source]
folder = "controlnet"
[families.pack.loras.ink]
title = "Ink"
source = { folder = "lora" }
[families.pack.loras.words]
title = "Words"
source = { folder = "lora-with-words" }
trigger_words = "in words"
[styles.drawn]
native_size = 64
[styles.drawn.base]
folder = "painter"
[styles.ink]
title = "Ink"
description = "As drawn, in ink."
family = "pack"
native_size = 64
base = { folder = "painter" }
loras = { ink = 1.0 }
[styles.soft]
native_size = 64
base = { folder = "painter" }
loras = { ink = 0.5 }
[styles.words]
title = "Words"
description = "As drawn, in other words."
family = "pack"
cfg_scale = 2.5
control_mode = "unbalanced"
native_size = 64
base = { folder = "painter" }
loras = { words = 0.8, ink = 0.2 }
"""


@pytest.fixture(scope="session")
def tiny_catalog(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A catalog file that replaces the pack by tiny random models."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("pack")
    hub_repositories.save_segmenter(folder / "segmenter")
    hub_repositories.save_pose_finder(folder / "pose")
    hub_repositories.save_enlarger(folder / "enlarger", scale=2)
    hub_repositories.save_controlnet(folder / "controlnet")
    hub_repositories.save_pipeline(folder / "painter", half_too=False)
    hub_repositories.save_lora(folder / "lora")
    hub_repositories.save_lora(folder / "lora-with-words", seed=1, text_too=True)
    (folder / "tiny.toml").write_text(TINY_PACK)
    return folder / "tiny.toml"


def hub_sources() -> list[HubSource]:
    """All hub sources of the built-in catalog."""
    catalog = Catalog.load()
    sd15 = catalog.family("sd15")
    sources = [sd15.segmenter, sd15.pose, sd15.configs, sd15.enlarger, sd15.depth, sd15.rooms]
    sources += [sd15.checker, sd15.point_segmenter]
    for control in (*catalog.controls("sd15"), catalog.control("sd15", FACE)):
        sources += [control.source, control.adapter and control.adapter.encoder]
    for style in catalog.styles("sd15"):
        twin = style.inpainting
        sources += [style.base, style.vae, twin and twin.base, twin and twin.configs]
    return list(dict.fromkeys(source for source in sources if isinstance(source, HubSource)))


@pytest.fixture(scope="session")
def real_repositories(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    torch.manual_seed(0)
    folders = {repo: tmp_path_factory.mktemp("repository") for repo in LAYOUTS}
    for repo, folder in folders.items():
        LAYOUTS[repo](folder)
    return folders


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    """An empty local hub and no package index, with an empty model cache in tmp_path."""
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    for name in ("HF_HUB_CACHE", "HF_HUB_OFFLINE", "HF_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    with HubServer() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        yield server
    close_session()  # its open connections would each keep a thread of the server waiting


@pytest.fixture
def whole_hub(server: HubServer, real_repositories: dict[str, Path]) -> HubServer:
    """The hub with every repository of the catalog."""
    for source in hub_sources():
        commit = source.revision if source.revision != "main" else ""
        if commit or source.repo not in server.repos:
            server.add(source.repo, real_repositories[source.repo], commit=commit)
    return server


def _lasting() -> set[threading.Thread]:
    """Library threads that never end and load no models."""
    lasting = ("_telemetry_worker", "tqdm_monitor")
    return {one for one in threading.enumerate() if any(name in one.name for name in lasting)}


@pytest.fixture(autouse=True, scope="module")
def no_thread_stays() -> Iterator[None]:
    """Check that a file's threads end with it, so that none loads a model during the next file."""
    before = set(threading.enumerate())
    yield
    end = time.monotonic() + THREADS_END_SECONDS
    while left := [one for one in threading.enumerate() if one not in before | _lasting()]:
        assert time.monotonic() < end, f"still there: {left}"
        gc.collect()  # ends the threads of executors that nobody uses any more
        time.sleep(0.05)


@pytest.fixture(scope="module")
def running(tiny_catalog: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The page on a server with tiny models, for all tests of a file."""
    from tests.support.page_server import tiny_server

    with tiny_server(tiny_catalog, tmp_path_factory.mktemp("work")) as server:
        yield server


@pytest.fixture
def client(running: Server) -> Iterator[httpx.Client]:
    """A client of that server."""
    with running.client() as client:
        yield client
