"""Tests of the examples in docs/rest.md: each runs as it stands, against a real server."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from PIL import Image

from inference.library.tokens import digest_of
from inference.picture import png_metadata
from inference.rest.callbacks import signature
from tests.support.page_server import Server, coloured
from tests.support.rest_client import SETTINGS, rest_client, token_for

DOCUMENT = Path(__file__).parents[2] / "docs" / "rest.md"
# Random weights find every word, so the examples' prompts get a stroke of what is kept.
MORE = {**SETTINGS, "steps": 1}


def examples(language: str) -> list[str]:
    blocks = DOCUMENT.read_text(encoding="utf-8").split(f"```{language}\n")[1:]
    return [block.split("\n```")[0] for block in blocks]


@contextmanager
def folder(tmp_path: Path) -> Iterator[Path]:
    Image.fromarray(coloured((200, 30, 40))).save(tmp_path / "me.png")
    yield tmp_path


def run(command: list[str], place: Path, server: Server, **environment: str) -> str:
    done = subprocess.run(
        command, cwd=place, capture_output=True, text=True, check=False, timeout=120,
        env={"PATH": "/usr/bin:/bin:/usr/local/bin", **environment},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_curl(running: Server, tmp_path: Path) -> None:
    make, create, listed, follow = examples("sh")
    assert make == "python -m inference token"
    token = token_for(running, "curl")
    more = "".join(f" -F 'prompt[{name}]={value}'" for name, value in MORE.items())
    with folder(tmp_path) as place:
        command = create.replace("http://localhost:7860", running.url).replace(
            " -F prompt[steps]=8", more
        )
        command = re.sub(r" --mask_negative clothes", "", command)
        command = command.replace(" -F 'prompt[mask_negative]='", "")
        answer = run(["sh", "-c", command], place, running, API_KEY=token)
        prompt = json.loads(answer)
        assert prompt["text"].startswith("an astronaut in a garden, space --mask_prompt")
        command = listed.replace("http://localhost:7860", running.url)
        (one,) = json.loads(run(["sh", "-c", command], place, running, API_KEY=token))
        assert one["id"] == prompt["id"]
        command = follow.replace("http://localhost:7860", running.url)
        command = command.replace("/prompts/7/", f"/prompts/{prompt['id']}/")
        told = run(["sh", "-c", command], place, running, API_KEY=token)
        assert told.rstrip().splitlines()[-2] == "event: prompt"


def test_python_requests(running: Server, tmp_path: Path) -> None:
    code, check = examples("python")
    token = token_for(running, "requests")
    more = {f"prompt[{name}]": value for name, value in MORE.items()}
    code = code.replace("http://localhost:7860", running.url)
    code = code.replace('"prompt[num_images]": 2,', f'"prompt[num_images]": 2, **{more!r},')
    # The tiny models have no face finder, and enlarging takes a while.
    code = f"API_KEY = {token!r}\n" + code.replace("True", "False")
    with folder(tmp_path) as place:
        said = run([sys.executable, "-c", code], place, running)
        assert re.fullmatch(r"\d+ 5 None\n", said), said
        for k in range(2):
            found = png_metadata.read((place / f"result-{k}.png").read_bytes())
            assert found is not None
            assert found.recipe.seed == 5 + k
    names: dict[str, object] = {}
    exec(check, names)
    header = signature(digest_of("mq_x"), b"{}", 1_800_000_000).decode()
    assert names["is_ours"](header, b"{}", "mq_x")  # type: ignore[operator]
    assert not names["is_ours"](header, b"{ }", "mq_x")  # type: ignore[operator]


@pytest.mark.skipif(shutil.which("node") is None, reason="Node is not installed")
@pytest.mark.parametrize("number", [0, 1])
def test_node(running: Server, tmp_path: Path, number: int) -> None:
    code = examples("javascript")[number]
    token = token_for(running, "node")
    code = code.replace("http://localhost:7860", running.url)
    code = code.replace("steps: 8,", f"...{json.dumps(MORE)},")
    more = "".join(f"form.append('prompt[{name}]', '{value}');" for name, value in MORE.items())
    code = code.replace('form.append("prompt[steps]", 8);', more)
    with folder(tmp_path) as place:
        said = run(["node", "-e", f"const API_KEY = {token!r};\n{code}"], place, running)
    made, url = said.split()
    with rest_client(running, "node") as client:
        prompt = client.get(url).json()
    assert (prompt["id"], prompt["steps"]) == (int(made), 1)
