"""Tests of the download plan: one total over several sources, rate and time left."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from inference.catalog.download import Activity, DownloadProgress
from inference.catalog.download_plan import DownloadPlan, TransferRate
from inference.catalog.hub import fetch
from inference.catalog.sources import HubSource, LocalSource
from inference.errors import Cancelled
from tests.support.hub_server import HubServer

MIB = 1 << 20
SIZES = {"owner/first": 3 * MIB, "owner/second": 5 * MIB, "owner/third": MIB}
WEIGHTS, CONFIG = "model.safetensors", b"{}"
SOURCES = {repo: HubSource(repo=repo, files=("config.json", WEIGHTS)) for repo in SIZES}
FIRST, SECOND, THIRD = SOURCES.values()


@pytest.fixture
def hub(server: HubServer, tmp_path: Path) -> HubServer:
    """The hub with three repositories of `SIZES` bytes of weights and a config each."""
    for repo, size in SIZES.items():
        folder = tmp_path / repo
        folder.mkdir(parents=True)
        (folder / WEIGHTS).write_bytes(bytes(size))
        (folder / "config.json").write_bytes(CONFIG)
        server.add(repo, folder)
    return server


def never() -> bool:
    return False


def size(*sources: HubSource) -> int:
    return sum(SIZES[one.repo] + len(CONFIG) for one in sources)


def test_one_total_counts_up_over_all_sources(hub: HubServer, tmp_path: Path) -> None:
    local = LocalSource(folder=tmp_path)
    asked: list[DownloadProgress] = []
    plan = DownloadPlan.of([FIRST, local, SECOND, FIRST], asked.append, never)
    assert [(one.file, one.activity) for one in asked] == [
        (FIRST.repo, Activity.ASKING), (SECOND.repo, Activity.ASKING),
    ]  # fmt: skip
    assert plan.bytes_total == size(FIRST, SECOND)
    seen: list[DownloadProgress] = []
    folders = [plan.fetch(source, seen.append, never) for source in (FIRST, local, SECOND)]
    assert [(one / WEIGHTS).is_file() for one in folders] == [True, False, True]
    assert {one.bytes_total for one in seen} == {plan.bytes_total}
    done = [one.bytes_done for one in seen]
    assert done == sorted(done)
    assert (done[0], done[-1]) == (0, plan.bytes_total)
    assert Activity.CHECKING in {one.activity for one in seen}


def test_the_hub_lists_each_repository_once(hub: HubServer) -> None:
    plan = DownloadPlan.of([FIRST, SECOND], lambda _: None, never)
    for source in (SECOND, FIRST):
        plan.fetch(source, lambda _: None, never)
    listings = [path for _, path in hub.requests if path.startswith("/api/models/")]
    assert len(listings) == 2


@pytest.mark.parametrize(
    ("before", "missing"),
    [((), (FIRST, SECOND)), ((FIRST,), (SECOND,)), ((FIRST, SECOND), ())],
    ids=["nothing", "one", "all"],
)
def test_the_total_is_what_is_missing(
    hub: HubServer, before: tuple[HubSource, ...], missing: tuple[HubSource, ...]
) -> None:
    for source in before:
        fetch(source)
    plan = DownloadPlan.of([FIRST, SECOND], lambda _: None, never)
    assert plan.bytes_total == size(*missing)


def test_after_an_interruption_the_total_is_what_was_left(hub: HubServer) -> None:
    pressed = threading.Event()

    def press_in_the_second(progress: DownloadProgress) -> None:
        if progress.bytes_done > size(FIRST):
            pressed.set()

    sources = (FIRST, SECOND)
    plan = DownloadPlan.of(sources, lambda _: None, never)
    plan.fetch(FIRST, press_in_the_second, pressed.is_set)
    with pytest.raises(Cancelled):
        plan.fetch(SECOND, press_in_the_second, pressed.is_set)
    again = DownloadPlan.of(sources, lambda _: None, never)
    assert 0 < again.bytes_total <= size(SECOND)
    seen: list[DownloadProgress] = []
    for source in sources:
        again.fetch(source, seen.append, never)
    assert (seen[0].bytes_done, seen[-1].bytes_done) == (0, again.bytes_total)


def test_a_source_that_was_not_planned_is_fetched_too(hub: HubServer) -> None:
    plan = DownloadPlan.of([FIRST], lambda _: None, never)
    assert (plan.fetch(THIRD, lambda _: None, never) / WEIGHTS).is_file()


@pytest.mark.parametrize(
    ("transfer", "rate"),
    [
        ([(0, 0)], None),
        ([(0, 0), (2, 4)], None),
        ([(0, 0), (4, 8)], 2.0),
        ([(0, 0), (2, 4), (4, 12)], 3.0),
        ([(0, 0), (20, 40), (30, 40)], 1.0),
        ([(0, 0), (20, 40), (60, 200)], 4.0),
        ([(0, 0), (20, 40), "pause", (60, 40)], 2.0),
        ([(0, 0), (20, 40), "pause", (60, 40), (80, 120)], 4.0),
    ],
    ids=["one", "too short", "steady", "mean", "stalled", "old ones", "pause", "after a pause"],
)
def test_the_rate_is_a_mean_over_the_last_seconds(
    transfer: list[tuple[float, int] | str], rate: float | None
) -> None:
    now = [0.0]
    measured = TransferRate(clock=lambda: now[0])
    for one in transfer:
        if isinstance(one, str):
            measured.pause()
        else:
            now[0] = one[0]
            measured.add(one[1])
    assert measured.value == rate


@pytest.mark.parametrize(
    ("rate", "seconds"), [(None, None), (0.0, None), (2.0 * MIB, 3.0), (MIB, 6.0)]
)
def test_the_time_left_follows_from_the_rate(rate: float | None, seconds: float | None) -> None:
    progress = DownloadProgress(
        file="x", bytes_done=4 * MIB, bytes_total=10 * MIB, bytes_per_second=rate
    )
    assert progress.seconds_left == seconds
