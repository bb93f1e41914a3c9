"""Tests of concurrent and disconnected clients: separate results, no leaks, private logs."""

from __future__ import annotations

import gc
import json
import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import torch

from inference.errors import InvalidPhoto
from inference.serving.temporary_files import Limits
from tests.support.page_server import (
    API,
    FIELDS,
    Server,
    ask,
    coloured,
    events,
    outcome,
    picture,
    png,
    sentence,
    upload,
    wait_until,
)
from tools.visitor import Visitor

CLIENTS, LEAVERS = 50, 50
SECRET = "xylophone-in-a-teapot"


def files_of(server: Server) -> list[str]:
    return sorted(str(one) for one in server.folder.rglob("*") if one.is_file())


def test_fifty_clients_each_get_their_own_picture(running: Server) -> None:
    running.studio.most = 0
    refused = threading.Semaphore(0)

    def one(number: int) -> None:
        colour = (5 * number, 255 - 5 * number, number)
        photo = coloured(colour, (64 + number % 3 * 8, 72))
        fields = {**FIELDS, "seed": number, "steps": 1, "prompt": f"garden {number}"}
        with running.client() as client:
            order = {"data": [upload(client, png(photo)), fields, None]}
            while (answer := client.post(f"{API}/call/paint", json=order)).status_code == 503:
                refused.release()
                time.sleep(0.2)
            *_, (kind, data) = events(client, "paint", answer.json()["event_id"])
            assert kind == "complete", data
            report = data[0]
            assert report["seed"] == number
            assert report["recipe"]["prompt"] == fields["prompt"]
            painted = picture(client, report["images"][0])
        assert painted.shape == photo.shape
        np.testing.assert_array_equal(painted[:8], photo[:8])
        assert not np.array_equal(painted, photo)

    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(one, range(CLIENTS)))
    assert running.studio.most == 1
    assert refused.acquire(blocking=False), "more than the queue holds have come"


def test_fifty_clients_go_away_in_the_middle_and_nothing_stays(
    running: Server, client: httpx.Client
) -> None:
    file = upload(client, png(coloured((7, 8, 9))))
    config = client.get("/config").json()
    index = next(one["id"] for one in config["dependencies"] if one["api_name"] == "paint")
    outcome(client, "paint", file, FIELDS, None)  # so that everything is loaded
    endless = {**FIELDS, "steps": 50, "num_images": 8}
    files, threads = files_of(running), threading.active_count()
    tensors = count_tensors()
    running.studio.most = 0
    for leaver in range(LEAVERS):
        number = ask(client, "paint", file, endless, None)
        for _, (data,) in events(client, "paint", number):
            if data.get("step", 0) > leaver % 3:
                break  # closes the connection
        if leaver % 2:
            told = {"session_hash": number, "fn_index": index, "event_id": number}
            assert client.post(f"{API}/cancel", json=told).status_code == 200
    kind, (report,) = outcome(client, "paint", file, FIELDS, None)
    assert kind == "complete"
    assert running.studio.most == 1
    wait_until(lambda: running.studio.now == 0)
    assert not running.studio._job_lock.locked()
    Path(report["images"][0]["path"]).unlink()
    assert files_of(running) == files
    wait_until(lambda: threading.active_count() <= threads + 5)
    assert count_tensors() <= tensors + 50
    assert len(running.blocks._queue) == 0
    wait_until(lambda: not running.blocks._queue.event_ids_to_events)


def count_tensors() -> int:
    gc.collect()
    return sum(1 for one in gc.get_objects() if isinstance(one, torch.Tensor))


