"""Out-of-memory fallback: runs a job a second time in smaller pieces."""

from __future__ import annotations

import gc
from collections.abc import Generator
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

from inference.errors import OutOfMemory
from inference.picture.progress import Progress
from inference.picture.result import Result
from inference.runtime.library_errors import translated_errors

if TYPE_CHECKING:
    from inference.studio.job import Job

SMALLER = "too little memory for all at once, so in smaller pieces"


def with_retry(job: Job) -> Generator[Progress | Result]:
    """Run a job; if memory runs out, run it again with `thrifty`, which progress and result note.

    Raises:
        OutOfMemory: memory ran out the second time too.
        MasqueradeError: as `Job.run`.
    """
    try:
        with translated_errors(), closing(job.run()) as events:
            yield from events
            return
    except OutOfMemory:
        pass  # retried outside the handler: the error's frames keep the job's tensors alive
    gc.collect()
    job.models.checkpoints.release()
    with translated_errors(), closing(replace(job, thrifty=True).run()) as events:
        for event in events:
            if isinstance(event, Result):
                yield replace(event, thrifty=True)
            else:
                yield replace(event, detail=", ".join(filter(None, (event.detail, SMALLER))))
