"""Browser tests of prompt blocks, finishing and comparison on the page."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, Route, expect

from inference.recipe.prompt_block import parse
from tests.support.browser import (
    PATIENCE,
    downloaded,
    generate,
    open_fold,
    pick_example,
    set_number,
    share,
)

pytestmark = pytest.mark.browser

BLOCK = """\
a portrait of a person wearing a red coat, snow --mask_prompt head, hair --mask_invert \
--mask_dilate -2% --hires_denoising_strength 0.2
num_images=2
negative_prompt=clay
seed=41
steps=2
controlnet=
film_grain=true
film_grain_amount=5
color_grading=Ektar
scheduler=euler_a
w=192
h=240
"""


def test_a_pasted_block_fills_the_page_and_runs_as_it_is(page: Page) -> None:
    pick_example(page)
    page.locator("#prompt textarea").fill(BLOCK)
    expect(page.locator("#prompt textarea")).to_have_value(
        "a portrait of a person wearing a red coat, snow"
    )
    expect(page.locator("#job")).to_contain_text("settings are taken")
    expect(page.locator("#mask_prompt textarea")).to_have_value("head, hair")
    expect(page.locator("#mask_negative textarea")).to_have_value("")
    expect(page.locator("#mask_dilate input[type=number]")).to_have_value("-2")
    expect(page.locator("#mask .chip")).to_have_count(2, timeout=PATIENCE)
    expect(page.locator("#mask .chip").last).to_contain_text("hair")
    expect(generate(page)).to_contain_text("kept pixels changed: 0", timeout=PATIENCE)
    captions = page.locator("#strip .caption-label")
    expect(captions).to_have_text(["input", "mask", "seed 41", "seed 42"])


def test_what_the_page_writes_is_what_was_pasted(page: Page) -> None:
    page.locator("#prompt textarea").fill(BLOCK)
    expect(page.locator("#job")).to_contain_text("settings are taken")
    open_fold(page, "Prompt block")
    page.locator("#write").click()
    block = page.locator("#block textarea")
    expect(block).to_have_value(re.compile("steps=2"))
    wanted, written = parse(BLOCK).recipe, parse(block.input_value()).recipe
    # The page always names a style, and its slider a guidance scale.
    shown = {"style": "drawn", "cfg_scale": 2.5}
    assert written == wanted.model_copy(update=shown)


def test_a_menu_of_controls_that_comes_late_leaves_what_a_block_has_set(page: Page) -> None:
    held: list[Route] = []

    def hold_menus(route: Route) -> None:
        if (route.request.post_data_json or {}).get("data") == ["ink", "pose"]:
            held.append(route)
        else:
            route.continue_()

    page.route("**/gradio_api/run/predict*", hold_menus)
    page.locator("#style input").click()
    page.locator("#style [role=option]", has_text="Ink").click()
    page.locator("#prompt textarea").fill("a garden\nstyle=ink\ncontrolnet=")
    open_fold(page, "Control")
    expect(page.locator("#controlnet input")).to_have_value("Off")
    with page.expect_response(lambda answer: "choices" in answer.text()):
        held[0].continue_()
    page.wait_for_timeout(300)
    expect(page.locator("#controlnet input")).to_have_value("Off")


def test_what_cannot_be_taken_from_a_block_is_said(page: Page) -> None:
    for block, message in (
        ("a garden\nsteps=3\nglitter=yes", "unknown here: glitter"),
        ("a garden\nsteps=99", "Steps (steps): takes a whole number from 1 to 50"),
        ("a garden\ninput_image_url=ftp://example.org/x", "begin it with https://"),
        ("a garden\ninput_image_url=http://127.0.0.1/x.png", "public internet"),
    ):
        page.locator("#prompt textarea").fill(block)
        expect(page.locator("#job")).to_contain_text(message)


def test_a_plain_prompt_is_left_as_it_is(page: Page) -> None:
    page.locator("#prompt textarea").fill("1 + 1 = 2, well-known -- or not")
    page.wait_for_timeout(1500)
    expect(page.locator("#prompt textarea")).to_have_value("1 + 1 = 2, well-known -- or not")
    expect(page.locator("#job")).not_to_contain_text("taken")


def test_finishing_is_shown_on_the_way_and_keeps_what_is_kept(page: Page) -> None:
    pick_example(page)
    open_fold(page, "Sampling")
    set_number(page, "steps", 4)
    open_fold(page, "Finishing")
    for stage in ("super_resolution", "hires_fix", "film_grain"):
        page.locator(f"#{stage} input").check()
    page.evaluate(
        "window.seen = new Set();"
        "setInterval(() => seen.add(document.querySelector('#job').innerText), 10)"
    )
    expect(generate(page)).to_contain_text("kept pixels changed: 0 of", timeout=PATIENCE)
    seen = " ".join(page.evaluate("[...seen]"))
    assert "Enlarging" in seen
    assert "Refining" in seen


def test_styles_stand_side_by_side_with_a_sheet_of_all(page: Page) -> None:
    pick_example(page)
    open_fold(page, "Sampling")
    set_number(page, "steps", 2)
    open_fold(page, "Compare")
    for title in ("Ink", "Soft"):
        page.locator("#styles input").click()
        page.locator("#styles [role=option]", has_text=title).click()
    page.locator("#vary input, #vary textarea").fill("cfg_scale=2, 5")
    page.keyboard.press("Tab")
    expect(generate(page)).to_contain_text("4 pictures", timeout=PATIENCE)
    captions = page.locator("#strip .caption-label")
    expect(captions).to_have_text([
        "input", "mask", "Ink, CFG scale 2", "Soft, CFG scale 2", "Ink, CFG scale 5",
        "Soft, CFG scale 5", "contact sheet",
    ])  # fmt: skip
    page.locator("#vary input, #vary textarea").fill("glitter=1")
    page.keyboard.press("Tab")
    expect(generate(page)).to_contain_text("«glitter» cannot be varied", timeout=PATIENCE)


def test_the_control_map_can_be_seen_before_painting(page: Page) -> None:
    pick_example(page)
    open_fold(page, "Control")
    expect(page.locator("#control-map img")).to_have_count(0)
    page.locator("#show-map").click()
    expect(page.locator("#control-map img")).to_be_visible(timeout=PATIENCE)
    expect(page.locator("#job")).not_to_contain_text("step")


def test_the_control_map_of_a_painting_is_in_its_fold(page: Page) -> None:
    pick_example(page)
    expect(generate(page)).to_contain_text("kept pixels changed", timeout=PATIENCE)
    open_fold(page, "Control")
    expect(page.locator("#control-map img")).to_be_visible(timeout=PATIENCE)


def test_a_recipe_to_begin_with_is_one_click_away(page: Page) -> None:
    pick_example(page)
    open_fold(page, "Prompt block")
    page.locator("#recipes button", has_text="Product").click()
    expect(page.locator("#job")).to_contain_text("settings are taken")
    expect(page.locator("#prompt textarea")).not_to_have_value("")
    expect(page.locator("#mask_negative textarea")).to_have_value("")


def test_a_picture_that_is_dropped_back_in_brings_its_settings_and_its_mask(
    page: Page, tmp_path: Path
) -> None:
    pick_example(page)
    page.locator("#prompt textarea").fill(BLOCK)
    expect(page.locator("#mask_prompt textarea")).to_have_value("head, hair")
    expect(generate(page)).to_contain_text("kept pixels changed: 0", timeout=PATIENCE)
    file = downloaded(page, tmp_path)
    painted = share(page)
    page.reload()
    expect(page.locator("#status .ready")).to_be_visible(timeout=PATIENCE)
    page.locator("#upload input[type=file]").first.set_input_files(file)
    expect(page.locator("#job")).to_contain_text("its settings and its mask are back")
    expect(page.locator("#prompt textarea")).to_have_value(
        "a portrait of a person wearing a red coat, snow"
    )
    expect(page.locator("#mask_prompt textarea")).to_have_value("")
    open_fold(page, "Sampling")
    expect(page.locator("#seed input")).to_have_value("41")
    expect(page.locator("#mask canvas")).to_be_visible()
    assert abs(share(page) - painted) <= 1
