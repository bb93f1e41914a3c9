"""Benchmark of the page's latency from slider event to pixels: `python tools/bench_ui.py`.

Drives headless Chromium over three implementations in one run, at 768×768: ours (a canvas that
computes the mask in the browser), an optimized server-side one (numpy, JPEG, no queue,
`always_last`) and the stock one (`gr.Image` updated by `.input` with default settings). Each is
measured idle, with 60 ms of emulated network latency, and while our app paints a picture on the
same machine. A sample runs from the DOM event until the frame with the new pixels has been handed
to the compositor. `--matte PHOTO` measures how long after a movement the matte of a photograph of
people is on screen instead.
"""

from __future__ import annotations

import argparse
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from playwright.sync_api import Browser, Page, sync_playwright

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from inference import Photo, Recipe, Studio  # noqa: E402
from inference.recipe.recipe import Length, Unit  # noqa: E402
from tools.portraits import HELD_OUT_SEED, draw_seed  # noqa: E402

SIDE = 768
LATENCY_MS = 60
PATIENCE = 120_000
SITUATIONS = ("idle", f"{LATENCY_MS} ms latency", "while painting")

# Records the time at which new pixels were drawn, by a canvas or by an image that was reloaded.
WATCH = """
() => {
  const shown = () => {
    const channel = new MessageChannel();
    channel.port1.onmessage = () => { window.shownAt = performance.now(); };
    channel.port2.postMessage(0);
  };
  const put = CanvasRenderingContext2D.prototype.putImageData;
  CanvasRenderingContext2D.prototype.putImageData = function (...given) {
    put.apply(this, given);
    if (this.canvas.isConnected) shown();
  };
  document.addEventListener("load", event => {
    if (event.target.tagName === "IMG") requestAnimationFrame(shown);
  }, true);
}
"""
MOVE = """
([selector, value]) => new Promise(done => {
  const slider = document.querySelector(selector);
  window.shownAt = 0;
  slider.value = value;
  const began = performance.now();
  slider.dispatchEvent(new Event("input", { bubbles: true }));
  const wait = () => {
    if (window.shownAt) done(window.shownAt - began);
    else if (performance.now() - began > 5000) done(5000);
    else setTimeout(wait, 1);
  };
  wait();
})
"""
STROKE = """
([x, y]) => new Promise(done => {
  const picture = document.querySelector(".mc-picture"), rect = picture.getBoundingClientRect();
  window.shownAt = 0;
  const began = performance.now();
  picture.dispatchEvent(new PointerEvent("pointermove", { bubbles: true, isPrimary: true,
    pointerId: 1, clientX: rect.left + x * rect.width, clientY: rect.top + y * rect.height }));
  const wait = () => {
    if (window.shownAt) done(window.shownAt - began);
    else if (performance.now() - began > 5000) done(5000);
    else setTimeout(wait, 1);
  };
  wait();
})
"""

MOVE_AND_WAIT_FOR_MATTE = """
([selector, value]) => new Promise(done => {
  const slider = document.querySelector(selector), began = performance.now();
  let arrived = false;
  document.addEventListener("matte", ({ detail }) => {
    if (detail?.alpha) { arrived = true; window.shownAt = 0; }
  });
  slider.value = value;
  slider.dispatchEvent(new Event("input", { bubbles: true }));
  const wait = () => {
    if (arrived && window.shownAt) done(window.shownAt - began);
    else if (performance.now() - began > 20000) done(20000);
    else setTimeout(wait, 1);
  };
  wait();
})
"""


@dataclass(frozen=True)
class Row:
    """A control to move: a slider's selector and its range, or the brush if there is none."""

    name: str
    page: str
    slider: str = ""
    low: float = 0
    high: float = 0


ROWS = (
    Row("ours, dilate", "ours", "#mask_dilate input[type=range]", -5, 5),
    Row("ours, feather", "ours", "#mask_feather input[type=range]", 0, 20),
    Row("ours, threshold", "ours", "#mask_threshold input[type=range]", 0.2, 0.8),
    Row("ours, brush stroke", "ours"),
    Row("server, dilate", "server", "#dilate input[type=range]", -5, 5),
    Row("stock, dilate", "stock", "#dilate input[type=range]", -5, 5),
)


