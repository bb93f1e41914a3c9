"""Runs the parts of a measurement in a process of their own, each with a limit in seconds.

A part that fails, hangs, or crashes its process ends as a sentence, and the next part gets a new
process, because a device may be unusable after an error.
"""

from __future__ import annotations

import multiprocessing
import time
import traceback
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from typing import TypeAlias

from tools.speed.tables import Row

# Runs a part by its name, until a time by `time.monotonic`.
RunPart: TypeAlias = Callable[[str, float], Iterator[Row]]
# Makes the former, in the new process; it is sent there by its name and arguments.
Prepare: TypeAlias = Callable[[], RunPart]

STOPPED = "This part was stopped at its limit of {0:.0f} s; the rows here were reached before."
DIED = "This part's process ended unexpectedly; the rows here were reached before."
FAILED = "This part failed ({0}); the rows here were reached before."


class PartWorker:
    """One process for one part after the other; started with the first, replaced after a fault.

    Args:
        prepare: makes what runs the parts; a change holds from the next process on.
        grace: seconds beyond its limit after which a part is stopped by force.
    """

    def __init__(self, prepare: Prepare, grace: float = 15.0) -> None:
        self.prepare = prepare
        self._grace = grace
        self._process: multiprocessing.process.BaseProcess | None = None
        self._pipe: Connection | None = None

    def run(self, part: str, limit: float, keep: Callable[[Row], None]) -> str:
        """Run a part.

        Args:
            part: its name.
            limit: its seconds, the start of the process included.
            keep: is given each row as soon as it is known.

        Returns:
            A sentence that says why the part is not complete; "" if it is.
        """
        ends = time.monotonic() + limit
        pipe = self._started()
        try:
            pipe.send((part, ends))
            while pipe.poll(max(0.0, ends + self._grace - time.monotonic())):
                row, note = pipe.recv()
                if row is not None:
                    keep(row)
                    continue
                if note:
                    self.close()
                return str(note)
        except (EOFError, OSError):
            self.close()
            return DIED
        self.close()
        return STOPPED.format(limit)

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.join()
        if self._pipe is not None:
            self._pipe.close()
        self._process = self._pipe = None

    def _started(self) -> Connection:
        """The connection to the process, which is started if there is none."""
        if self._pipe is None:
            fresh = multiprocessing.get_context("spawn")
            self._pipe, theirs = fresh.Pipe()
            self._process = fresh.Process(target=_serve, args=(theirs, self.prepare))
            self._process.start()
            theirs.close()
        return self._pipe


def _serve(pipe: Connection, prepare: Prepare) -> None:
    """Answer requests for parts until the other end is closed; the process's main function."""
    run: RunPart | None = None
    while True:
        try:
            part, ends = pipe.recv()
        except EOFError:
            return
        try:
            run = run or prepare()
            for row in run(part, ends):
                pipe.send((row, ""))
            pipe.send((None, ""))
        except Exception as error:  # noqa: BLE001 - a part's failure is a sentence in its table
            traceback.print_exc()
            first = str(error).strip().partition("\n")[0]
            pipe.send((None, FAILED.format(f"{type(error).__name__}: {first}")))
