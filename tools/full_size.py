"""Every full-size style, control, adapter and finishing stage once: `tools/full_size.py FOLDER`.

Makes the repositories of the family `sd15` in FOLDER, with the published architectures and random
weights in half precision (6 GB; what is there already is taken), serves them in the model hub's
protocol on this machine, and paints a small picture for each row of the table, in a process of its
own. So it tells whether everything loads, fits together and fits into memory, and not how it looks.
Takes 20 GB of disk more for the model cache, which is emptied before and after, and 20 to 40
minutes on two cores. Results are kept in FOLDER, row by row: `--only` renews single ones.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from inference.catalog.catalog import Catalog  # noqa: E402
from tests.support.hub_server import HubServer  # noqa: E402
from tools.evaluation.table import put_between  # noqa: E402
from tools.full import repositories, table  # noqa: E402
from tools.full.measuring import Bench, Measured, measure_all, read  # noqa: E402
from tools.full.published import FULL, TINY  # noqa: E402
from tools.full.rows import Row, rows_of  # noqa: E402
from tools.full.shelf import Shelf  # noqa: E402

FAMILY = "sd15"
CATALOG = Catalog.load()
PHOTO = ROOT / "assets" / "examples" / "astronaut.png"
DOCUMENT = ROOT / "docs" / "performance.md"
# Sides of the square with the pixel count of small pictures.
SMALL, TINIEST = 256, 64


def arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    """The command's options."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="of the repositories, the cache and the results")
    parser.add_argument(
        "--only", nargs="+", metavar="ROW", choices=[row.key for row in rows_of(CATALOG, FAMILY)],
        help="only these rows, in this order; see --list",
    )  # fmt: skip
    parser.add_argument("--list", action="store_true", help="print the names of the rows and stop")
    parser.add_argument("--save", action="store_true", help=f"put the table into {DOCUMENT.name}")
    parser.add_argument("--photo", type=Path, default=PHOTO, help="with a face above its middle")
    parser.add_argument(
        "--vocabulary", type=Path, metavar="FILE",
        help="CLIP's bpe_simple_vocab_16e6.txt.gz, which the package open_clip_torch has; without "
        "it words are split into bytes",
    )  # fmt: skip
    parser.add_argument(
        "--room", type=float, default=0, metavar="GB",
        help="wait before each row until so much memory is available",
    )  # fmt: skip
    parser.add_argument("--tiny", action="store_true", help="tiny networks of the same classes")
    return parser.parse_args(given)


def main(given: Sequence[str] | None = None) -> int:
    """Make, serve, try and tell; returns 0 if every row that was tried is fine."""
    options = arguments(given)
    catalog = CATALOG
    rows = rows_of(catalog, FAMILY)
    if options.list:
        print("\n".join(f"{row.key:20} {row.title}" for row in rows))
        return 0
    by_key = {row.key: row for row in rows}
    chosen = [by_key[key] for key in options.only or by_key]
    folder: Path = options.folder / ("tiny" if options.tiny else "full")
    kept, about = folder / "results.json", table.conditions()
    shelf = Shelf(folder / "networks", TINY if options.tiny else FULL, options.vocabulary)
    repositories.make(catalog, FAMILY, shelf, folder / "repositories")
    with HubServer() as hub:
        repositories.serve(catalog, FAMILY, folder / "repositories", hub)
        bench = Bench(
            hub=hub.url,
            cache=_empty(folder / "cache"),
            photo=options.photo.resolve(),
            small=_small_catalog(folder, catalog, TINIEST if options.tiny else SMALL),
            room=int(options.room * 1e9),
        )
        measure_all(bench, chosen, kept, _tell)
    shutil.rmtree(folder / "cache")
    text = table.markdown(rows, read(kept), about)
    print(text)
    if options.save:
        put_between(DOCUMENT, text, table.START, table.END)
    found = read(kept)
    return int(any(found[row.key].outcome.problem for row in chosen if not row.lacks))


def _tell(row: Row, measured: Measured) -> None:
    print(table.line(row, measured), file=sys.stderr, flush=True)


def _empty(folder: Path) -> Path:
    if folder.is_dir():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    return folder


def _small_catalog(folder: Path, catalog: Catalog, side: int) -> Path:
    """Write a catalog whose styles of the family paint small pictures."""
    styles = (f"[styles.{style.key}]\nnative_size = {side}\n" for style in catalog.styles(FAMILY))
    file = folder / "small.toml"
    file.write_text("".join(styles), encoding="utf-8")
    return file


if __name__ == "__main__":
    sys.exit(main())
