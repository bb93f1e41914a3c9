"""Browser tests of the page with the embedded models: first use, painting, results."""

from __future__ import annotations

import re
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from inference import Photo
from inference.serving.guard import BUSY
from inference.serving.result_files import KEPT_PREVIEWS
from inference.serving.temporary_files import Limits
from tests.support.browser import (
    EXAMPLE,
    IDLE,
    PATIENCE,
    brush,
    downloaded,
    generate,
    open_fold,
    opened,
    pick_example,
    running_app,
    set_number,
    share,
)
from tests.support.hub_server import Fault, HubServer
from tests.support.page_server import wait_until

pytestmark = pytest.mark.browser


def test_an_empty_page_tells_what_to_do_first(page: Page) -> None:
    expect(page.locator("#upload")).to_contain_text("Pick an example or drop a photo")
    expect(generate(page)).to_contain_text("Choose a photo first")


def test_the_three_sliders_stand_in_one_row_in_sight(page: Page) -> None:
    boxes = [
        page.locator(f"#{knob}").bounding_box()
        for knob in ("mask_dilate", "denoising_strength", "cfg_scale")
    ]
    assert all(box is not None and box["y"] + box["height"] < 900 for box in boxes)
    assert len({round(box["y"]) for box in boxes if box}) == 1


def test_everything_fits_on_one_screen(page: Page) -> None:
    pick_example(page)
    height, width = page.evaluate(
        "[document.documentElement.scrollHeight, document.documentElement.scrollWidth]"
    )
    assert height <= 900
    assert width <= 1440


def test_a_newcomer_gets_a_picture(page: Page, tmp_path: Path) -> None:
    pick_example(page)
    expect(page.locator("#mask_prompt textarea")).to_have_value("foreground")
    expect(page.locator("#mask_negative textarea")).to_have_value("clothes")
    expect(page.locator("#mask_invert input")).to_be_checked()
    page.locator("#prompt textarea").fill("a portrait wearing a yellow spacesuit, space")
    job = generate(page)
    expect(job).to_contain_text("step", timeout=PATIENCE)
    expect(page.locator("#forming img")).to_be_visible(timeout=PATIENCE)
    expect(job).to_contain_text("kept pixels changed: 0 of", timeout=PATIENCE)
    assert page.locator("#seed-used").inner_text().isdigit()
    expect(page.locator("#compare img")).to_have_count(2)
    captions = page.locator("#strip .caption-label")
    expect(captions).to_have_text(["input", "mask", "control map", re.compile(r"seed \d+")])
    result, original = (Photo.open(path).pixels for path in (downloaded(page, tmp_path), EXAMPLE))
    assert result.shape == original.shape
    assert 0.1 < (result == original).all(axis=2).mean() < 0.9


def test_grain_and_look_are_laid_over_what_is_shown_and_nothing_is_painted_again(
    page: Page, tmp_path: Path
) -> None:
    def offered() -> np.ndarray:
        return Photo.open(downloaded(page, tmp_path)).pixels.astype(int)

    pick_example(page)
    open_fold(page, "Sampling")
    set_number(page, "steps", 2)
    open_fold(page, "Finishing")
    page.locator("#film_grain input").check()
    page.locator("#film_grain input").uncheck()  # before there is anything, nothing happens
    job = generate(page)
    expect(job).to_contain_text("kept pixels", timeout=PATIENCE)
    seed, plain = page.locator("#seed-used").inner_text(), offered()
    said = job.inner_text()
    page.locator("#film_grain input").check()
    expect(job).not_to_have_text(said, timeout=PATIENCE)
    expect(job).to_contain_text("kept pixels changed: 0 of", timeout=PATIENCE)
    assert page.locator("#seed-used").inner_text() == seed
    expect(page.locator("#generate")).to_be_enabled()
    wait_until(lambda: (offered() != plain).any())  # its link may come a little later
    assert abs(offered() - plain).mean() < 5
    said = job.inner_text()
    page.locator("#prompt textarea").fill("something else")
    page.locator("#film_grain input").uncheck()
    page.wait_for_timeout(1000)
    assert job.inner_text() == said, "a new prompt waits for Generate"


