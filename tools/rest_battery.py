"""Load and faults of the REST service: `python tools/rest_battery.py`.

A real server with the embedded pack and a library of its own gets 200 prompts from 20 clients, is
killed (SIGKILL) after every ten and started anew; each client sends its next prompt when the last
one has ended, and one client's callbacks hang. Then a library on a file system of a few megabytes
is filled up. At the end nothing may be lost and nothing crossed: every prompt is there once,
painted from its own photo with its own seed, for its own client alone, and the library's folder
has the files of its database and no others.

The second part mounts a small tmpfs, which takes root on Linux; elsewhere it is left out.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import io
import os
import random
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from PIL import Image

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from inference.library.tokens import Tokens  # noqa: E402
from inference.picture import png_metadata  # noqa: E402
from tests.support.rest_client import receiver  # noqa: E402

SIDE = 96
SETTINGS = {
    "steps": 1, "mask_prompt": "", "mask_negative": "", "mask_invert": False, "mask_dilate": 0,
    "mask_feather": 0, "controlnet": "",
}  # fmt: skip
PATIENCE = 300.0
STARTS = 120.0


@dataclass
class Server:
    """A server process that can be killed and started again at one address."""

    folder: Path
    library: Path
    port: int
    process: subprocess.Popen[bytes] | None = None
    kills: int = 0
    is_down: bool = False
    options: tuple[str, ...] = ()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        command = [
            sys.executable, "app.py", "--style", "drawn", "--port", str(self.port), "--library",
            str(self.library), "--idempotent", "--callback-host", "127.0.0.1", *self.options,
        ]  # fmt: skip
        own = {"GRADIO_TEMP_DIR": str(self.folder), "GRADIO_ANALYTICS_ENABLED": "0"}
        with (self.folder / "log.txt").open("ab") as log:
            self.process = subprocess.Popen(
                command, cwd=ROOT, env=os.environ | own, stdout=log, stderr=log
            )
        wait_until(self.is_up, STARTS)
        self.is_down = False

    def check(self) -> None:
        """Raise if the server has ended without being killed."""
        if not self.is_down and self.process is not None and self.process.poll() is not None:
            log = (self.folder / "log.txt").read_text(encoding="utf-8", errors="replace")
            raise RuntimeError(f"the server ended by itself: {log[-3000:]}")

    def is_up(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, "the server ended by itself"
        try:
            answers = httpx.get(f"{self.url}/openapi.json", timeout=5).status_code == 200
            return answers and self.process.poll() is None
        except httpx.HTTPError:
            return False

    def kill(self) -> None:
        assert self.process is not None
        self.is_down = True
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.kills += 1

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(60)


@dataclass
class Prompt:
    """What a client sent, and the number that it was given."""

    client: str
    seed: int
    photo: np.ndarray
    number: int = 0
    accepted: int = 0
    url: str = ""


@dataclass
class Ledger:
    """What happened, for the table."""

    prompts: list[Prompt] = field(default_factory=list)
    answers: Counter[int] = field(default_factory=Counter)
    broken: int = 0
    rows: list[tuple[str, str]] = field(default_factory=list)

    def note(self, what: str, value: object) -> None:
        self.rows.append((what, str(value)))
        print(f"{what}: {value}", flush=True)


def wait_until(true: Callable[[], bool], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            raise TimeoutError("it did not happen")
        time.sleep(0.1)


def png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def base64_of(pixels: np.ndarray) -> str:
    return base64.b64encode(png(pixels)).decode()


def upper_half(side: int = SIDE) -> np.ndarray:
    mask = np.zeros((side, side, 3), dtype=np.uint8)
    mask[: side // 2] = 255
    return mask


def send(server: Server, ledger: Ledger, token: str, prompt: Prompt, callback: str) -> None:
    """Send a prompt until it is accepted, through kills of the server, as a patient client does."""
    body = {
        "text": f"a garden for {prompt.client}", "seed": prompt.seed, **SETTINGS,
        "input_image_base64": base64_of(prompt.photo), "mask_image_base64": base64_of(upper_half()),
        "callback": callback,
    }  # fmt: skip
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        try:
            answer = httpx.post(
                f"{server.url}/tunes/drawn/prompts", json={"prompt": body}, timeout=60,
                headers={"Authorization": f"Bearer {token}"},
            )  # fmt: skip
        except httpx.HTTPError:
            server.check()
            ledger.broken += 1
            time.sleep(0.5)
            continue
        ledger.answers[answer.status_code] += 1
        if answer.status_code in (200, 201):
            prompt.number, prompt.url = answer.json()["id"], answer.json()["url"]
            return
        time.sleep(float(answer.headers.get("retry-after", "1")) if answer.is_error else 1)
    raise TimeoutError("a prompt was not accepted")


def poll(server: Server, ledger: Ledger, token: str, prompt: Prompt) -> None:
    """Ask for a prompt until it has ended, through kills of the server."""
    end = time.monotonic() + PATIENCE
    headers = {"Authorization": f"Bearer {token}"}
    while time.monotonic() < end:
        try:
            answer = httpx.get(f"{server.url}/prompts/{prompt.number}", headers=headers, timeout=60)
        except httpx.HTTPError:
            server.check()
            ledger.broken += 1
        else:
            ledger.answers[answer.status_code] += 1
            found = answer.json()
            if found["trained_at"] or found["error"]:
                return
        time.sleep(0.5)
    log = (server.folder / "log.txt").read_text(encoding="utf-8", errors="replace")
    raise TimeoutError(f"a prompt did not end: {log[-3000:]}")


def ended(library: Path) -> int:
    """How many jobs of a library have ended."""
    with closing(sqlite3.connect(f"file:{library / 'library.sqlite'}?mode=ro", uri=True)) as rows:
        sql = "SELECT count(*) FROM jobs WHERE state NOT IN ('queued', 'running')"
        return int(rows.execute(sql).fetchone()[0])


def is_whole(library: Path) -> bool:
    """Whether the folder has exactly the files of the database."""
    with closing(sqlite3.connect(library / "library.sqlite")) as rows:
        known = {str(row[0]) for row in rows.execute("SELECT DISTINCT name FROM files")}
        intact = rows.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
    there = {path.name for path in (library / "files").rglob("*") if path.is_file()}
    return intact and known == there


def load(options: argparse.Namespace, folder: Path, ledger: Ledger) -> bool:
    """The first part: clients, kills and hanging callbacks."""
    server = Server(folder=folder, library=folder / "library", port=free_port())
    names = [f"client-{k}" for k in range(options.clients)]
    with closing(Tokens(server.library)) as tokens:
        token_of = {name: tokens.make(name) for name in names}
    each = options.prompts // options.clients
    with receiver() as taken, receiver() as stuck:
        stuck.hanging = True
        server.start()
        killing = threading.Thread(target=kill_often, args=(server, options), daemon=True)
        killing.start()
        started = time.monotonic()

        def work(k: int) -> list[Prompt]:
            mine = []
            for turn in range(each):
                chance = np.random.default_rng(1000 * k + turn)
                photo = chance.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
                prompt = Prompt(names[k], 1000 * k + turn, photo)
                hook = stuck.url if k == 0 else taken.url
                send(server, ledger, token_of[names[k]], prompt, hook)
                mine.append(prompt)
                poll(server, ledger, token_of[names[k]], prompt)
            return mine

        with ThreadPoolExecutor(options.clients) as pool:
            ledger.prompts = [one for mine in pool.map(work, range(len(names))) for one in mine]
        wait_until(lambda: ended(server.library) >= options.prompts, PATIENCE)
        killing.join()
        seconds = time.monotonic() - started
        wait_until(lambda: len(hooked(taken)) >= options.prompts - each, PATIENCE)
        ok = judge(server, ledger, token_of)
        ok &= hooked(taken) == {one.number for one in ledger.prompts if one.client != names[0]}
        server.stop()
    ledger.note("prompts, clients", f"{options.prompts}, {options.clients}")
    ledger.note("kills", server.kills)
    ledger.note("answers by status", dict(sorted(ledger.answers.items())))
    ledger.note("requests that broke off, and were sent again", ledger.broken)
    ledger.note(
        "callbacks: prompts told, calls in all", f"{len(hooked(taken))}, {len(taken.taken)}"
    )
    ledger.note("hanging callbacks", each)
    ledger.note("files of the library are those of its database", is_whole(server.library))
    ledger.note("seconds", round(seconds))
    return ok and is_whole(server.library)


def hooked(taken: Any) -> set[int]:
    return {one["id"] for one in taken.objects()}


def kill_often(server: Server, options: argparse.Namespace) -> None:
    """Kill the server after every so many ended prompts."""
    for goal in range(options.every, options.prompts, options.every):
        wait_until(lambda at=goal: ended(server.library) >= at, PATIENCE)
        server.kill()
        server.start()


def judge(server: Server, ledger: Ledger, token_of: dict[str, str]) -> bool:
    """Whether every prompt is there once, with its own picture, for its own client alone."""
    lost = crossed = 0
    states: Counter[str] = Counter()
    for name, token in token_of.items():
        headers = {"Authorization": f"Bearer {token}"}
        mine = {one.number: one for one in ledger.prompts if one.client == name}
        listed = httpx.get(f"{server.url}/prompts?limit=120", headers=headers, timeout=60).json()
        lost += len(mine.keys() - {one["id"] for one in listed})
        crossed += len({one["id"] for one in listed} - mine.keys())
        for one in listed:
            states[one["state"]] += 1
            if one["state"] == "done" and one["id"] in mine:
                crossed += not is_own(mine[one["id"]], httpx.get(one["images"][0]).content)
            elif one["state"] != "done":
                print(one["error"])
    lost += len(ledger.prompts) - len({one.number for one in ledger.prompts})
    ledger.note("ended as", dict(states))
    ledger.note("lost", lost)
    ledger.note("crossed", crossed)
    return not lost and not crossed and set(states) == {"done"}


def is_own(prompt: Prompt, picture: bytes) -> bool:
    """Whether a picture has a prompt's words and seed, and keeps its photo's lower half."""
    found = png_metadata.read(picture)
    pixels = np.asarray(Image.open(io.BytesIO(picture)))
    half = SIDE // 2
    return (
        found is not None
        and found.recipe.seed == prompt.seed
        and found.recipe.prompt == f"a garden for {prompt.client}"
        and np.array_equal(pixels[half:], prompt.photo[half:])
        and not np.array_equal(pixels[:half], prompt.photo[:half])
    )


@contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[bool]:
    """Context of a small file system in a folder; False where none can be mounted."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)]
    if os.name == "nt" or subprocess.run(command, capture_output=True, check=False).returncode:
        yield False
        return
    try:
        yield True
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def full_disk(folder: Path, ledger: Ledger) -> bool:
    """The second part: large photos until the disk is full; some are deleted, the others go on."""
    with small_disk(folder / "disk", 16) as is_mounted:
        if not is_mounted:
            ledger.note("full disk", "not run: a small file system cannot be mounted here")
            return True
        server = Server(folder=folder, library=folder / "disk" / "library", port=free_port())
        with closing(Tokens(server.library)) as tokens:
            headers = {"Authorization": f"Bearer {tokens.make('ann')}"}
        server.start()
        with httpx.Client(base_url=server.url, headers=headers, timeout=60) as client:
            ok = fill_up(client, server, ledger)
        server.stop()
        ledger.note("full disk: files are those of the database", is_whole(server.library))
        return ok and is_whole(server.library)


