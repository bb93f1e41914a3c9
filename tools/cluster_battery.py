"""A node killed amid sixty jobs of the service on a cluster: `python tools/cluster_battery.py`.

Three Ray nodes on this machine, the embedded pack as painter, one thread each, and a library in a
folder, or in the database that is given. Sixty prompts with a photo and a seed of their own are
sent; after a third of them is done, a node with a painter is killed (SIGKILL). At the end every
prompt has to be done, once, with its own seed, and with pixels of its own photo.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import socket
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from inference.library.address import place_of  # noqa: E402
from inference.library.tokens import Tokens  # noqa: E402
from inference.picture import png_metadata  # noqa: E402
from tests.support.ray_cluster import PAINTER, command, kill_a_node, ray_cluster  # noqa: E402

PHOTOS = sorted((ROOT / "assets" / "examples").glob("*.png"))
PATIENCE = 1200


def main() -> None:
    """Run it, and print what became of the jobs as JSON; status 1 if one is lost or crossed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=60)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--library", default="", help="postgresql://…; a folder by default")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        files = str(Path(folder) / "files") if options.library else ""
        found = battery(options, options.library or str(Path(folder) / "library"), files)
    print(json.dumps(found, indent=2))
    sys.exit(found["done"] != options.jobs or found["faults"] != [])


def battery(options: argparse.Namespace, library: str, files: str) -> dict[str, Any]:
    """Send the jobs, kill a node, and look at what came of them."""
    tokens = Tokens(place_of(library, files))
    headers = {"Authorization": f"Bearer {tokens.make('battery')}"}
    tokens.close()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    given = ["--style", "drawn", "--lease", "10", "--min-painters", "2", "--max-painters", "2"]
    with (
        ray_cluster() as cluster,
        command(
            "serve",
            "--ray",
            cluster.address,
            "--port",
            port,
            *given,
            "--mask-finder-cpus",
            "0",
            surroundings={"MASQUERADE_LIBRARY": library, "MASQUERADE_LIBRARY_FILES": files},
        ) as process,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=60) as client,
    ):
        try:
            assert process.stdout is not None
            assert "Serving on" in process.stdout.readline()
            return asked(client, cluster, options.jobs, options.steps)
        finally:
            process.terminate()


def asked(client: httpx.Client, cluster: Any, jobs: int, steps: int) -> dict[str, Any]:
    """Send all jobs, kill a node after a third, wait for the end, and check each result."""
    started = time.monotonic()
    made = [create(client, number, steps) for number in range(jobs)]
    killed = 0.0
    while True:
        states = [client.get(f"/prompts/{one}").json()["state"] for one in made]
        if not killed and states.count("done") >= jobs // 3:
            kill_a_node(cluster, PAINTER)
            killed = time.monotonic() - started
        if not {"queued", "running"} & set(states):
            break
        if time.monotonic() - started > PATIENCE:
            break
        time.sleep(0.5)
    seconds = time.monotonic() - started
    faults = [told for number, one in enumerate(made) if (told := fault(client, one, number))]
    count = len(client.get("/prompts", params={"limit": 120}).json())
    return {
        "jobs": jobs, "done": states.count("done"), "states": dict(Counter(states)),
        "in the library": count, "killed after s": round(killed, 1),
        "seconds": round(seconds, 1), "faults": faults, "load": os.getloadavg()[0],
    }  # fmt: skip


def photo(number: int) -> np.ndarray[Any, Any]:
    """The photo of a job: an example, with a mark of its own in a corner."""
    pixels = np.array(Image.open(PHOTOS[number % len(PHOTOS)]).convert("RGB"))
    pixels[0, 0] = (number, 77, 11)
    return pixels


def create(client: httpx.Client, number: int, steps: int) -> int:
    """Send a job; returns its number in the library."""
    file = io.BytesIO()
    Image.fromarray(photo(number)).save(file, "PNG", compress_level=1)
    answer = client.post(
        "/tunes/drawn/prompts",
        data={"prompt[text]": "a garden", "prompt[steps]": steps, "prompt[seed]": 500 + number},
        files={"prompt[input_image]": ("photo.png", file.getvalue())},
    )
    answer.raise_for_status()
    return int(answer.json()["id"])


def fault(client: httpx.Client, job: int, number: int) -> str:
    """What is wrong with the result of a job; "" if nothing is."""
    prompt = client.get(f"/prompts/{job}").json()
    if prompt["state"] != "done" or len(prompt["images"]) != 1:
        return f"job {job}: {prompt['state']}, {prompt['error']}"
    data = client.get(prompt["images"][0]).content
    embedded = png_metadata.read(data)
    if embedded is None or embedded.recipe.seed != 500 + number:
        return f"job {job}: another one's seed"
    pixels, own = np.array(Image.open(io.BytesIO(data)).convert("RGB")), photo(number)
    kept = np.array(Image.open(io.BytesIO(embedded.mask or b"")).convert("L")) == 0
    if not kept.any() or not (pixels[kept] == own[kept]).all():
        return f"job {job}: another one's photo"
    return ""


if __name__ == "__main__":
    main()