def test_the_log_tells_what_was_done_and_not_for_whom(
    running: Server, client: httpx.Client, capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Neither words, nor names of files, nor pictures; not even where something breaks."""
    caplog.set_level(logging.DEBUG)
    file = upload(client, png(coloured((3, 2, 1))), f"{SECRET}.png")
    secret: dict[str, Any] = {
        **FIELDS, "prompt": SECRET, "negative_prompt": SECRET, "mask_prompt": SECRET,
    }  # fmt: skip
    assert outcome(client, "paint", file, secret, None)[0] == "complete"
    assert outcome(client, "mask", file, secret, None)[0] == "complete"
    for wrong in ({"style": SECRET}, {"controlnet": SECRET}, {SECRET: 1}, {"steps": SECRET}):
        sentence(client, "paint", file, {**secret, **wrong}, None)
    sentence(client, "paint", {"path": f"/tmp/{SECRET}"}, secret, None)
    client.post(f"{API}/call/paint", json={"data": [file, SECRET]})
    client.post(f"{API}/call/{SECRET}", json={"data": [SECRET]})
    monkeypatch.setattr(running.studio, "breaks_with", SECRET)
    said = sentence(client, "paint", file, secret, None)
    # The requests of this test's own client are in the same log.
    ours = [one for one in caplog.records if not one.name.startswith("http")]
    written = "\n".join(f"{one.getMessage()}{one.exc_text or ''}" for one in ours)
    written += "".join(capfd.readouterr())
    assert SECRET not in written
    assert str(running.folder) not in written
    jobs = [one.getMessage() for one in ours if one.getMessage().startswith("job ")]
    assert "1 of 96×120 in 2 steps: painted" in jobs[0]
    number, what = jobs[-1].removeprefix("job ").split(":", 1)
    assert "RuntimeError at page_server.py:" in what
    assert said.startswith("The model failed: press Generate again")
    assert said.endswith(f"(job {number}).")
    assert len(set(jobs)) == len(jobs)


def test_a_style_that_nobody_has_is_nobody_elses_problem(
    running: Server, client: httpx.Client
) -> None:
    file = upload(client, png(coloured((3, 2, 1))))
    assert "drawn" in sentence(client, "paint", file, {**FIELDS, "style": "none such"}, None)
    assert not running.studio.fallback_reason


def test_looking_leaves_nothing_and_closing_the_tab_lets_the_results_go(
    running: Server, client: httpx.Client
) -> None:
    visitor = Visitor(client)
    with visitor.here():
        visitor.upload(png(coloured((30, 60, 90))))
        visitor.paint(**FIELDS | {"controlnet": "unset"})  # so that everything is loaded
        for turn in range(5):
            assert visitor.look(mask_threshold=0.1 + turn / 10)["words"]
        files, objects = files_of(running), count_objects()
        for turn in range(40):
            visitor.look(mask_threshold=0.1 + turn % 5 / 10)
        assert files_of(running) == files
        assert count_objects() < objects + 400
        for _ in range(3):
            visitor.paint(**FIELDS | {"controlnet": "unset"})
        results = [Path(one) for one in files_of(running) if one not in files]
        seeds = [path for path in results if "seed" in path.name and path.suffix == ".png"]
        stay = [one for one in seeds if time.time() - one.stat().st_mtime < Limits.age / 2]
        assert len(stay) == 1, "the results before the last one are about to go"
    limits, now = Limits(), time.time()
    wait_until(
        lambda: all(now - one.stat().st_mtime > limits.age - limits.grace - 60 for one in results)
    )


def test_addresses_that_never_answer_keep_nobody_from_looking(
    running: Server, client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """How long an address may take is tested where it is fetched."""
    asked, over = threading.Event(), threading.Event()

    def never(_: str) -> bytes:
        asked.set()
        over.wait()
        raise InvalidPhoto("This address takes too long.")

    def fetch(_: int) -> None:
        with running.client() as other:
            answer = json.dumps(Visitor(other).fetch("http://somewhere.example/photo.jpg"))
            assert "This address takes too long." in answer

    monkeypatch.setattr("inference.serving.job_service.fetch_file", never)
    visitor, fetchers = Visitor(client), 15
    with ThreadPoolExecutor(fetchers) as pool, visitor.here():
        visitor.upload(png(coloured((60, 30, 90))))
        fetching = [pool.submit(fetch, k) for k in range(fetchers)]
        try:
            assert asked.wait(20)
            wait_until(lambda: len(running.blocks._queue) > 0)
            for turn in range(5):
                assert visitor.look(mask_threshold=0.1 + turn / 10)["words"]
            kind, _ = outcome(
                client, "paint", upload(client, png(coloured((9, 9, 9)))), FIELDS, None
            )
            assert kind == "complete"
        finally:
            over.set()
        for one in fetching:
            one.result()


def count_objects() -> int:
    gc.collect()
    return len(gc.get_objects())
