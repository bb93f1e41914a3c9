"""What a server runs behind the page: temporary files, the library, jobs, and its middleware."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from inference.library.library import Library
from inference.serving.guard import Guard
from inference.serving.http_api import ENDPOINTS
from inference.serving.job_queue import JobQueue
from inference.serving.job_records import opened_library
from inference.serving.job_service import JobService
from inference.serving.options import Options
from inference.serving.owners import Owners
from inference.serving.temporary_files import TemporaryFiles, temporary_files
from inference.studio.studio import Studio

#: Classes of ASGI middleware with their arguments, the outermost first.
Middleware = list[tuple[type, tuple[()], dict[str, Any]]]


@dataclass(frozen=True, kw_only=True)
class Backend:
    """The parts of a running server without its page.

    Attributes:
        files: temporary files.
        jobs: runs requests; it has the library.
        queue: paints what is queued in the library; None without one.
        hosts: names by which the server may be called; may be extended.
        middleware: of the server's application.
    """

    files: TemporaryFiles
    jobs: JobService
    queue: JobQueue | None
    hosts: set[str | None]
    middleware: Middleware

    def open(self, share_url: str | None) -> None:
        """Begin to serve: the page's own files are written, and a shared link's name is known."""
        self.hosts.add(urlsplit(share_url or "").hostname)
        self.files.start_sweeping()


@contextmanager
def running_queue(jobs: JobService, library: Library) -> Iterator[JobQueue]:
    """Context in which the library's queue is painted."""
    queue = JobQueue(jobs, library)
    queue.start()
    try:
        yield queue
    finally:
        queue.stop()


@contextmanager
def backend(studio: Studio, options: Options, folder: Path | None = None) -> Iterator[Backend]:
    """Context of a server, whose temporary files are in `folder` or where Gradio wants them."""
    hosts: set[str | None] = {*options.hosts}
    owners = Owners(options)
    with (
        temporary_files("GRADIO_TEMP_DIR", folder) as files,
        opened_library(options) as library,
        ExitStack() as work,
    ):
        jobs = JobService(studio, files, library, owners)
        queue = None if library is None else work.enter_context(running_queue(jobs, library))
        yield Backend(
            files=files,
            jobs=jobs,
            queue=queue,
            hosts=hosts,
            middleware=[
                (Guard, (), {"hosts": hosts, "endpoints": ENDPOINTS}),
                *owners.middleware(),
            ],
        )
