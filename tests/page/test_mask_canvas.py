"""Browser tests of the mask canvas: pixels equal to the server's, sliders, brush and views."""

from __future__ import annotations

import base64
import re
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from inference import Photo, Recipe, Studio
from inference.picture.geometry import Box, View
from tests.support.browser import (
    EXAMPLE,
    PATIENCE,
    brush,
    downloaded,
    generate,
    open_fold,
    pick_example,
    set_number,
    share,
)

pytestmark = pytest.mark.browser

Bytes = npt.NDArray[np.uint8]

# The drawn layer's opacity is the mask. Reading waits for the frame that was asked for.
READ_MASK = """
() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => {
  const canvas = document.querySelector("#mask canvas"), { width, height } = canvas;
  const { data } = canvas.getContext("2d").getImageData(0, 0, width, height);
  const mask = new Uint8Array(width * height);
  for (let i = 0; i < mask.length; i++) mask[i] = data[4 * i + 3];
  let text = "";
  for (let i = 0; i < mask.length; i += 32768) {
    text += String.fromCharCode(...mask.subarray(i, i + 32768));
  }
  done([width, height, btoa(text)]);
})))
"""
BELIEVES = """
() => {
  let owner = document.querySelector("#mask .mask-canvas");
  while (!owner.maskCanvas) owner = owner.parentElement;
  return JSON.stringify(owner.maskCanvas.settings);
}
"""
MOVE = """
([settings, strokes]) => {
  const set = (control, value) => {
    control.value = value;
    control.dispatchEvent(new Event("input", { bubbles: true }));
  };
  for (const [name, value] of Object.entries(settings)) {
    if (name === "mask_invert") {
      const box = document.querySelector("#mask_invert input");
      if (box.checked !== value) box.click();
    } else set(document.querySelector(`#${name} input[type=number]`), value);
  }
  const field = document.querySelector("#mask_strokes input");
  if (field.value !== strokes) set(field, strokes);
}
"""


@pytest.fixture(scope="module")
def studio() -> Studio:
    return Studio(style="drawn")


@pytest.fixture
def page(page: Page) -> Page:
    """The page with an example opened."""
    pick_example(page)
    return page


def drawn_mask(page: Page) -> Bytes:
    """The mask that the canvas shows, (h, w) of 0–255."""
    width, height, text = page.evaluate(READ_MASK)
    return np.frombuffer(base64.b64decode(text), dtype=np.uint8).reshape(height, width)


def settled_mask(page: Page, wanted: Bytes) -> tuple[int, str]:
    """Largest difference between the canvas and a mask, once they agree or after ten seconds; and
    the settings of the canvas."""
    for _ in range(200):
        worst = int(np.abs(drawn_mask(page).astype(int) - wanted).max())
        if worst <= 1:
            break
        page.wait_for_timeout(50)  # strokes that come as text are noticed in a while
    return worst, page.evaluate(BELIEVES)


def view(page: Page, name: str) -> None:
    page.locator(f"[data-view={name}]").click()


def click(page: Page, spot: tuple[float, float]) -> None:
    """Click on a place of the picture, in 0–1."""
    box = page.locator("#mask canvas").bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + spot[0] * box["width"], box["y"] + spot[1] * box["height"])


def strokes_of(page: Page) -> str:
    return page.locator("#mask_strokes input").input_value()


def alpha_of(studio: Studio, photo: Photo, recipe: Recipe) -> Bytes:
    """The server's mask, at the canvas's resolution."""
    alpha = studio.select(photo, recipe).preview_alpha(recipe)
    return np.rint(alpha * 255).astype(np.uint8)


# --- exact --------------------------------------------------------------------------------------


def random_strokes(rng: np.random.Generator) -> str:
    strokes = []
    for _ in range(rng.integers(0, 4)):
        points = rng.integers(0, 10_001, (rng.integers(1, 5), 2))
        sign = "+" if rng.random() < 0.5 else "-"
        text = " ".join(f"{x},{y}" for x, y in points)
        strokes.append(f"{sign}{rng.integers(20, 1500)}:{text}")
    return ";".join(strokes)