def test_choosing_the_mask_compares_and_offers_it(page: Page, tmp_path: Path) -> None:
    pick_example(page)
    open_fold(page, "Sampling")
    set_number(page, "steps", 2)
    expect(generate(page)).to_contain_text("kept pixels", timeout=PATIENCE)
    page.locator("#strip button.thumbnail-item").nth(1).click()
    page.wait_for_timeout(1000)
    mask = np.asarray(Image.open(downloaded(page, tmp_path)))
    assert {0, 255} <= set(np.unique(mask))


def test_dilating_grows_and_inverting_turns_the_repainted_share(page: Page) -> None:
    pick_example(page)
    at_first = share(page)
    set_number(page, "mask_dilate", 5)
    expect(page.locator("#mask .share")).not_to_have_text(f"{at_first}% repainted")
    assert share(page) > at_first
    set_number(page, "mask_dilate", 0)
    straight = share(page)
    page.locator("#mask_invert input").uncheck()
    expect(page.locator("#mask .share")).not_to_have_text(f"{straight}% repainted")
    assert abs(share(page) + straight - 100) <= 1


def test_the_unit_converts_the_length(page: Page) -> None:
    pick_example(page)
    set_number(page, "mask_dilate", -5)
    before = share(page)
    page.locator("#mask_dilate_unit label", has_text="px").click()
    field = page.locator("#mask_dilate input[type=number]")
    expect(field).not_to_have_value("-5")
    assert abs(share(page) - before) <= 1


def test_a_word_that_is_not_there_is_said_and_not_painted(page: Page) -> None:
    pick_example(page)
    page.locator("#mask_prompt textarea").fill("zeppelin")
    expect(page.locator("#mask")).to_contain_text("no zeppelin found", timeout=PATIENCE)
    expect(generate(page)).to_contain_text("No zeppelin found", timeout=PATIENCE)
    expect(page.locator("#generate")).to_be_enabled()


def test_cancel_stops_and_the_next_job_runs(page: Page) -> None:
    pick_example(page)
    open_fold(page, "Sampling")
    set_number(page, "steps", 50)
    expect(generate(page)).to_contain_text("step", timeout=PATIENCE)
    page.locator("#cancel").click()
    expect(page.locator("#job")).to_contain_text("Cancelled: press Generate")
    expect(page.locator("#generate")).to_be_enabled()
    set_number(page, "steps", 2)
    expect(generate(page)).to_contain_text("kept pixels changed: 0", timeout=PATIENCE)


def test_several_images_stand_side_by_side(page: Page) -> None:
    pick_example(page)
    open_fold(page, "Sampling")
    set_number(page, "steps", 2)
    set_number(page, "num_images", 2)
    page.locator("#seed input").fill("41")
    expect(generate(page)).to_contain_text("kept pixels", timeout=PATIENCE)
    captions = page.locator("#strip .caption-label")
    expect(captions).to_have_text(["input", "mask", "control map", "seed 41", "seed 42"])


def test_a_file_that_is_no_picture_is_refused_in_one_sentence(page: Page, tmp_path: Path) -> None:
    for name, content, message in (
        ("letter.jpg", b"Dear Sir or Madam", "no picture we can read"),
        ("half.png", EXAMPLE.read_bytes()[:9000], "is damaged"),
    ):
        (tmp_path / name).write_bytes(content)
        page.locator("#upload input[type=file]").first.set_input_files(tmp_path / name)
        expect(page.locator("#job .alert")).to_contain_text(message, timeout=PATIENCE)
        expect(page.locator("#upload")).to_be_visible()
    pick_example(page)
    page.locator("#change").click()
    page.locator("#upload input[type=file]").first.set_input_files(tmp_path / "letter.jpg")
    expect(page.locator("#job .alert")).to_contain_text("no picture we can read", timeout=PATIENCE)


def test_a_turned_phone_photo_is_shown_upright(page: Page, tmp_path: Path) -> None:
    turned = Image.open(EXAMPLE).convert("RGB").rotate(90, expand=True)
    exif = Image.Exif()
    exif[274] = 6
    turned.save(tmp_path / "phone.jpg", exif=exif)
    page.locator("#upload input[type=file]").first.set_input_files(tmp_path / "phone.jpg")
    picture = page.locator("#mask canvas")
    expect(picture).to_be_visible(timeout=PATIENCE)
    page.wait_for_timeout(500)
    assert picture.evaluate("canvas => canvas.height > canvas.width")