def fill_up(client: httpx.Client, server: Server, ledger: Ledger) -> bool:
    """Send prompts until none is accepted, make space, and judge what became of all."""
    answers: Counter[int] = Counter()
    accepted: list[int] = []
    for seed in range(40):
        answer = client.post("/tunes/drawn/prompts", json={"prompt": large(seed)})
        answers[answer.status_code] += 1
        if answer.status_code == 201:
            accepted.append(answer.json()["id"])
    ok = set(answers) == {201, 507}
    deleted = set(accepted[::2])
    for number in deleted:
        ok &= client.delete(f"/prompts/{number}").status_code == 200
    left = [number for number in accepted if number not in deleted]
    wait_until(lambda: ended(server.library) == len(left), PATIENCE)
    again = client.post("/tunes/drawn/prompts", json={"prompt": large(99)})
    ok &= again.status_code == 201
    wait_until(lambda: ended(server.library) == len(left) + 1, PATIENCE)
    listed = client.get("/prompts?limit=120").json()
    ok &= {one["id"] for one in listed} == {*left, again.json()["id"]}
    told = {one["error"] for one in listed} - {None}
    ok &= all("disk" in one for one in told) and listed[0]["state"] == "done"
    ledger.note("full disk: answers by status", dict(sorted(answers.items())))
    ledger.note("full disk: deleted to make space", len(deleted))
    ledger.note("full disk: the others ended as", dict(Counter(one["state"] for one in listed)))
    ledger.note("full disk: reasons of those that failed", ", ".join(sorted(told)) or "none")
    return ok


