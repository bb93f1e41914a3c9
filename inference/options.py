"""How the page is started: what its command takes, and what its surroundings say."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

# Where a password does not stand in the list of processes.
AUTH = "MASQUERADE_AUTH"
EVERYWHERE = ("0.0.0.0", "::")  # noqa: S104 - compared with, not listened on


@dataclass(frozen=True, kw_only=True)
class Options:
    """What was asked for.

    Attributes:
        host, port: where to listen; None for the server's own defaults.
        share: whether to open a public link.
        style: key of the default style.
        catalog: a file of styles, laid over the built-in ones.
        auth: names and passwords, one of which opens the page; () for everybody.
        hosts: names by which the page may be called, beside localhost and plain addresses.
        safety_checker: whether finished pictures are checked; see `safety.py`.
        compiled: whether steps are compiled; None where that pays.
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

    @classmethod
    def read(
        cls,
        description: str,
        arguments: Sequence[str] | None = None,
        environment: Mapping[str, str] = os.environ,
    ) -> Options:
        """Read the command line; what is wrong with it is said, and ends the program."""
        parser = _parser(description, is_space="SPACE_ID" in environment)
        given = parser.parse_args(arguments)
        auth = given.auth or [one for one in (environment.get(AUTH),) if one]
        if not all(_is_account(one) for one in auth):
            parser.error(f"--auth and {AUTH} take user:password")
        host = given.host or environment.get("GRADIO_SERVER_NAME")
        names = [*given.allowed_host, environment.get("SPACE_HOST", "")]
        # Who opens a page to the network calls it by the machine's name.
        machine = socket.gethostname().lower()
        names += [machine, f"{machine}.local"] if host in EVERYWHERE else [host or ""]
        return cls(
            host=given.host,
            port=given.port,
            share=given.share,
            style=given.style,
            catalog=given.catalog,
            auth=tuple((one.partition(":")[0], one.partition(":")[2]) for one in auth),
            hosts=tuple(dict.fromkeys(name.lower() for name in names if name)),
            safety_checker=given.safety_checker,
            compiled=given.compile,
        )


def prepare() -> None:
    """Set this process up as a server: its log, and that it ends tidily when it is told to."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # so that nothing stays on the disk


def _is_account(text: str) -> bool:
    user, _, password = text.partition(":")
    return bool(user and password)


def _parser(description: str, *, is_space: bool) -> argparse.ArgumentParser:
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
    parser.add_argument("--style", help="default style; see inference/catalog.toml")
    parser.add_argument("--catalog", type=Path, help="your own styles, laid over the built-in ones")
    parser.add_argument(
        "--safety-checker", action=argparse.BooleanOptionalAction, default=is_space,
        help="hold back pictures that Stable Diffusion's own checker flags; on in a Space",
    )  # fmt: skip
    parser.add_argument(
        "--compile", action=argparse.BooleanOptionalAction, default=None,
        help="compile the denoising step behind the scenes; on with CUDA",
    )  # fmt: skip
    return parser