def test_100_random_settings_give_the_same_pixels_here_and_there(
    page: Page, studio: Studio
) -> None:
    view(page, "mask")
    open_fold(page, "Mask")
    expect(page.locator("#mask_feather")).to_be_visible()
    photo = Photo.open(EXAMPLE)
    rng = np.random.default_rng(4)
    strokes = ""
    for k in range(100):
        strokes = random_strokes(rng) if k % 4 == 0 else strokes
        settings = {
            "mask_threshold": round(float(rng.uniform(0.05, 0.95)), 2),
            "mask_dilate": float(rng.integers(-24, 25)) / 2,
            "mask_feather": float(rng.choice([0, 0, 0.5, 2, 7.5, 64])),
            "mask_invert": bool(rng.random() < 0.5),
        }
        page.evaluate(MOVE, [settings, strokes])
        recipe = Recipe.parse(
            {**settings, "mask_dilate": f"{settings['mask_dilate']}%", "mask_strokes": strokes}
        )
        worst, believed = settled_mask(page, alpha_of(studio, photo, recipe))
        assert worst <= 1, (k, settings, strokes, believed)


def test_a_matte_replaces_the_soft_line_until_something_moves(page: Page, studio: Studio) -> None:
    view(page, "mask")
    open_fold(page, "Mask")
    photo, soft = Photo.open(EXAMPLE), Recipe()
    assert settled_mask(page, alpha_of(studio, photo, soft))[0] <= 1, "a drawing has none"
    page.locator("#mask_edges input").click()
    page.get_by_role("option", name="Matte").click()
    for dilate in (0.5, 2):
        set_number(page, "mask_dilate", dilate)
        recipe = Recipe(mask_edges="matte", mask_dilate=f"{dilate}%")
        selection = studio.select(photo, recipe)
        size = selection.detection.view.size
        whole = View(whole=selection.canvas.size, box=Box.whole(selection.canvas.size), size=size)
        matte = np.rint(selection.alpha(recipe, whole) * 255).astype(np.uint8)
        line = alpha_of(studio, photo, recipe)
        assert np.abs(matte.astype(int) - line).max() > 100, "they can be told apart"
        assert settled_mask(page, matte)[0] <= 1
    page.locator("#mask_dilate input[type=range]").press("ArrowRight")
    moved = alpha_of(studio, photo, Recipe(mask_dilate="2.5%"))
    assert np.abs(drawn_mask(page).astype(int) - moved).max() <= 1


def test_a_click_takes_the_thing_that_lies_there_as_the_server_does(
    page: Page, studio: Studio
) -> None:
    view(page, "mask")
    photo = Photo.open(EXAMPLE)
    seen = alpha_of(studio, photo, Recipe())
    for tool, spot, sign in (("keep", (0.5, 0.93), "+"), ("repaint", (0.5, 0.45), "-")):
        page.locator(f"[data-tool={tool}]").click()
        click(page, spot)
        expect(page.locator("#mask_strokes input")).to_have_value(re.compile(rf"\{sign}0:\d+,\d+$"))
        wanted = alpha_of(studio, photo, Recipe.parse({"mask_strokes": strokes_of(page)}))
        assert (np.abs(wanted.astype(int) - seen) > 200).mean() > 0.01, "something was there"
        assert settled_mask(page, wanted)[0] <= 1
        seen = wanted
    page.keyboard.press("Control+z")
    kept = alpha_of(studio, photo, Recipe.parse({"mask_strokes": strokes_of(page)}))
    assert settled_mask(page, kept)[0] <= 1
    page.keyboard.press("Control+z")
    assert strokes_of(page) == ""


def test_a_click_with_shift_is_a_dab_of_the_brush(page: Page) -> None:
    page.locator("[data-tool=keep]").click()
    page.keyboard.down("Shift")
    click(page, (0.1, 0.1))
    page.keyboard.up("Shift")
    expect(page.locator("#mask_strokes input")).to_have_value(re.compile(r"^\+[1-9]\d*:\d+,\d+$"))


def test_the_mask_that_is_painted_with_is_the_one_that_was_seen(page: Page, tmp_path: Path) -> None:
    brush(page, "keep", (0.7, 0.2), (0.9, 0.3))
    view(page, "mask")
    seen = drawn_mask(page)
    open_fold(page, "Sampling")
    set_number(page, "steps", 1)
    expect(generate(page)).to_contain_text("kept pixels", timeout=PATIENCE)
    page.locator("#strip button.thumbnail-item").nth(1).click()
    page.wait_for_timeout(1000)
    painted = Image.open(downloaded(page, tmp_path)).convert("L").resize(seen.shape[::-1])
    differs = np.abs(np.asarray(painted).astype(int) - seen) > 100
    # The file has the photo's resolution: the soft edge is brought to it and back.
    assert differs.mean() < 0.002


# --- sliders, without the server ----------------------------------------------------------------


