"""Options of the page's server, from the command line and the environment."""

from __future__ import annotations

import argparse
import logging
import math
import os
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from inference.errors import LibraryUnavailable
from inference.library.address import EXAMPLE, Place, Shared, place_of, store_folder

# Environment variable for --auth; unlike an argument, it does not appear in process listings.
AUTH = "MASQUERADE_AUTH"
# Those for --library and --library-files.
LIBRARY, LIBRARY_FILES = "MASQUERADE_LIBRARY", "MASQUERADE_LIBRARY_FILES"
LOOPBACK = frozenset(("localhost", "127.0.0.1", "::1"))
OFF = "off"
EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104 - compared with, not listened on


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of a server.

    Attributes:
        host, port: where to listen; None for Gradio's defaults.
        share: open a public link.
        style: key of the default style.
        catalog: file of styles that are merged over the built-in ones.
        auth: pairs of user name and password for the login; () for open access.
        hosts: host names of the page, beside localhost and IP addresses.
        safety_checker: withhold what the safety checker flags.
        compiled: compile denoising steps; None compiles where it pays.
        library: where jobs and pictures are kept; None keeps none.
        library_size: most gigabytes of the library.
        library_days: days for which a job is kept; None for ever.
        idempotent: whether equal REST requests within a day give one prompt.
        callback_hosts: the only hosts that callbacks may go to; () for those of the internet.
    """

    host: str | None = None
    port: int | None = None
    share: bool = False
    style: str | None = None
    catalog: Path | None = None
    auth: tuple[tuple[str, str], ...] = ()
    hosts: tuple[str, ...] = ()
    safety_checker: bool = False
    compiled: bool | None = None
    library: Place | None = None
    library_size: float = 10.0
    library_days: float | None = None
    idempotent: bool = False
    callback_hosts: tuple[str, ...] = ()

    @property
    def is_shared(self) -> bool:
        """Whether others than the user of this machine can reach the page."""
        return self.share or not set(self.hosts) <= LOOPBACK

    @classmethod
    def read(
        cls,
        description: str,
        arguments: Sequence[str] | None = None,
        environment: Mapping[str, str] = os.environ,
    ) -> Options:
        """Parse the command line; an error in it is printed and ends the program."""
        parser = _parser(description, environment)
        given = parser.parse_args(arguments)
        try:
            library = None if given.library == OFF else place_of(given.library, given.library_files)
            if isinstance(library, Shared):
                store_folder(library.files)  # it is needed
        except LibraryUnavailable as error:
            parser.error(str(error))
        auth = given.auth or [one for one in (environment.get(AUTH),) if one]
        if not all(_is_account(one) for one in auth):
            parser.error(f"--auth and {AUTH} take user:password")
        host = given.host or environment.get("GRADIO_SERVER_NAME")
        names = [*given.allowed_host, environment.get("SPACE_HOST", "")]
        # Browsers on the local network address the server by the machine's name.
        machine = socket.gethostname().lower()
        names += [machine, f"{machine}.local"] if host in EVERYWHERE else [host or ""]
        return cls(
            host=host,
            port=given.port,
            share=given.share or environment.get("GRADIO_SHARE", "").lower() == "true",
            style=given.style,
            catalog=given.catalog,
            auth=tuple((one.partition(":")[0], one.partition(":")[2]) for one in auth),
            hosts=tuple(dict.fromkeys(name.lower() for name in names if name)),
            safety_checker=given.safety_checker,
            compiled=given.compile,
            library=library,
            library_size=given.library_size,
            library_days=given.library_days,
            idempotent=given.idempotent,
            callback_hosts=tuple(name.lower() for name in given.callback_host),
        )


def prepare_process() -> None:
    """Set up logging, and a clean exit on SIGTERM."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # runs the cleanup of temporary files


def default_library() -> Path:
    """The folder of the library in the user's data directory."""
    return platformdirs.user_data_path("masquerade", appauthor=False) / "library"


def _above_zero(text: str) -> float:
    value = float(text)
    if not (value > 0 and math.isfinite(value)):
        raise argparse.ArgumentTypeError("takes a number above 0")
    return value


def _escaped(text: str) -> str:
    """A text as argparse's help takes it."""
    return text.replace("%", "%%")


def _is_account(text: str) -> bool:
    user, _, password = text.partition(":")
    return bool(user and password)


def _parser(description: str, environment: Mapping[str, str]) -> argparse.ArgumentParser:
    is_space = "SPACE_ID" in environment
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--host", help="address to listen on; only this machine by default")
    parser.add_argument("--port", type=int, help="port to listen on; 7860 by default")
    parser.add_argument("--share", action="store_true", help="open a public Gradio link")
    parser.add_argument(
        "--auth", action="append", metavar="USER:PASSWORD",
        help=f"ask for a name and a password; may be given again; {AUTH} hides it",
    )  # fmt: skip
    parser.add_argument(
        "--allowed-host", action="append", default=[], metavar="NAME",
        help="a name by which the page may be called, such as that of a proxy; may be given again",
    )  # fmt: skip
    parser.add_argument("--style", help="default style; see inference/catalog/catalog.toml")
    parser.add_argument("--catalog", type=Path, help="your own styles, laid over the built-in ones")
    parser.add_argument(
        "--safety-checker", action=argparse.BooleanOptionalAction, default=is_space,
        help="hold back pictures that Stable Diffusion's own checker flags; on in a Space",
    )  # fmt: skip
    parser.add_argument(
        "--compile", action=argparse.BooleanOptionalAction, default=None,
        help="compile the denoising step behind the scenes; on with CUDA",
    )  # fmt: skip
    _add_library(parser, environment)
    _add_rest(parser)
    return parser


def _add_library(parser: argparse.ArgumentParser, environment: Mapping[str, str]) -> None:
    default = OFF if "SPACE_ID" in environment else str(default_library())
    # Help shows this default and never the environment's, which may have a password in it.
    parser.add_argument(
        "--library", default=environment.get(LIBRARY) or default, metavar="DIR",
        help="folder in which jobs and pictures are kept, or «off», or a database for many "
        f"machines, such as {EXAMPLE}; {LIBRARY} hides it; here {_escaped(default)} by default",
    )  # fmt: skip
    parser.add_argument(
        "--library-files", default=environment.get(LIBRARY_FILES, ""), metavar="URL",
        help=f"where a library in a database has its pictures: s3://bucket/folder, or a folder "
        f"that all machines share; {LIBRARY_FILES} is the same",
    )  # fmt: skip
    parser.add_argument(
        "--library-size", type=_above_zero, default=Options.library_size, metavar="GB",
        help="gigabytes of the library; beyond that, the oldest go first, but none with a star; "
        "%(default)g by default",
    )  # fmt: skip
    parser.add_argument(
        "--library-days", type=_above_zero, metavar="DAYS",
        help="days for which a job is kept, unless it has a star; for ever by default",
    )  # fmt: skip


def _add_rest(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--idempotent", action="store_true",
        help="a REST request with the same attributes gives the same prompt for a day",
    )  # fmt: skip
    parser.add_argument(
        "--callback-host", action="append", default=[], metavar="NAME[:PORT]",
        help="a host that callbacks of REST may go to, and no other; may be a private one and be "
        "given again; by default every host of the internet",
    )  # fmt: skip
