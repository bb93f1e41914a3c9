"""Rates of a shared library: `python tools/measure_store.py --library postgresql://…`.

Processes that each have a connection of their own accept, claim, renew and finish jobs as fast as
they can, and look into an empty queue. Prints, for each number of processes, the milliseconds of
one call and the calls a second of all together; where the database runs on this machine, also the
milliseconds of processor time that its server takes for a call, which limit what it can serve.
"""

from __future__ import annotations

import argparse
import io
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from inference.library.address import Place, SharedFolder, place_of  # noqa: E402
from inference.library.library import Library  # noqa: E402
from inference.library.limits import Limits  # noqa: E402
from inference.library.records import (  # noqa: E402
    KeptPicture,
    NewJob,
    Origin,
    Outcome,
    Search,
)
from inference.library.stored_files import files_at  # noqa: E402
from inference.recipe.recipe import Recipe  # noqa: E402

CALLS = ("accept", "claim", "renew", "finish", "read", "list", "poll")
# Of a photo as phones send it, of a finished picture as a PNG of 1024×1280, and of its thumbnail.
PHOTO_BYTES, PICTURE_BYTES, THUMBNAIL_BYTES = 700_000, 1_800_000, 20_000
RECIPE = Recipe(prompt="an astronaut in a garden on a spring day", style="drawn", seed=7)
SERVER = "postgres"


def file_of(size: int, number: int) -> bytes:
    """Bytes that begin like a PNG, another for each number."""
    small = io.BytesIO()
    Image.new("RGB", (8, 8)).save(small, "PNG")
    head = small.getvalue() + number.to_bytes(16, "little")
    return head + np.random.default_rng(number).bytes(max(0, size - len(head)))


def job_of(number: int, scale: float) -> NewJob:
    """A job with a photo of its own."""
    photo = file_of(round(PHOTO_BYTES * scale), number)
    return NewJob(owner="ann", origin=Origin.REST, recipe=RECIPE, photo=photo)


def outcome_of(number: int, scale: float) -> Outcome:
    """What the painting of a job gives."""
    picture = file_of(round(PICTURE_BYTES * scale), 10**9 + number)
    thumbnail = file_of(round(THUMBNAIL_BYTES * scale), 2 * 10**9 + number)
    kept = KeptPicture(file=picture, thumbnail=thumbnail)
    return Outcome(recipe=RECIPE, pictures=(kept,))


def server_seconds() -> float:
    """Processor time of the database's processes on this machine; 0 where there are none."""
    seconds = 0.0
    for one in psutil.process_iter(["name"]):
        try:
            if one.info["name"] == SERVER:
                seconds += sum(one.cpu_times()[:2])
        except psutil.Error:
            continue
    return seconds


def works(library: Library, count: int, mine: int, scale: float) -> Iterator[tuple[str, Any]]:
    """Each kind of call with its work, in an order in which each has what it needs."""
    jobs = [job_of(mine * 10**6 + k, scale) for k in range(count)]
    ends = [outcome_of(mine * 10**6 + k, scale) for k in range(count)]
    claimed: list[int] = []

    def claim(_: int) -> None:
        job = library.claim()
        assert job is not None
        claimed.append(job.id)

    yield "accept", lambda k: library.accept(jobs[k])
    yield "claim", claim
    yield "renew", lambda k: library.heartbeat(claimed[k])
    yield "finish", lambda k: library.finish(claimed[k], ends[k])
    yield "read", lambda k: library.find(claimed[k])
    yield "list", lambda _: library.search(Search(owner="ann", limit=20))
    yield "poll", lambda _: library.claim()


def worker(place: Place, count: int, mine: int, scale: float, together: Any, told: Any) -> None:
    """Run all calls in this process, each kind at the same time as the other processes."""
    library = Library(place, Limits(size=None))
    for name, call in works(library, count, mine, scale):
        together.wait()
        seconds = [timed(call, k) for k in range(count)]
        told.put((name, seconds))
        together.wait()
    library.close()


def timed(call: Callable[[int], object], number: int) -> float:
    """Seconds of a call."""
    began = time.perf_counter()
    call(number)
    return time.perf_counter() - began


def measure(place: Place, processes: int, count: int, scale: float) -> list[dict[str, Any]]:
    """Run the processes; one row for each kind of call."""
    spawn = multiprocessing.get_context("spawn")
    together, told = spawn.Barrier(processes + 1), spawn.Queue()
    running = [
        spawn.Process(target=worker, args=(place, count, k, scale, together, told))
        for k in range(processes)
    ]
    for one in running:
        one.start()
    rows = []
    for name in CALLS:
        together.wait()
        began, server = time.perf_counter(), server_seconds()
        seconds = [one for _ in running for one in told.get()[1]]
        took, server = time.perf_counter() - began, server_seconds() - server
        row: dict[str, Any] = {"call": name, "processes": processes}
        row["ms"] = 1000 * statistics.median(seconds)
        row["a second"] = len(seconds) / took
        row["server ms"] = 1000 * server / len(seconds)
        rows.append(row)
        together.wait()
    for one in running:
        one.join()
    return rows


def picture_writes(files: str, count: int) -> float:
    """Milliseconds to write a picture into the store of files, median."""
    store = files_at(files)
    pictures = [file_of(PICTURE_BYTES, 3 * 10**9 + k) for k in range(count)]
    names: list[str] = []
    seconds = [timed(lambda k: names.append(store.write(pictures[k])), k) for k in range(count)]
    for name in names:
        store.delete(name)
    return 1000 * statistics.median(seconds)


@contextmanager
def place_for(options: argparse.Namespace) -> Iterator[Place]:
    """The library that is measured."""
    with tempfile.TemporaryDirectory() as folder:
        files = options.library_files or str(Path(folder) / "files")
        if options.library:
            yield place_of(options.library, files)
        else:
            yield SharedFolder(path=Path(folder) / "library")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--library", default="", help="an empty database; by default SQLite in a new folder"
    )
    parser.add_argument("--library-files", default="", help="by default a new folder")
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--count", type=int, default=100, help="calls of each kind and process")
    parser.add_argument("--scale", type=float, default=1.0, help="size of the files, 1 as in life")
    options = parser.parse_args()
    with place_for(options) as place:
        rows = [
            row
            for processes in options.processes
            for row in measure(place, processes, options.count, options.scale)
        ]
        print(f"{os.cpu_count()} cores; files of {options.scale:g} times their usual size\n")
        print("| call | processes | ms | calls a second | ms of the server's processors |")
        print("|---|---|---|---|---|")
        for row in rows:
            server = f"{row['server ms']:.2f}" if row["server ms"] else ""
            print(
                f"| {row['call']} | {row['processes']} | {row['ms']:.2f} | {row['a second']:.0f} | "
                f"{server} |"
            )
        with tempfile.TemporaryDirectory() as folder:
            took = picture_writes(options.library_files or folder, 20)
        print(f"\nA picture of {PICTURE_BYTES / 1e6:.1f} MB is written in {took:.1f} ms.")


if __name__ == "__main__":
    main()