def test_sliders_and_strokes_ask_the_server_nothing(page: Page) -> None:
    open_fold(page, "Mask")
    page.wait_for_timeout(1200)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    before = drawn_mask(page)
    for knob in ("mask_dilate", "mask_threshold", "mask_feather"):
        slider = page.locator(f"#{knob} input[type=range]")
        for _ in range(6):
            slider.press("ArrowLeft" if knob == "mask_threshold" else "ArrowRight")
        after = drawn_mask(page)
        assert (before != after).any(), knob
        before = after
    brush(page, "keep", (0.1, 0.1), (0.3, 0.1))
    page.locator("#mask_invert input").click()
    assert (before != drawn_mask(page)).mean() > 0.5
    assert not [url for url in asked if "data:" not in url and "heartbeat" not in url]


def test_a_slider_keeps_its_say_when_its_fold_is_closed(page: Page) -> None:
    open_fold(page, "Mask")
    view(page, "mask")
    plain = drawn_mask(page)
    set_number(page, "mask_feather", 40)
    soft = drawn_mask(page)
    assert (plain != soft).any()
    open_fold(page, "Mask")  # closes it
    expect(page.locator("#mask_feather")).not_to_be_visible()
    page.wait_for_timeout(1200)
    assert (drawn_mask(page) == soft).all()


def test_dilating_moves_the_edge_of_a_brushed_disc_by_so_much(page: Page) -> None:
    open_fold(page, "Mask")
    set_number(page, "mask_feather", 0)
    page.locator("#mask_prompt textarea").fill("zeppelin")
    expect(page.locator("#mask .chip").first).to_contain_text("no zeppelin", timeout=PATIENCE)
    view(page, "mask")
    page.locator("#mask_invert input").uncheck()
    set_number(page, "mask_dilate", 0)
    page.locator(".mc-tools input").fill("85")
    brush(page, "repaint", (0.5, 0.5))
    disc = drawn_mask(page) > 0
    assert disc.any()
    page.locator("#mask_dilate_unit label", has_text="px").click()
    # 0 stays 0, but the slider's range is the unit's once the server has answered.
    expect(page.locator("#mask_dilate input[type=range]")).to_have_attribute("max", "256")
    page.wait_for_timeout(1200)  # its value follows a moment after its range
    # The photo is upright: its width is the short side, 512 pixels of a length.
    scale = 512 / disc.shape[1]
    for radius in (-20, 30):
        set_number(page, "mask_dilate", radius)
        grown = drawn_mask(page) > 0
        radii = [np.sqrt(one.sum() / np.pi) * scale for one in (disc, grown)]
        assert radii[1] - radii[0] == pytest.approx(radius, abs=1)


def test_percent_and_pixels_show_each_other(page: Page) -> None:
    set_number(page, "mask_dilate", 5)
    other = page.locator("#mask_dilate_unit label", has_text="px")
    expect(other).to_have_attribute("data-twin", "25.6 ")
    other.click()
    expect(page.locator("#mask_dilate input[type=number]")).to_have_value("25.6")
    percent = page.locator("#mask_dilate_unit label", has_text="%")
    expect(percent).to_have_attribute("data-twin", "5 ")


def beside(page: Page, name: str) -> str | None:
    """What the page shows beside the name of a length."""
    page.wait_for_timeout(600)  # it follows within a quarter of a second
    return page.locator(f"#{name} [data-testid=block-info]").get_attribute("data-here")


def test_a_length_says_what_it_is_in_this_photo(page: Page) -> None:
    assert Photo.open(EXAMPLE).size == (768, 960)
    set_number(page, "mask_dilate", -2.5)
    assert beside(page, "mask_dilate") == "= -19 px in this photo"
    page.locator("#mask_dilate_unit label", has_text="px").click()
    expect(page.locator("#mask_dilate input[type=number]")).to_have_value("-12.8")
    assert beside(page, "mask_dilate") == "= -19 px in this photo"
    set_number(page, "mask_dilate", -2)
    assert beside(page, "mask_dilate") == "= -3 px in this photo"
    open_fold(page, "Mask")
    set_number(page, "mask_feather", 64)
    assert beside(page, "mask_feather") == "= 96 px in this photo, 12.5%"
    open_fold(page, "Finishing")
    assert beside(page, "film_grain_size") is None
    page.locator("#film_grain_size input, #film_grain_size textarea").fill("2.56")
    assert beside(page, "film_grain_size") == "= 3.8 px in this photo, 0.5%"


