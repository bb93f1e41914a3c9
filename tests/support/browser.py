"""Helpers for browser tests: start the app, open the page, common actions."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "assets" / "examples" / "beach.png"
PATIENCE = 60_000
BROWSERS = ("chromium", "chromium-browser", "google-chrome")

expect.set_options(timeout=20_000)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        message = "no browser on this machine: install Chromium to run the page's tests"
        if "CI" in os.environ:
            pytest.fail(message)
        pytest.skip(message)
    with sync_playwright() as playwright:
        quiet = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        yield playwright.chromium.launch(executable_path=program, args=quiet)


@contextmanager
def running_app(folder: Path, *command: str, **environment: str) -> Iterator[str]:
    """Context manager that runs the app on a free port, by `command` or as in the README; yields
    its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    own = {"GRADIO_TEMP_DIR": str(folder), "GRADIO_ANALYTICS_ENABLED": "0"}
    command = (sys.executable, *(command or ("app.py",)), "--port", str(port))
    if "--library" not in command:
        command += ("--library", str(folder / "library"))
    with (folder / "log.txt").open("w") as log:
        server = subprocess.Popen(
            command, cwd=ROOT, env=os.environ | own | environment, stdout=log, stderr=log
        )
        try:
            wait_until_up(f"http://127.0.0.1:{port}", server)
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()
            server.wait(timeout=30)


@pytest.fixture(scope="module")
def app_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the temporary files of the app at `address`."""
    return tmp_path_factory.mktemp("app")


@pytest.fixture(scope="module")
def address(app_folder: Path) -> Iterator[str]:
    """Address of the app, as the README starts it."""
    with running_app(app_folder) as url:
        yield url


def wait_until_up(url: str, server: subprocess.Popen[bytes]) -> None:
    for _ in range(300):
        assert server.poll() is None, "the app stopped"
        try:
            urllib.request.urlopen(url, timeout=5).close()
        except (urllib.error.URLError, TimeoutError):
            time.sleep(0.2)
        else:
            return
    pytest.fail("the page did not come up")


@contextmanager
def opened(browser: Browser, address: str) -> Iterator[Page]:
    """Context manager that opens the page in a new tab, once its models are loaded."""
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    page = context.new_page()
    with without_errors(page):
        load(page, address)
        yield page
    context.close()


@contextmanager
def without_errors(page: Page) -> Iterator[None]:
    """Context manager in which any script error of the page fails the test."""
    errors: list[str] = []

    def note(error: object) -> None:
        errors.append(str(error))

    page.on("pageerror", note)
    yield
    page.remove_listener("pageerror", note)
    assert not errors, errors


def load(page: Page, address: str) -> None:
    """Load the page and wait until its models are loaded."""
    page.goto(address)
    expect(page.locator("#status .ready")).to_contain_text("Ready", timeout=PATIENCE)


@pytest.fixture(scope="module")
def tab(browser: Browser) -> Iterator[Page]:
    """A tab for all tests of a file; loading the page anew costs less than a new tab."""
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    context.add_init_script("sessionStorage.clear()")  # each load is as in a new tab
    yield context.new_page()
    context.close()


@pytest.fixture
def page(tab: Page, address: str) -> Iterator[Page]:
    """The page, freshly loaded, without a photo."""
    tab.goto("about:blank")  # aborts what an earlier test left, outside of its and this one's check
    with without_errors(tab):
        load(tab, address)
        yield tab
        tab.unroute_all()


def pick_example(page: Page) -> None:
    page.locator("#examples button").first.click()
    expect(page.locator("#mask canvas")).to_be_visible(timeout=PATIENCE)
    expect(page.locator("#mask .chip")).to_have_count(2, timeout=PATIENCE)


def set_number(page: Page, knob: str, value: float) -> None:
    field = page.locator(f"#{knob} input[type=number]")
    field.fill(str(value))
    field.press("Tab")


# Resolves when the browser is idle.
IDLE = "new Promise(done => requestIdleCallback(() => requestIdleCallback(done)))"


def open_fold(page: Page, title: str) -> None:
    """Open a fold, and wait until its fields have their values."""
    page.locator("#folds button", has_text=title).click()
    page.evaluate(IDLE)


def share(page: Page) -> int:
    """The shown percentage of the picture that is repainted, after the preview has settled."""
    page.wait_for_timeout(1000)
    return round(float(page.locator("#mask .share").inner_text().split("%")[0]))


def generate(page: Page) -> Locator:
    page.locator("#generate").click()
    return page.locator("#job")


def downloaded(page: Page, folder: Path) -> Path:
    """Download the offered file."""
    with page.expect_download() as download:
        page.locator("#download").click()
    path = folder / "downloaded.png"
    download.value.save_as(path)
    return path


Spot = tuple[float, float]


def brush(page: Page, tool: str, *spots: Spot) -> None:
    """Draw a line through spots of the picture (0–1 each way), or a dab on a single one.

    The tool is "keep" or "repaint".
    """
    button = page.locator(f"[data-tool={tool}]")
    if button.get_attribute("aria-pressed") == "false":
        button.click()
    picture = page.locator(".mc-picture")
    picture.scroll_into_view_if_needed()
    box = picture.bounding_box()
    assert box is not None
    places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in spots]
    if len(set(places)) == 1:
        page.keyboard.down("Shift")
    page.mouse.move(*places[0])
    page.mouse.down()
    for place in places[1:]:
        page.mouse.move(*place, steps=5)
    page.mouse.up()
    page.keyboard.up("Shift")
