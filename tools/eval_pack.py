"""Evaluate the embedded model pack on held-out portraits: `python tools/eval_pack.py`.

All measurements use the product's own code, as for a user's photo. `--only words prompt` selects
parts; the table also shows parts that were measured before. Results and single paintings for the
same weights are cached in `--work`, so that a run can be stopped and resumed; `--fresh` deletes
them, which is needed after a change of code. `--save` writes `measured.json` and the model card's
table. `--sheet 8` writes a contact sheet of eight portraits and their paintings, `--beside 24` one
of drawings and paintings of the same captions at 100 %, into the file of its second argument.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import torch

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from inference import Studio  # noqa: E402
from inference.catalog.catalog import Catalog  # noqa: E402
from inference.errors import ModelUnavailable  # noqa: E402
from tools.evaluation import (  # noqa: E402
    control,
    cost,
    crispness,
    enlarging,
    knobs,
    maps,
    prompt,
    sheet,
    shown,
    styles,
    words,
)
from tools.evaluation.bench import Bench  # noqa: E402
from tools.evaluation.table import Row, markdown, plain, put_into_card  # noqa: E402

PARTS: dict[str, ModuleType] = {
    "words": words,
    "prompt": prompt,
    "control": control,
    "knobs": knobs,
    "styles": styles,
    "enlarging": enlarging,
    "cost": cost,
    "maps": maps,
    "shown": shown,
    "sharpness": crispness,
}
#: Parts that need no painting, with the folder of the only model that they depend on.
DRAWN = {"words": "segmenter", "enlarging": "enlarger"}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--count", type=int, default=500, help="drawings for words and enlarging")
    parser.add_argument("--paintings", type=int, default=500, help="portraits to paint on")
    parser.add_argument("--knob-paintings", type=int, default=120, help="per setting of a knob")
    parser.add_argument("--map-paintings", type=int, default=120, help="per kind of map or picture")
    parser.add_argument("--catalog", type=Path, help="another pack, laid over the built-in one")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--work", type=Path, default=ROOT / ".train" / "eval")
    parser.add_argument("--fresh", action="store_true", help="measure and paint everything anew")
    parser.add_argument("--save", action="store_true", help="write measured.json and the card")
    parser.add_argument("--sheet", type=int, default=0, help="how many portraits to show")
    parser.add_argument(
        "--beside", nargs=2, metavar=("COUNT", "FILE"), help="paintings beside drawings, at 100 %%"
    )
    return parser.parse_args()


def _measured(name: str, bench: Bench, count: int, path: Path) -> dict[str, Any]:
    """Measure a part, or read its results from `path` if it was measured before."""
    if path.exists():
        values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return values
    started = time.monotonic()
    values = {"count": count, **PARTS[name].measure(bench, count)}
    seconds = time.monotonic() - started
    path.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
    print(plain(PARTS[name].rows(values)), f"\n({count} pictures, {seconds:.0f} s)\n", flush=True)
    return values


def _all_measured(args: argparse.Namespace, bench: Bench) -> dict[str, dict[str, Any]]:
    """Results of the selected parts, and of parts measured before on the same weights."""
    counts = dict.fromkeys(PARTS, args.paintings) | dict.fromkeys(DRAWN, args.count)
    counts["knobs"] = args.knob_paintings
    counts["maps"] = counts["shown"] = args.map_paintings
    measured = {}
    for name, count in counts.items():
        weights = bench.pack_digest(DRAWN.get(name, ""))
        path = args.work / f"{name}-{count}-{weights}.json"
        if name in args.only and args.fresh:
            path.unlink(missing_ok=True)
        if name in args.only or path.exists():
            try:
                measured[name] = _measured(name, bench, count, path)
            except ModelUnavailable as error:
                print(f"{name} is not measured: {error}\n", flush=True)
    return measured


def _save(pack: Path, measured: dict[str, dict[str, Any]], rows: list[Row]) -> None:
    """Write the figures, and the table with the number of pictures."""
    text = json.dumps(measured, indent=2, ensure_ascii=False) + "\n"
    (pack / "measured.json").write_text(text, encoding="utf-8")
    counts = ", ".join(f"{name} {values['count']}" for name, values in measured.items())
    put_into_card(pack / "README.md", f"{markdown(rows)}\n\nHeld-out portraits: {counts}.")


def main() -> None:
    """Measure the parts that the arguments select and print one table."""
    args = _arguments()
    torch.set_num_threads(args.threads)
    cv2.setNumThreads(args.threads)
    studio = Studio(catalog=Catalog.load(args.catalog), style="drawn")
    gallery = args.work / f"paintings-{Bench(studio).pack_digest()}"
    if args.fresh:
        shutil.rmtree(gallery, ignore_errors=True)
    bench = Bench(studio, gallery)
    measured = _all_measured(args, bench)
    rows = [row for name, values in measured.items() for row in PARTS[name].rows(values)]
    print(plain(rows))
    if args.sheet:
        sheet.write(bench, args.work / "sheet.png", args.sheet)
        print(f"\n{args.work / 'sheet.png'}")
    if args.beside:
        sheet.write_beside(bench, Path(args.beside[1]), int(args.beside[0]))
    if args.save:
        _save(ROOT / "assets" / "pack", measured, rows)
    failed = [row.what for row in rows if row.passed is False]
    print(f"\n{len(failed)} of {sum(row.passed is not None for row in rows)} goals are missed")


if __name__ == "__main__":
    main()