def test_a_size_can_be_given_and_taken_back(page: Page) -> None:
    pick_example(page)
    open_fold(page, "Sampling")
    set_number(page, "steps", 2)
    open_fold(page, "Size")
    for side, text in (("w", "100"), ("h", "96")):
        page.locator(f"#{side} input").fill(text)
        page.keyboard.press("Tab")
    page.evaluate(IDLE)
    expect(generate(page)).to_contain_text("Width (w): takes a multiple of 8 from 64 to 4096")
    expect(page.locator("#generate")).to_be_enabled()
    for side in ("w", "h"):
        page.locator(f"#{side} input").fill("")
        page.keyboard.press("Tab")
    expect(generate(page)).to_contain_text("kept pixels changed: 0", timeout=PATIENCE)


def test_another_photo_can_be_chosen(page: Page) -> None:
    pick_example(page)
    page.locator("#change").click()
    expect(page.locator("#upload")).to_be_visible()
    expect(page.locator("#mask canvas")).not_to_be_visible()


def test_what_a_knob_does_is_said_on_its_name(page: Page) -> None:
    hint = page.locator("#cfg_scale .info-text")
    expect(hint).not_to_be_visible()
    page.locator("#cfg_scale [data-testid=block-info]").hover()
    expect(hint).to_contain_text("how literally the prompt is taken")


def test_on_a_phone_it_is_one_column_without_sideways_scrolling(
    browser: Browser, address: str
) -> None:
    page = browser.new_page(viewport={"width": 390, "height": 844})
    page.goto(address)
    expect(page.locator("#generate")).to_be_visible(timeout=PATIENCE)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    places = [page.locator(f"#{name}").bounding_box() for name in ("upload", "prompt", "forming")]
    assert [box["y"] for box in places if box] == sorted(box["y"] for box in places if box)
    page.close()


def choose_style(page: Page, title: str) -> None:
    page.locator("#style input").click()
    page.locator("#style [role=option]", has_text=title).click()


def test_a_style_brings_the_guidance_scale_that_suits_it_unless_a_block_says_more(
    page: Page,
) -> None:
    scale = page.locator("#cfg_scale input[type=number]")
    expect(scale).to_have_value("2.5")
    choose_style(page, "Photo")
    expect(scale).to_have_value("5")
    page.locator("#prompt textarea").fill("a knight\nstyle=ink\nsteps=2")
    expect(scale).to_have_value("2.5")
    page.locator("#prompt textarea").fill("a knight\nstyle=photo\ncfg_scale=2.5")
    expect(page.locator("#style input")).to_have_value(re.compile("Photo"))
    page.wait_for_timeout(500)
    expect(scale).to_have_value("2.5")


def test_a_full_size_style_downloads_in_sight_and_without_the_hub_the_pack_goes_on(
    browser: Browser, whole_hub: HubServer, tmp_path: Path
) -> None:
    whole_hub.seconds_per_file = 0.3  # so that a busy machine shows it, too
    hub = {"HF_ENDPOINT": whole_hub.url, "HF_HOME": str(tmp_path / "home")}
    with running_app(tmp_path, **hub) as address, opened(browser, address) as page:
        pick_example(page)
        open_fold(page, "Sampling")
        set_number(page, "steps", 2)
        brush(page, "keep", (0.2, 0.3), (0.8, 0.3))
        brush(page, "repaint", (0.2, 0.6), (0.8, 0.6))
        page.evaluate(
            "window.seen = new Set();"
            "setInterval(() => seen.add(document.querySelector('#job').innerText), 20)"
        )
        choose_style(page, "Photo")
        generate(page)
        expect(page.locator("#seed-used")).to_be_visible(timeout=PATIENCE)
        seen = page.evaluate("[...seen]")
        assert any(".safetensors" in text and "MB" in text for text in seen)
        whole_hub.fault = Fault.SERVER_ERROR
        choose_style(page, "Flat")
        expect(generate(page)).to_contain_text("answers with error 503", timeout=PATIENCE)
        expect(page.locator("#style input")).to_have_value("Drawn")
        expect(page.locator("#cfg_scale input[type=number]")).to_have_value("2.5")
        expect(generate(page)).to_contain_text("kept pixels changed: 0", timeout=PATIENCE)
        page.reload()
        expect(page.locator("#style input")).to_have_value("Drawn", timeout=PATIENCE)
        open_fold(page, "Compare")
        for menu in ("#style", "#styles"):
            page.locator(f"{menu} input").click()
            here = page.locator(f"{menu} [role=option]", has_text="Photo")
            expect(here).not_to_contain_text("download")
            page.keyboard.press("Escape")


