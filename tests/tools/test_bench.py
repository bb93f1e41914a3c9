"""Tests of the benchmark: it runs at its smallest size, and its counts are right; no times."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path

import pytest
import torch

from tests.support.page_server import Server
from tests.support.rest_client import SETTINGS, rest_client
from tools import bench
from tools.speed import models, scale
from tools.speed.counting import counted

CPU = torch.device("cpu")


def test_the_small_benchmark_prints_and_writes_every_case(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "bench.json"
    monkeypatch.setattr(
        sys, "argv",
        ["bench.py", "--cpu-small", "--repeats", "1", "--steps", "2", "--threads", "1",
         "--json", str(path)],
    )  # fmt: skip
    bench.main()
    written = json.loads(path.read_text())
    cases = [row["case"] for row in (*written["painting"], *written["words"])]
    assert cases == [
        "96x96, 1 images, 2 steps", "96x96, 2 images, 2 steps", "96x120, 1 images, 2 steps",
        "96x120, 2 images, 2 steps", "second run, seed changed", "three on one photo",
        "mask of 10% on 1024x1280", "mask of 30% on 1024x1280", "mask of 90% on 1024x1280",
        "1 phrases", "4 phrases",
    ]  # fmt: skip
    printed = capsys.readouterr().out
    assert all(f"| {case} |" in printed for case in cases)
    for row in written["painting"][:4]:
        assert row["PSNR dB"] > 40
        assert row["ours TFLOP"] < row["stock TFLOP"]
        assert row["ours launches/step"] < row["stock launches/step"]
    second = written["painting"][4]
    assert second["second launches"] < second["first launches"]


@pytest.mark.parametrize(
    ("work", "flops", "launches"),
    [
        (lambda a, b: a @ b, 2 * 64 * 32 * 16, 1),
        (lambda a, b: (a @ b).relu() + 1, 2 * 64 * 32 * 16, 3),
        (lambda a, _: a.T.reshape(-1)[5:], 0, 1),
        (lambda a, _: a.view(-1)[:100], 0, 0),
        (lambda a, b: torch.nn.functional.linear(a, b.T), 2 * 64 * 32 * 16, 1),
        (lambda a, _: torch.nn.functional.dropout(a, training=False), 0, 0),
    ],
    ids=["product", "and more", "a copy", "a view", "linear", "nothing"],
)
@pytest.mark.parametrize("inference", [False, True])
def test_work_is_counted(work: object, flops: int, launches: int, inference: bool) -> None:
    with torch.inference_mode(inference):
        left, right = torch.randn(64, 32), torch.randn(32, 16)
        with counted(CPU) as seen:
            work(left, right)
    assert (seen.flops, seen.launches) == (flops, launches)


def test_the_peak_is_what_is_alive_at_once() -> None:
    with counted(CPU) as seen:
        one = torch.ones(1000)
        two = one + 1
        del one
        three = two + 1
        del two, three
        torch.ones(1500)
    assert seen.peak == 4 * 2000


def test_full_size_models_ask_for_what_is_known_of_them() -> None:
    """Stable Diffusion 1.5 with a ControlNet, at 512x512 with guidance: counted, not computed."""
    meta = torch.device("meta")
    pipe = models.pipeline(meta, torch.float16, small=False)
    sizes = [sum(p.numel() for p in part.parameters()) for part in (pipe.unet, pipe.vae)]
    assert sizes == [859_520_964, 83_653_863]
    rows = torch.empty(2, 4, 64, 64, device=meta, dtype=torch.float16)
    words = torch.empty(2, 77, 768, device=meta, dtype=torch.float16)
    with counted(meta) as step, torch.inference_mode():
        pipe.unet(rows, torch.empty((), device=meta), words, return_dict=False)
    assert math.isclose(step.flops / 1e12, 2 * 0.803, rel_tol=0.01)


def test_a_server_is_asked_for_jobs_and_the_time_is_taken(running: Server) -> None:
    """The part `scale` starts servers, which takes a minute; here is the one of the tests."""
    with rest_client(running, "bench") as client:
        asker = scale.Asker(client=client, fields=SETTINGS)
        assert asker.seconds_a_job(3) > 0
        assert asker.rate(4, 2) > 0
        done = client.get("/prompts").json()
    assert [one["state"] for one in done] == ["done"] * 7
    with pytest.raises(RuntimeError, match="steps"), rest_client(running) as client:
        scale.Asker(client=client).create(1, 0)