def large(seed: int) -> dict[str, Any]:
    """A prompt with a photo of 0.7 MB."""
    side = 480
    photo = np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)
    return {
        "text": "a garden", "seed": seed, **SETTINGS, "input_image_base64": base64_of(photo),
        "mask_image_base64": base64_of(upper_half(side)),
    }  # fmt: skip


def free_port() -> int:
    """A port below those that systems hand out, so that no other program gets it between a kill
    and the next start."""
    for port in random.sample(range(20_000, 30_000), 100):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise RuntimeError("there is no free port")


def main() -> int:
    """Run both parts; the exit status is 0 if nothing was lost and nothing crossed."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--prompts", type=int, default=200, help="in all; %(default)s by default")
    parser.add_argument("--clients", type=int, default=20)
    parser.add_argument("--every", type=int, default=10, help="kill after so many; 10 by default")
    parser.add_argument("--only", choices=("load", "disk"), help="only one of the parts")
    options = parser.parse_args()
    ledger, ok = Ledger(), True
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if options.only != "disk":
            ok &= load(options, folder, ledger)
        if options.only != "load":
            ok &= full_disk(folder, ledger)
    print("\n| What | Value |\n|---|---|")
    for what, value in ledger.rows:
        print(f"| {what} | {value} |")
    return int(not ok)


if __name__ == "__main__":
    sys.exit(main())
