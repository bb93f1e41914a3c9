"""Measures on a GPU what only a GPU can tell: `python tools/gpu_day.py`, 12 minutes.

All cases beside the stock pipeline, compiling, several pictures at once, three checkpoints in a
row, IP-Adapter, LoRA, memory policies and words, with full-size models of random weights that are
made on the device. Each part has a limit of its own; one that fails is a sentence in its table.
After each row the numbers (`--json`) and the tables of docs/performance.md are saved, so that a
run which is cut off keeps what it reached. `--device cpu --tiny` tries the tool itself anywhere.
"""

from __future__ import annotations

import argparse
import json
import platform
import re
import signal
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tools.speed.gpu_parts import PARTS, PartRunner  # noqa: E402
from tools.speed.part_worker import PartWorker  # noqa: E402
from tools.speed.tables import Row, narrowed, replaced, told  # noqa: E402

DOCUMENT = ROOT / "docs" / "performance.md"
# Of requirements.txt, what only the page and the reading of photographs import.
UNNEEDED = ("gradio", "ai-edge-litert", "httpx", "httpcore")
LEAST = 15.0  # seconds without which no part is begun


def arguments(given: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=12, help="for all parts together; 12")
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--tiny", action="store_true", help="small models: tries the tool itself")
    parser.add_argument("--only", choices=PARTS, nargs="+", default=[*PARTS], help="these parts")
    parser.add_argument("--json", type=Path, default=Path("gpu_day.json"), help="the numbers")
    parser.add_argument(
        "--document", type=Path,
        help="whose tables are replaced; docs/performance.md, with --tiny or a CPU none",
    )  # fmt: skip
    parser.add_argument(
        "--from", type=Path, dest="source", help="measure nothing; write the tables of this --json"
    )
    options = parser.parse_args(given)
    if options.document is None and (
        options.source or not (options.tiny or options.device == "cpu")
    ):
        options.document = DOCUMENT
    return options


class Report:
    """The numbers of a run, saved as JSON and as the tables of a document after each change."""

    def __init__(self, path: Path | None, document: Path | None, content: dict[str, Any]) -> None:
        self._path, self._document, self.content = path, document, content

    def begin(self, name: str) -> None:
        """Add a part without rows."""
        self.content["parts"][name] = {"rows": [], "note": "", "seconds": 0.0}

    def add(self, name: str, row: Row) -> None:
        """Add a row to a part."""
        # JSON has no NaN, which stands for what this device cannot tell.
        self.content["parts"][name]["rows"].append(
            {key: None if value != value else value for key, value in row.items()}
        )
        self.save()

    def end(self, name: str, note: str, seconds: float) -> None:
        """Complete a part, with a sentence where it is not whole."""
        self.content["parts"][name] |= {"note": note, "seconds": round(seconds, 1)}
        self.save()

    def compiled(self) -> int:
        """The number of kinds of steps that were compiled."""
        rows = self.content["parts"]["compiling"]["rows"]
        return sum(1 for row in rows if not isinstance(row["compiled s"], str))

    def save(self) -> None:
        """Write the numbers, and the tables of the parts so far."""
        if self._path is not None:
            self._path.write_text(json.dumps(self.content, indent=2) + "\n", encoding="utf-8")
        if self._document is not None:
            text = self._document.read_text(encoding="utf-8")
            for name in self.content["parts"]:
                text = replaced(text, name, self.table(name))
            self._document.write_text(text, encoding="utf-8")

    def table(self, name: str) -> str:
        """A part's table with its conditions, and its sentence."""
        part, content = self.content["parts"][name], self.content
        columns = PARTS[name].columns
        rows = [narrowed(row, columns) if columns else row for row in part["rows"]]
        where = f"{content['device']}, torch {content['torch']}, {content['date']}:"
        return "\n\n".join(filter(None, (where, told(rows).strip(), part["note"])))


def shortfalls(version_of: Callable[[str], str] = version) -> tuple[list[str], list[str]]:
    """Requirements that are missing, and those of which another version is here.

    Args:
        version_of: the installed version of a package; raises `PackageNotFoundError`.
    """
    missing, others = [], []
    for line in (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines():
        wanted = re.match(r"([\w-]+)>=([\d.]+),<([\d.]+)", line)
        if wanted is None or wanted[1] in UNNEEDED:
            continue
        try:
            found = version_of(wanted[1])
        except PackageNotFoundError:
            missing.append(wanted[0])
            continue
        if not _numbers(wanted[2]) <= _numbers(found) < _numbers(wanted[3]):
            others.append(f"{wanted[0]} ({found} is here)")
    return missing, others


def _numbers(text: str) -> tuple[int, ...]:
    """`2.13.0+cu130` → (2, 13, 0)."""
    return tuple(map(int, re.findall(r"\d+", text.split("+")[0])))


def conditions(options: argparse.Namespace, others: list[str]) -> dict[str, Any]:
    """Where and with what the numbers are measured."""
    import torch

    if options.device == "cuda" and not torch.cuda.is_available():
        sys.exit(
            "PyTorch sees no CUDA device here: --device cpu --tiny tries the tool without one."
        )
    name = torch.cuda.get_device_name() if options.device == "cuda" else "CPU"
    return {
        "device": f"{name}, tiny models" if options.tiny else name,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "other versions than required": others,
        "parts": {},
    }


def measure(options: argparse.Namespace, report: Report, ends: float) -> None:
    """Run the parts one after the other until `ends`, by `time.monotonic`."""
    prepare = partial(PartRunner, device=options.device, tiny=options.tiny)
    worker = PartWorker(prepare)
    try:
        for name in [one for one in PARTS if one in options.only]:
            report.begin(name)
            began = time.monotonic()
            limit = min(PARTS[name].limit, ends - began)
            note = f"Not begun: the {options.minutes:g} minutes were over."
            if limit >= LEAST:
                note = worker.run(name, limit, lambda row, name=name: report.add(name, row))
            if note and name == "compiling":  # compile no more than what went well
                worker.prepare = partial(prepare, kinds=report.compiled())
            report.end(name, note, time.monotonic() - began)
            print(
                f"\n## {name}, {time.monotonic() - began:.0f} s\n\n{report.table(name)}", flush=True
            )
    finally:
        worker.close()


def main() -> None:
    """Measure, save after each row, and print each part's table."""
    began = time.monotonic()
    options = arguments()
    if options.source is not None:
        saved = json.loads(options.source.read_text(encoding="utf-8"))
        Report(None, options.document, saved).save()
        return
    missing, others = shortfalls()
    if missing:
        sys.exit(
            f"These packages are missing: {', '.join(missing)}. Install them, then run it again."
        )
    if others:
        print(f"Other versions than required are here: {', '.join(others)}.", flush=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("Cut off; what was reached is saved."))
    report = Report(options.json, options.document, conditions(options, others))
    report.save()
    measure(options, report, began + 60 * options.minutes)


if __name__ == "__main__":
    main()