def overlay(photo: NDArray[np.uint8], alpha: NDArray[np.float32]) -> NDArray[np.uint8]:
    """The photo with the region to repaint tinted, drawn on the server."""
    gray = cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY)[..., None].astype(np.float32)
    tinted = gray * 0.45 + np.array((255, 92, 57), dtype=np.float32) * 0.55
    return (photo + (tinted - photo) * alpha[..., None] + 0.5).astype(np.uint8)


def serve(arrangement: str, photo: Photo, port: int) -> None:
    """Serve a page with one slider and one picture, in the optimized or the stock way."""
    import gradio as gr

    selection = Studio(style="drawn").select(photo, Recipe())

    def look(dilate: float) -> NDArray[np.uint8]:
        recipe = Recipe(mask_dilate=Length(value=dilate, unit=Unit.PERCENT))
        return overlay(selection.detection.preview, selection.preview_alpha(recipe))

    with gr.Blocks() as blocks:
        best = arrangement == "server"
        picture = gr.Image(value=look(0), height=430, **({"format": "jpeg"} if best else {}))
        slider = gr.Slider(-25, 25, value=0.5, step=0.5, elem_id="dilate")
        best_event = {"queue": False, "show_progress": "hidden", "trigger_mode": "always_last"}
        slider.input(look, slider, picture, **(best_event if best else {}))
    blocks.launch(server_port=port, quiet=True)


@contextmanager
def running(command: list[str], folder: Path) -> Iterator[str]:
    """Context manager that runs a server in a subprocess on a free port; yields its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    own = {"GRADIO_TEMP_DIR": str(folder), "GRADIO_ANALYTICS_ENABLED": "0"}
    with (folder / "log.txt").open("a") as log:
        server = subprocess.Popen(
            [sys.executable, *command, "--port", str(port)], cwd=ROOT, env=os.environ | own,
            stdout=log, stderr=log,
        )  # fmt: skip
        try:
            for _ in range(600):
                try:
                    urllib.request.urlopen(f"http://127.0.0.1:{port}", timeout=5).close()
                    break
                except (urllib.error.URLError, TimeoutError):
                    time.sleep(0.2)
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()
            server.wait(timeout=30)


def open_page(browser: Browser, address: str, photo: Path | None) -> Page:
    """Open a page with the timing script; our own page with a photo and the mask's fold open."""
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    page.goto(address)
    page.wait_for_selector("input[type=range]", state="attached", timeout=PATIENCE)
    if photo is not None:
        page.wait_for_selector("#status .ready", timeout=PATIENCE)
        page.locator("#upload input[type=file]").first.set_input_files(photo)
        page.wait_for_selector("#mask .chip", timeout=PATIENCE)
        for title in ("Mask", "Sampling"):
            page.locator("#folds button", has_text=title).click()
    page.wait_for_timeout(2000)
    page.evaluate(WATCH)
    return page


def sample(page: Page, row: Row, count: int) -> list[float]:
    """Latencies from event to pixels in milliseconds, one per event."""
    rng = np.random.default_rng(0)
    taken = []
    if not row.slider:
        page.locator("[data-tool=keep]").click()
        box = page.locator(".mc-picture").bounding_box()
        assert box is not None
        page.mouse.move(box["x"] + 0.2 * box["width"], box["y"] + 0.1 * box["height"])
        page.mouse.down()
    for k in range(count + 5):
        # Random intervals, so that events fall at any point of a frame.
        page.wait_for_timeout(40 + float(rng.uniform(0, 40)))
        if row.slider:
            value = row.low + (row.high - row.low) * ((k * 7) % 20 + 0.5) / 20
            milliseconds = page.evaluate(MOVE, [row.slider, round(value * 50) / 50])
        else:
            milliseconds = page.evaluate(STROKE, [0.2 + 0.6 * (k % 2), 0.1 + 0.8 * k / (count + 5)])
        taken.append(float(milliseconds))
    if not row.slider:
        page.mouse.up()
        page.locator("[data-do=reset]").click()
        page.locator("[data-tool=keep]").click()
    return taken[5:]


