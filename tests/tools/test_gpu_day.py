"""Tests of the measurements on a GPU: tried whole at tiny size on the CPU; faults; documents."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pytest
import torch

from inference.painting.denoiser import Denoiser
from tests.test_architecture import ROOT
from tools import gpu_day
from tools.speed.gpu_parts import PARTS
from tools.speed.lab import Lab, Overdue, Setting
from tools.speed.painting import after_a_change
from tools.speed.part_worker import DIED, PartWorker, RunPart
from tools.speed.tables import MissingMarkers, Row, markers, replaced, told

DOCUMENT = ROOT / "docs" / "performance.md"
# The page's and the tests' packages, which a machine for measuring need not have.
UNNEEDED = ("gradio", "ai_edge_litert", "pytest", "playwright", "spaces", "pillow_heif")
# Runs a script as if these packages were not installed, also in the processes that it starts.
WITHOUT = f"""
import sys
class Without:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {UNNEEDED!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Without())
"""


def command(*options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "tools/gpu_day.py", *options],
        cwd=ROOT, env=os.environ | environment, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_each_part_fills_its_table_and_leaves_the_rest_of_the_document_alone(
    tmp_path: Path,
) -> None:
    """The whole command at tiny size, without the packages that only the page needs."""
    (tmp_path / "sitecustomize.py").write_text(WITHOUT)
    document, path = tmp_path / "performance.md", tmp_path / "numbers.json"
    before = DOCUMENT.read_text(encoding="utf-8")
    document.write_text(before, encoding="utf-8")
    done = command(
        "--device", "cpu", "--tiny", "--json", str(path), "--document", str(document),
        PYTHONPATH=str(tmp_path),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    parts = json.loads(path.read_text())["parts"]
    assert list(parts) == list(PARTS)
    assert [name for name, part in parts.items() if part["note"] or not part["rows"]] == []
    assert [row["compiled"] for row in parts["cases"]["rows"]] == ["yes", "yes"]
    assert all(row["times faster"] > 0 for row in parts["compiling"]["rows"])
    assert all(row["PSNR dB"] > 40 for row in parts["cases"]["rows"])
    names = [row["style"] for row in parts["styles"]["rows"]]
    assert names == ["first", "second", "third", "first"]
    assert {"LoRA", "LoRA, compiled", "LoRA off"} < {row["case"] for row in parts["lora"]["rows"]}
    after = document.read_text(encoding="utf-8")
    assert "64×80, 2 pictures, 2 steps" in after
    assert outside(after) == outside(before)


def outside(document: str) -> list[str]:
    """The parts of a document that lie outside of all tables."""
    rest = document
    for name in PARTS:
        begin, end = markers(name)
        before, _, after = rest.partition(begin)
        rest = before + begin + end + after.partition(end)[2]
    return rest.splitlines()


def test_the_document_has_a_place_for_each_table() -> None:
    for name in PARTS:
        assert [DOCUMENT.read_text(encoding="utf-8").count(one) for one in markers(name)] == [1, 1]


def test_a_table_replaces_the_one_before_it() -> None:
    begin, end = markers("cases")
    document = f"Before\n\n{begin}\n\nold\n\n{end}\n\nAfter {begin}"
    once = replaced(document, "cases", "new\n")
    assert once == f"Before\n\n{begin}\n\nnew\n\n{end}\n\nAfter {begin}"
    assert replaced(once, "cases", "new\n") == once


@pytest.mark.parametrize("document", ["", "<!-- measured: cases -->", "<!-- end of cases -->"])
def test_a_document_without_a_place_says_what_to_add(document: str) -> None:
    with pytest.raises(MissingMarkers, match="add <!-- measured: cases -->"):
        replaced(document, "cases", "new")


def test_a_table_has_a_line_for_each_row_and_a_dash_for_what_cannot_be_told() -> None:
    rows: list[Row] = [{"case": "a|b", "s": 1.23456}, {"case": "c", "s": float("nan")}]
    assert told(rows).splitlines() == [
        "", "| case | s |", "| --- | --- |", "| a\\|b | 1.235 |", "| c | – |",
    ]  # fmt: skip


# --- parts that fail ------------------------------------------------------------------------


def odd_parts() -> RunPart:
    """Parts that behave badly after their first row, which says how many parts ran before."""
    ran: list[str] = []

    def run(name: str, ends: float) -> Iterator[Row]:
        ran.append(name)
        yield {"ran": float(len(ran))}
        if name == "fails":
            raise RuntimeError("no kernel\nfor this card")
        if name == "dies":
            os._exit(1)
        if name == "hangs":
            time.sleep(600)

    return run


def test_a_bad_part_ends_as_a_sentence_and_the_next_one_has_a_new_process() -> None:
    worker, seen, notes = PartWorker(odd_parts, grace=0.0), [], []
    try:
        for name in ("fine", "fails", "dies", "fine", "hangs", "fine"):
            # Starting a process may take long; what hangs runs in one that is started.
            limit = 5 if name == "hangs" else 300
            notes.append(worker.run(name, limit, seen.append))
    finally:
        worker.close()
    assert [row["ran"] for row in seen] == [1, 2, 1, 1, 2, 1]
    assert notes == [
        "",
        "This part failed (RuntimeError: no kernel); the rows here were reached before.",
        DIED,
        "",
        "This part was stopped at its limit of 5 s; the rows here were reached before.",
        "",
    ]


def test_what_was_reached_is_saved_after_each_row(tmp_path: Path) -> None:
    begin, end = markers("cases")
    document, path = tmp_path / "page.md", tmp_path / "numbers.json"
    document.write_text(f"# Page\n\n{begin}{end}\n", encoding="utf-8")
    content = {"device": "a card", "torch": "2", "date": "today", "parts": {}}
    report = gpu_day.Report(path, document, content)
    report.begin("cases")
    report.add("cases", {"case": "one", "stock peak MiB": float("nan")})
    assert json.loads(path.read_text())["parts"]["cases"]["rows"] == [
        {"case": "one", "stock peak MiB": None}
    ]
    assert "| one | – |" in document.read_text(encoding="utf-8")
    report.end("cases", "This part failed.", 1.0)
    text = document.read_text(encoding="utf-8")
    assert text.index("a card, torch 2, today") < text.index("| one | – |")
    assert text.index("| one | – |") < text.index("This part failed.")
    other = tmp_path / "other.md"
    other.write_text(f"# Page\n\n{begin}{end}\n", encoding="utf-8")
    assert command("--from", str(path), "--document", str(other)).returncode == 0
    assert other.read_text(encoding="utf-8") == text


def test_without_time_each_part_says_so(tmp_path: Path) -> None:
    path = tmp_path / "numbers.json"
    done = command("--device", "cpu", "--tiny", "--minutes", "0.1", "--json", str(path))
    assert done.returncode == 0
    notes = {part["note"] for part in json.loads(path.read_text())["parts"].values()}
    assert notes == {"Not begun: the 0.1 minutes were over."}


# --- compiling within the time ----------------------------------------------------------------


class SlowCompiler:
    """Stands in for a compiler that never ends, and counts its steps."""

    busy, ready, steps = True, 0, 0

    def __call__(self, denoiser: Denoiser, *arguments: Any) -> torch.Tensor:
        self.steps += 1
        return denoiser(*arguments)


def test_work_is_counted_uncompiled_because_a_compiled_step_hides_it() -> None:
    lab = Lab(Setting(device="cpu", tiny=True))
    lab.rivals.compiler = compiler = SlowCompiler()  # type: ignore[assignment]
    after_a_change(lab.rivals, lab.case(), lab.watch, lab.torch_device)
    # One to warm up and one timed, of the first and of the second run.
    assert compiler.steps == 4 * lab.steps


def test_no_step_is_compiled_that_would_not_be_ready_in_time() -> None:
    lab = Lab(Setting(device="cpu", tiny=True, kinds=1))
    first, second = lab.cases
    assert lab.compile(first)
    assert not lab.compile(second)  # of two kinds, only one may be
    lab = Lab(Setting(device="cpu", tiny=True))
    lab.deadline = time.monotonic() + 60
    assert lab.compile(first, reserve=10)
    assert not lab.compile(second, reserve=60)  # no time is left beside the reserve
    lab.rivals.compiler = SlowCompiler()  # type: ignore[assignment]
    lab.deadline = time.monotonic() + 12
    lab._longest = 0.0
    with pytest.raises(Overdue):
        lab.compile(second)


# --- packages ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("installed", "missing", "others"),
    [
        ({}, [], []),
        ({"diffusers": None, "pydantic": None}, ["diffusers>=0.42,<0.43", "pydantic>=2.11,<3"], []),
        ({"torch": "2.11.0+cu130"}, [], []),
        ({"torch": "2.9"}, [], ["torch>=2.11,<3 (2.9 is here)"]),
        ({"transformers": "6.0.1"}, [], ["transformers>=5.23,<6 (6.0.1 is here)"]),
    ],
)
def test_missing_packages_and_other_versions_are_named(
    installed: dict[str, str | None], missing: list[str], others: list[str]
) -> None:
    def version_of(name: str) -> str:
        found = installed.get(name, version(name))
        if found is None:
            raise PackageNotFoundError(name)
        return found

    assert gpu_day.shortfalls(version_of) == (missing, others)


def test_the_page_that_says_how_names_the_packages_that_are_not_needed() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert "(" + ", ".join(f"`{name}`" for name in gpu_day.UNNEEDED) + ")" in text