def test_the_brush_says_its_size_in_this_photo(page: Page) -> None:
    size = page.locator(".mc-size")
    page.locator(".mc-tools input").fill("100")
    expect(size).to_have_text(f"{2 * 0.2 * min(Photo.open(EXAMPLE).size):.0f} px")
    page.keyboard.press("Escape")
    page.locator(".mc-stage").focus()
    before = size.inner_text()
    page.keyboard.press("[")
    expect(size).not_to_have_text(before)


# --- words --------------------------------------------------------------------------------------


def test_each_word_says_its_score_and_its_share_and_shows_its_heatmap(page: Page) -> None:
    chip = page.locator("#mask .chip").first
    expect(chip).to_have_text(re.compile(r"foreground [01]\.\d\d · \d\d%"))
    expect(page.locator("#mask .mc-words > :last-child")).to_have_text("read as a drawing")
    combined = drawn_mask(page)
    chip.click()
    expect(chip).to_have_attribute("aria-pressed", "true")
    expect(page.locator("[data-view=heat]")).to_have_attribute("aria-checked", "true")
    expect(page.locator(".mc-legend")).to_be_visible()
    assert (drawn_mask(page) != combined).mean() > 0.9
    page.locator("#mask .chip").first.click()
    expect(page.locator("[data-view=overlay]")).to_have_attribute("aria-checked", "true")


def test_a_threshold_of_its_own_makes_a_word_found_or_not(page: Page) -> None:
    page.locator("#mask_prompt textarea").fill("face, glasses:0.05")
    chips = page.locator("#mask .chip")
    expect(chips).to_have_count(3, timeout=PATIENCE)
    page.locator("#mask_prompt textarea").fill("face:0.4, glasses:2")
    expect(page.locator(".mc-note")).to_contain_text("takes thresholds from 0.05 to 0.95")


def test_a_mask_of_almost_nothing_or_almost_all_is_warned_of(page: Page) -> None:
    note = page.locator(".mc-note")
    expect(note).to_be_empty()
    set_number(page, "mask_dilate", 50)
    expect(note).to_contain_text("would be kept")
    page.locator("#mask_invert input").uncheck()
    set_number(page, "mask_dilate", -50)
    expect(note).to_contain_text("would be repainted")
    page.locator("#mask_prompt textarea").fill("zeppelin")
    expect(note).to_contain_text("None of the words was found", timeout=PATIENCE)


# --- brush --------------------------------------------------------------------------------------


