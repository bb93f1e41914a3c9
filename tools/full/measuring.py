"""Runs the rows of the full-size table, each in a process of its own, and keeps what they took."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

from tools.full.rows import Row
from tools.full.trial import Outcome, Task

ROOT = Path(__file__).resolve().parents[2]
# Seconds after which a trial is given up.
_PATIENCE_S = 1800.0
# Seconds between two looks at the memory.
_PAUSE_S = 5.0
# A user's own settings, which would change what is measured.
_UNSET = ("HF_HUB_OFFLINE", "HF_TOKEN", "HF_HOME", "HF_HUB_ENABLE_HF_TRANSFER")


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A row that was tried: bytes that it added to the model cache, and its outcome."""

    downloaded: int
    outcome: Outcome


@dataclass(frozen=True, kw_only=True)
class Bench:
    """Where and with what trials run.

    Attributes:
        hub: address of the model hub.
        cache: folder of the model cache.
        photo: path of the photo.
        small: path of a catalog that paints at the small size.
        room: bytes of main memory that must be available before a trial begins.
    """

    hub: str
    cache: Path
    photo: Path
    small: Path
    room: int = 0

    def measure(self, row: Row) -> Measured:
        """Try a row; its failure is told in its outcome."""
        if row.lacks:
            return Measured(downloaded=0, outcome=Outcome(problem=f"{row.lacks} is not installed"))
        self._wait_for_room()
        before = _bytes_in(self.cache)
        outcome = _in_process(self._task(row), self._environment())
        return Measured(downloaded=_bytes_in(self.cache) - before, outcome=outcome)

    def _task(self, row: Row) -> Task:
        return Task(
            style=row.style,
            photo=str(self.photo),
            recipe=dict(row.recipe),
            catalog=str(self.small) if row.is_small else "",
            checks=row.checks,
        )

    def _environment(self) -> Mapping[str, str]:
        kept = {name: value for name, value in os.environ.items() if name not in _UNSET}
        return kept | {"HF_ENDPOINT": self.hub, "HF_HUB_CACHE": str(self.cache)}

    def _wait_for_room(self) -> None:
        while psutil.virtual_memory().available < self.room:
            time.sleep(_PAUSE_S)


def measure_all(
    bench: Bench, rows: Sequence[Row], kept: Path, told: Callable[[Row, Measured], None]
) -> None:
    """Try rows one after the other; each is written to the file `kept` at once, by its key."""
    for row in rows:
        measured = bench.measure(row)
        found = {**_read(kept), row.key: asdict(measured)}
        kept.write_text(json.dumps(found, indent=1), encoding="utf-8")
        told(row, measured)


def read(kept: Path) -> dict[str, Measured]:
    """What was measured until now, by the keys of the rows."""
    return {
        key: Measured(downloaded=one["downloaded"], outcome=_outcome(one["outcome"]))
        for key, one in _read(kept).items()
    }


def _outcome(found: dict[str, Any]) -> Outcome:
    """An outcome as it was before it was JSON, which has no tuples."""
    width, height = found["size"]
    return Outcome(**{**found, "size": (width, height)})


def _read(kept: Path) -> dict[str, dict[str, Any]]:
    if not kept.is_file():
        return {}
    found: dict[str, dict[str, Any]] = json.loads(kept.read_text(encoding="utf-8"))
    return found


def _in_process(task: Task, environment: Mapping[str, str]) -> Outcome:
    command = [sys.executable, "-m", "tools.full.trial"]
    try:
        done = subprocess.run(
            command, input=json.dumps(asdict(task)), capture_output=True, text=True, cwd=ROOT,
            env=dict(environment), timeout=_PATIENCE_S, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return Outcome(problem=f"it was not done after {_PATIENCE_S:.0f} s")
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["nothing was said"])[-1]
        return Outcome(problem=f"its process ended with {done.returncode}: {last}")
    return _outcome(json.loads(done.stdout.splitlines()[-1]))


def _bytes_in(folder: Path) -> int:
    """Bytes of all files in a folder; links count nothing."""
    files = (path for path in folder.rglob("*") if not path.is_symlink() and path.is_file())
    return sum(path.stat().st_size for path in files)