def measure(page: Page, row: Row, situation: str, painter: Page, count: int) -> list[float]:
    """Take samples in one situation: idle, with network latency, or while painting."""
    session = page.context.new_cdp_session(page)
    session.send("Network.enable")
    network = {"offline": False, "downloadThroughput": -1, "uploadThroughput": -1}
    latency = LATENCY_MS if "latency" in situation else 0
    session.send("Network.emulateNetworkConditions", {**network, "latency": latency})
    painting = "painting" in situation
    if painting:
        painter.locator("#steps input[type=number]").fill("50")
        painter.locator("#num_images input[type=number]").fill("8")
        painter.locator("#generate").click()
        painter.locator("#job", has_text="step").wait_for(timeout=PATIENCE)
    page.bring_to_front()
    taken = sample(page, row, count)
    if painting:
        still = "step" in painter.locator("#job").inner_text()
        painter.locator("#cancel").click()
        painter.locator("#job", has_text="Cancelled").wait_for(timeout=PATIENCE)
        if not still:
            print(f"  ({row.name}: the painting ended before the samples did)")
    session.send("Network.emulateNetworkConditions", {**network, "latency": 0})
    return taken


def report_matte(browser: Browser, address: str, photo: Path, count: int) -> None:
    """Print how long after a slider's movement the matte is on screen."""
    page = open_page(browser, address, photo)
    slider = "#mask_dilate input[type=range]"
    page.wait_for_timeout(5000)
    taken = []
    for k in range(count + 2):
        taken.append(float(page.evaluate(MOVE_AND_WAIT_FOR_MATTE, [slider, 0.5 * (k % 12) - 3])))
        page.wait_for_timeout(300)
    middle, high = np.percentile(taken[2:], [50, 95])
    print(f"movement to matte, ms: p50 {middle:.0f}, p95 {high:.0f} of {count}")


def main() -> None:
    """Run all measurements and print the table and the ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=60, help="events per figure")
    parser.add_argument("--browser", default=shutil.which("chromium"))
    parser.add_argument("--matte", type=Path, metavar="PHOTO", help="measure its matte instead")
    parser.add_argument("--serve", choices=("server", "stock"), help="used by the tool itself")
    parser.add_argument("--photo", type=Path, help="used by the tool itself")
    parser.add_argument("--port", type=int, help="used by the tool itself")
    args = parser.parse_args()
    if args.serve:
        serve(args.serve, Photo.open(args.photo), args.port)
        return
    folder = Path(tempfile.mkdtemp(prefix="bench-"))
    photo = folder / "photo.png"
    portrait = draw_seed(HELD_OUT_SEED, (SIDE, SIDE))
    cv2.imwrite(str(photo), cv2.cvtColor(portrait.image, cv2.COLOR_RGB2BGR))
    with ExitStack() as stack:
        commands = {
            name: ["tools/bench_ui.py", "--serve", name, "--photo", str(photo)]
            for name in ("server", "stock")
            if not args.matte
        } | {"ours": ["app.py", "--style", "drawn"]}
        addresses = {
            name: stack.enter_context(running(command, folder))
            for name, command in commands.items()
        }
        playwright = stack.enter_context(sync_playwright())
        browser = playwright.chromium.launch(
            executable_path=args.browser, args=["--no-sandbox", "--disable-gpu"]
        )
        if args.matte:
            report_matte(browser, addresses["ours"], args.matte.resolve(), args.count)
            return
        pages = {
            name: open_page(browser, address, photo if name == "ours" else None)
            for name, address in addresses.items()
        }
        painter = open_page(browser, addresses["ours"], photo)
        report(pages, painter, args.count)
    shutil.rmtree(folder)


def report(pages: dict[str, Page], painter: Page, count: int) -> None:
    """Print a row for each control, then the ratios of the medians."""
    print(f"event to pixels at {SIDE} px, ms: p50 / p95 of {count}")
    print(f"{'':22}" + "".join(f"{one:>20}" for one in SITUATIONS))
    medians: dict[str, list[float]] = {}
    for row in ROWS:
        cells = []
        for situation in SITUATIONS:
            taken = measure(pages[row.page], row, situation, painter, count)
            middle, high = np.percentile(taken, [50, 95])
            medians.setdefault(row.name, []).append(float(middle))
            cells.append(f"{middle:.1f} / {high:.1f}")
        print(f"{row.name:22}" + "".join(f"{cell:>20}" for cell in cells), flush=True)
    ours = medians["ours, dilate"]
    for other in ("server, dilate", "stock, dilate"):
        ratios = [theirs / own for theirs, own in zip(medians[other], ours, strict=True)]
        print(f"{other} / ours".ljust(22) + "".join(f"{ratio:19.1f}×" for ratio in ratios))


if __name__ == "__main__":
    main()
