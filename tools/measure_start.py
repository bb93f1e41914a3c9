"""Start-up time of the app, page and first mask: `python tools/measure_start.py`.

Starts the app repeatedly as in the README; headless Chromium opens the page as soon as the server
answers and picks the first example. Prints seconds since the command until the server answers, the
page is drawn, and the mask is drawn. The first run is not counted, because the system's file cache
may be cold.
"""

from __future__ import annotations

import argparse
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

ROOT = Path(__file__).resolve().parent.parent
PATIENCE = 120.0


def answered(url: str) -> None:
    """Wait until the server answers."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        try:
            urllib.request.urlopen(url, timeout=5).close()
        except (urllib.error.URLError, TimeoutError):
            time.sleep(0.02)
        else:
            return
    raise SystemExit("the page did not come up")


def one_start(browser: Browser) -> tuple[float, float, float]:
    """Seconds until the server answers, the page is drawn, the mask is drawn."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    url = f"http://127.0.0.1:{port}"
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    page = context.new_page()
    with tempfile.TemporaryDirectory() as folder:
        surroundings = os.environ | {"GRADIO_TEMP_DIR": folder, "GRADIO_ANALYTICS_ENABLED": "0"}
        command = [sys.executable, "app.py", "--port", port]
        began = time.monotonic()
        server = subprocess.Popen(
            command, cwd=ROOT, env=surroundings, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            answered(url)
            up = time.monotonic() - began
            page.goto(url)
            example = page.locator("#examples button").first
            example.wait_for(timeout=PATIENCE * 1000)
            drawn = time.monotonic() - began
            example.click()
            page.locator("#mask .chip").first.wait_for(timeout=PATIENCE * 1000)
            return up, drawn, time.monotonic() - began
        finally:
            context.close()
            server.terminate()
            server.wait(timeout=30)


def main() -> None:
    """Start the app several times and print the medians."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=5, help="starts to measure")
    count = parser.parse_args().count
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"))
        one_start(browser)
        starts = [one_start(browser) for _ in range(count)]
        browser.close()
    for what, seconds in zip(("answers", "page", "mask"), zip(*starts, strict=True), strict=True):
        print(
            f"{what:8} {statistics.median(seconds):5.2f} s  ({min(seconds):.2f}-{max(seconds):.2f})"
        )


if __name__ == "__main__":
    main()