def test_the_status_says_why_a_style_works_or_not(
    browser: Browser, whole_hub: HubServer, tmp_path: Path
) -> None:
    hub = {"HF_ENDPOINT": whole_hub.url, "HF_HOME": str(tmp_path / "home")}
    with running_app(tmp_path, **hub) as address, opened(browser, address) as page:
        expect(page.locator("#health")).to_be_hidden()
        page.locator("#why").click()
        expect(page.locator("#health")).to_contain_text("Drawn will work here.")
        expect(page.locator("#health tr.good th").first).to_have_text("Python")
        expect(page.locator("#health tr.bad")).to_have_count(0)
        page.locator("#close-health").click()
        expect(page.locator("#health")).to_be_hidden()

        whole_hub.fault = Fault.SLOW
        choose_style(page, "Photo")
        page.locator("#why").click()
        expect(page.locator("#health")).to_contain_text("it takes up to ten seconds")
        choose_style(page, "Drawn")
        pick_example(page)  # the page goes on while the hub is waited for
        expect(page.locator("#health .alert").first).to_contain_text("check the connection")
        expect(page.locator("#health tr.bad").first).to_contain_text("not available")
        whole_hub.close()


def test_a_full_queue_is_told_and_generate_can_be_pressed_again(page: Page) -> None:
    pick_example(page)
    page.route(
        "**/gradio_api/queue/join*",
        lambda route: route.fulfill(status=503, json={"detail": BUSY}),
    )
    expect(generate(page)).to_contain_text("queue are taken: try again")
    expect(page.locator("#generate")).to_be_enabled()
    page.unroute("**/gradio_api/queue/join*")
    open_fold(page, "Sampling")
    set_number(page, "steps", 2)
    expect(generate(page)).to_contain_text("kept pixels changed: 0", timeout=PATIENCE)


def test_a_closed_tab_leaves_no_half_painted_picture(browser: Browser, tmp_path: Path) -> None:
    def previews() -> list[str]:
        return [path.name for path in tmp_path.rglob("preview-*.jpg")]

    with running_app(tmp_path) as url:
        with opened(browser, url) as page:
            pick_example(page)
            open_fold(page, "Sampling")
            set_number(page, "steps", 50)
            generate(page)
            expect(page.locator("#forming img")).to_be_visible(timeout=PATIENCE)
            assert 0 < len(previews()) <= KEPT_PREVIEWS
        wait_until(lambda: not previews())
    assert not list(tmp_path.rglob("masquerade-*")), "a server that ends takes its files with it"


def test_what_a_new_picture_replaces_can_be_had_a_little_longer(
    page: Page, app_folder: Path
) -> None:
    """A click may be on its way while the link changes."""
    earlier = set(app_folder.rglob("*seed-*.png"))

    def retired() -> list[bool]:
        files = set(app_folder.rglob("*seed-*.png")) - earlier
        ages = [time.time() - one.stat().st_mtime for one in files]
        return sorted(age > Limits.age - 2 * Limits.young for age in ages)

    pick_example(page)
    open_fold(page, "Sampling")
    set_number(page, "steps", 2)
    job = generate(page)
    expect(job).to_contain_text("kept pixels", timeout=PATIENCE)
    wait_until(lambda: retired() == [False])
    with page.expect_download() as download:
        page.locator("#download").click()
    link, said = download.value.url, job.inner_text()
    generate(page)
    expect(job).not_to_have_text(said, timeout=PATIENCE)
    expect(job).to_contain_text("kept pixels", timeout=PATIENCE)
    wait_until(lambda: retired() == [False, True])
    assert page.request.get(link).ok