def test_a_stroke_keeps_or_repaints_whatever_invert_says(page: Page) -> None:
    view(page, "mask")
    height, width = drawn_mask(page).shape
    corner = (slice(height * 2 // 20, height * 2 // 20 + 3), slice(width // 5, width // 5 + 3))
    assert (drawn_mask(page)[corner] == 255).all()
    brush(page, "keep", (0.1, 0.1), (0.4, 0.1))
    assert (drawn_mask(page)[corner] == 0).all()
    assert strokes_of(page).startswith("+")
    brush(page, "repaint", (0.1, 0.1), (0.4, 0.1))
    assert (drawn_mask(page)[corner] == 255).all()
    page.locator("#mask_invert input").uncheck()
    brush(page, "keep", (0.1, 0.1), (0.4, 0.1))
    assert (drawn_mask(page)[corner] == 0).all()
    assert strokes_of(page).split(";")[-1].startswith("-")


def test_strokes_survive_sliders_and_words_and_go_with_undo_reset_and_another_photo(
    page: Page,
) -> None:
    view(page, "mask")
    undo, reset = page.locator("[data-do=undo]"), page.locator("[data-do=reset]")
    expect(undo).to_be_disabled()
    brush(page, "keep", (0.2, 0.1), (0.4, 0.1))
    brush(page, "keep", (0.2, 0.8), (0.4, 0.9))
    both = strokes_of(page)
    assert both.count(";") == 1
    set_number(page, "mask_dilate", 1)
    page.locator("#mask_prompt textarea").fill("face")
    expect(page.locator("#mask .chip").first).to_contain_text("face", timeout=PATIENCE)
    assert strokes_of(page) == both
    height, width = drawn_mask(page).shape
    assert drawn_mask(page)[round(height * 0.1), round(width * 0.3)] == 0
    undo.click()
    assert strokes_of(page) == both.split(";")[0]
    assert drawn_mask(page)[round(height * 0.85), round(width * 0.3)] == 255
    reset.click()
    assert strokes_of(page) == ""
    assert drawn_mask(page)[round(height * 0.1), round(width * 0.3)] == 255
    undo.click()
    assert strokes_of(page) == both.split(";")[0]
    page.locator("#change").click()
    page.locator("#examples button").nth(1).click()
    expect(page.locator("#mask canvas")).to_be_visible(timeout=PATIENCE)
    page.wait_for_timeout(1200)
    assert strokes_of(page) == ""
    expect(undo).to_be_disabled()


def test_a_finger_brushes_too(browser: Browser, address: str) -> None:
    context = browser.new_context(
        viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True
    )
    page = context.new_page()
    page.goto(address)
    expect(page.locator("#status .ready")).to_contain_text("Drawn", timeout=PATIENCE)
    pick_example(page)
    view(page, "mask")
    page.locator("[data-tool=keep]").tap()
    page.locator(".mc-picture").scroll_into_view_if_needed()
    box = page.locator(".mc-picture").bounding_box()
    assert box is not None
    before = drawn_mask(page)
    touch = context.new_cdp_session(page)
    for k, kind in enumerate(["touchStart", *["touchMove"] * 6, "touchEnd"]):
        place = {
            "x": box["x"] + box["width"] * (0.2 + 0.05 * k),
            "y": box["y"] + 0.1 * box["height"],
        }
        points = [] if kind == "touchEnd" else [place]
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    changed = (before != drawn_mask(page)).mean()
    assert 0.002 < changed < 0.1
    assert strokes_of(page).count(",") >= 4
    context.close()


def test_a_mask_image_is_a_starting_point(page: Page, tmp_path: Path) -> None:
    size = Image.open(EXAMPLE).size
    mask = Image.new("L", size)
    mask.paste(255, (0, 0, size[0] // 4, size[1]))
    mask.save(tmp_path / "mask.png")
    view(page, "mask")
    open_fold(page, "Mask")
    page.locator("#mask-image input[type=file]").set_input_files(tmp_path / "mask.png")
    expect(page.locator("#mask .chip")).to_have_count(0, timeout=PATIENCE)
    page.wait_for_timeout(1200)
    assert abs(share(page) - 25) <= 1
    assert drawn_mask(page)[:, 5].min() == 255
    brush(page, "keep", (0.1, 0.2), (0.1, 0.8))
    assert (
        drawn_mask(page)[drawn_mask(page).shape[0] // 2, round(drawn_mask(page).shape[1] * 0.1)]
        == 0
    )


# --- views, zoom and keys -----------------------------------------------------------------------


def test_the_area_view_says_what_will_be_painted_at_what_size(page: Page) -> None:
    area = page.locator(".mc-area")
    expect(area).to_be_hidden()
    view(page, "area")
    size = Image.open(EXAMPLE).size
    expect(area).to_contain_text(f"of {size[0]} × {size[1]}, painted at 344 × 432")


def test_zoom_enlarges_the_picture_and_fits_it_again(page: Page) -> None:
    picture = page.locator(".mc-picture")
    before = picture.bounding_box()
    page.locator("[data-do=in]").click()
    page.locator("[data-do=in]").click()
    expect(page.locator("[data-do=fit]")).to_have_text("225%")
    larger = picture.bounding_box()
    assert before is not None
    assert larger is not None
    assert larger["width"] == pytest.approx(2.25 * before["width"], rel=0.02)
    brush(page, "keep", (0.45, 0.4), (0.5, 0.4))
    assert strokes_of(page).startswith("+")
    points = strokes_of(page).split(":")[1].split()
    assert [round(int(value) / 1000) for value in points[0].split(",")] == [4, 4]
    page.locator("[data-do=fit]").click()
    assert picture.bounding_box() == before


def test_keys_invert_and_size_the_brush_but_not_while_typing(page: Page) -> None:
    box, size = page.locator("#mask_invert input"), page.locator(".mc-tools input")
    page.locator(".mc-stage").focus()
    page.keyboard.press("i")
    expect(box).not_to_be_checked()
    page.keyboard.press("]")
    expect(size).to_have_value("55")
    page.keyboard.press("[")
    page.keyboard.press("[")
    expect(size).to_have_value("45")
    page.locator("#prompt textarea").press_sequentially("[in] i")
    expect(box).not_to_be_checked()
    expect(size).to_have_value("45")
    page.locator("#mask_dilate input[type=range]").focus()
    before = drawn_mask(page)
    page.keyboard.press("ArrowRight")
    assert (drawn_mask(page) != before).any()


def test_everything_has_a_name_for_a_screen_reader(page: Page) -> None:
    names = page.evaluate(
        "[...document.querySelectorAll('#mask button, #mask input, #mask canvas')].map(one =>"
        " one.getAttribute('aria-label') || one.textContent.trim())"
    )
    assert len(names) > 12
    assert all(len(name) > 1 for name in names)
