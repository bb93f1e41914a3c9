"""Tests of the ways to install: make, plain commands, Docker, a Space; they do the same."""

from __future__ import annotations

import json
import os
import platform
import re
import shlex
import shutil
import socket
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from importlib.metadata import requires, version
from pathlib import Path
from urllib.request import urlopen

import pytest

from inference.catalog.hub_client import cache_folder
from inference.serving.options import Options
from tests.test_architecture import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
INSTALL = (ROOT / "docs" / "install.md").read_text(encoding="utf-8")
TESTED = ("3.11", "3.12", "3.13")
MAKES_OWN = ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "PYTHON", "VENV")
REQUIREMENTS = ("requirements.txt", "requirements-dev.txt", "requirements-ray.txt")
PACKAGES = ["-m", "pip", "install", "-r", "requirements.txt", "-c", "constraints.txt"]


def lines_of(name: str) -> list[str]:
    """The requirements in a file, without comments."""
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    return [bare for line in lines if (bare := line.split("#")[0].strip())]


PINS = dict(line.split("==") for line in lines_of("constraints.txt"))


def spelled(name: str) -> str:
    """A package's name as indexes spell it."""
    return re.sub(r"[-_.]+", "-", name).lower()


# --- make and the plain commands ------------------------------------------------------------


def made(*variables: str) -> list[list[str]]:
    """The commands of `make app` in a fresh checkout, without the options of a `make` around us."""
    own = {name: text for name, text in os.environ.items() if name not in MAKES_OWN}
    done = subprocess.run(
        ["make", "--no-print-directory", "-n", "app", "VENV=.venv-of-nobody", *variables],
        cwd=ROOT, env=own, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return [shlex.split(line) for line in done.stdout.splitlines()]


def told(command: list[str]) -> list[str]:
    """A command as it reads on every system: the interpreter, then what it runs."""
    first = re.sub(r"^\.venv(-of-nobody)?[\\/](bin|Scripts)[\\/]python$", ".venv", command[0])
    first = re.sub(r"^(py|python3?(\.\d+)?)$", "python", first)
    rest = [one for one in command[1:] if one != "--quiet" and not re.fullmatch(r"-3\.\d+", one)]
    return [first, *(one.removesuffix("-of-nobody") for one in rest)]


@pytest.mark.parametrize("document", [README, INSTALL], ids=["README", "install.md"])
def test_the_commands_without_make_are_what_make_does(document: str) -> None:
    block = document.split("```bat\n")[1].split("```")[0]
    plain = [told(line.split()) for line in block.splitlines()]
    assert plain == [told(line) for line in made() if line[0] != "touch"]
    assert plain == [["python", "-m", "venv", ".venv"], [".venv", *PACKAGES], [".venv", "app.py"]]


@pytest.mark.parametrize("python", [f"python{one}" for one in TESTED])
def test_make_takes_the_python_that_it_is_given(python: str) -> None:
    assert made(f"PYTHON={python}")[0] == [python, "-m", "venv", ".venv-of-nobody"]


def test_make_takes_the_first_python_that_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A version manager leaves commands of versions that do not run."""
    for name, code in (("python3.11", 127), ("python3.12", 0), ("python3.13", 0)):
        (tmp_path / name).write_text(f"#!/bin/sh\nexit {code}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert made()[0][0] == "python3.12"


def test_the_pipeline_leaves_the_choice_of_python_to_its_caller() -> None:
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert "\nmake test\n" in script
    assert not re.search(r"^(export )?(PYTHON|VENV)=", script, re.MULTILINE)


# --- versions -------------------------------------------------------------------------------


def test_every_requirement_is_pinned_to_a_version_that_it_allows() -> None:
    pins = {spelled(name): pin for name, pin in PINS.items()}
    for line in (line for name in REQUIREMENTS for line in lines_of(name)):
        one = re.fullmatch(r"([\w-]+)(?:\[[\w,]+\])?>=([\d.]+),<([\d.]+)", line)
        name, low, high = one.groups()  # type: ignore[union-attr]
        limits = [tuple(map(int, one.split("."))) for one in (low, high)]
        pin = tuple(map(int, pins[spelled(name)].split(".")))
        assert limits[0] <= pin < limits[1], line


def test_no_build_of_a_package_is_forced() -> None:
    """`torch==2.13.0` is the CUDA build, the CPU's or Apple's, whichever the index has."""
    for name in ("constraints.txt", *REQUIREMENTS):
        for line in lines_of(name):
            assert "+" not in line
            assert not line.startswith("-"), "no index is forced either"


def test_the_python_versions_are_the_same_everywhere() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert project["project"]["requires-python"] == ">=3.11,<3.14"
    space = re.search(r'^python_version: "(.+)"$', README, re.MULTILINE)
    image = re.search(r"^FROM python:(.+)-slim$", "\n".join(DOCKERFILE), re.MULTILINE)
    assert space
    assert image
    assert {space[1], image[1]} <= set(TESTED)
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert f"in {' '.join(TESTED)};" in makefile
    for text in (README, INSTALL, (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")):
        assert f"Python {TESTED[0]}, {TESTED[1]} or {TESTED[2]}" in text


def test_a_space_runs_the_tested_gradio() -> None:
    assert f"\nsdk_version: {PINS['gradio']}\n" in README


@pytest.mark.skipif(
    (sys.platform, platform.machine(), version("torch")) != ("linux", "x86_64", PINS["torch"]),
    reason="this is not the ordinary build of PyTorch for Linux",
)
def test_the_ordinary_build_of_pytorch_for_linux_brings_cuda() -> None:
    assert [one for one in requires("torch") or () if one.startswith("nvidia-cudnn")]


# --- Docker ---------------------------------------------------------------------------------


def instructions() -> Iterator[str]:
    """The Dockerfile's instructions, a line each, without comments."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    text = re.sub(r"^#.*\n", "", text, flags=re.MULTILINE)
    for line in re.sub(r"\s*\\\n\s*", " ", text).splitlines():
        if line.strip():
            yield line


DOCKERFILE = list(instructions())


def arguments(*names: str) -> list[str]:
    """What follows the last instruction of these names."""
    head = " ".join(names)
    return [one.removeprefix(head).strip() for one in DOCKERFILE if one.startswith(head)]


def test_the_image_installs_what_make_installs() -> None:
    (line,) = [one for one in arguments("RUN") if "pip" in one]
    command = [one for one in line.split() if one not in ("--quiet", "--no-cache-dir")]
    assert command == ["python", *PACKAGES]
    assert "requirements.txt constraints.txt ./" in arguments("COPY")


def test_the_image_has_the_files_of_the_app_and_its_context_only_those() -> None:
    copied = {name for line in arguments("COPY") for name in line.split()[:-1]}
    ignore = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert {line.removeprefix("!") for line in ignore if line.startswith("!")} == copied
    assert ignore[1] == "*"
    assert all((ROOT / name).exists() for name in copied)


def test_the_image_runs_as_a_user_whose_models_are_kept_in_a_volume(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (number,), (volume,), setup = arguments("USER"), arguments("VOLUME"), " ".join(arguments("RUN"))
    (user,) = re.findall(rf"useradd --create-home --uid {number} (\w+)", setup)
    assert volume == f"/home/{user}/.cache"
    assert f"install -d -o {user} -g {user} {volume}" in setup
    assert DOCKERFILE.index(f"USER {number}") > DOCKERFILE.index("COPY inference inference")
    for name in ("HF_HUB_CACHE", "HF_HOME"):
        monkeypatch.delenv(name, raising=False)
    assert cache_folder().relative_to(Path.home()).parts[0] == Path(volume).name


def test_the_image_listens_on_the_port_that_it_exposes_and_checks() -> None:
    (command,) = map(json.loads, arguments("CMD"))
    assert command[:2] == ["python", "app.py"]
    options = Options.read("", command[2:], {})
    assert (options.host, [str(options.port)]) == ("0.0.0.0", arguments("EXPOSE"))
    (check,) = arguments("HEALTHCHECK")
    assert f"http://127.0.0.1:{options.port}/" in check


def test_the_files_of_the_image_serve_a_page_that_its_check_finds_healthy(tmp_path: Path) -> None:
    """Everything of the image but the image: its files, its command, its check."""
    for line in arguments("COPY"):
        for name in line.split()[:-1]:
            kind = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
            kind(ROOT / name, tmp_path / name)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    (command,) = map(json.loads, arguments("CMD"))
    check = json.loads(arguments("HEALTHCHECK")[0].partition("CMD ")[2])
    command, check = ([one.replace("7860", port) for one in each] for each in (command, check))
    server = subprocess.Popen([sys.executable, *command[1:]], cwd=tmp_path)
    try:
        until = time.monotonic() + 120
        while subprocess.run([sys.executable, *check[1:]], stderr=subprocess.DEVNULL).returncode:
            assert server.poll() is None
            assert time.monotonic() < until
        with urlopen(f"http://127.0.0.1:{port}/", timeout=30) as page:
            assert b"Masquerade" in page.read()
    finally:
        server.terminate()
        assert server.wait(30) == 0
