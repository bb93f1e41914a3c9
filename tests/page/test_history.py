"""Tests of the history in a real browser: list, search, compare, star, delete, use, reload."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from inference import Recipe, Result
from inference.library.library import Library
from inference.library.pictures import outcome_of
from inference.library.records import LOCAL_OWNER, NewJob, Origin
from inference.picture.geometry import Box
from tests.support.browser import (
    PATIENCE,
    generate,
    open_fold,
    opened,
    pick_example,
    running_app,
    set_number,
)

pytestmark = pytest.mark.browser

PROMPTS = ("a garden in spring", "a library at night", "a beach", "a garden at night")
SIZE = (60, 75)
# The picture that was set into a wider scene, and its right edge, which has a colour of its own.
WIDENED, WIDTH, EDGE = PROMPTS[2], 120, (250, 240, 20)


def painted(number: int, prompt: str) -> tuple[NewJob, Result]:
    """A job whose picture is of one colour, below a kept half that is the photo's."""
    photo = np.full((SIZE[1], SIZE[0], 3), (40 * number, 90, 120), np.uint8)
    picture = photo.copy()
    picture[SIZE[1] // 2 :] = (200, 40 * number, 60)
    mask = np.zeros(photo.shape[:2], np.uint8)
    mask[SIZE[1] // 2 :] = 255
    file = io.BytesIO()
    Image.fromarray(photo).save(file, "PNG")
    recipe = Recipe(prompt=prompt, style="drawn", seed=number, steps=10 + number)
    new = NewJob(owner=LOCAL_OWNER, origin=Origin.PAGE, recipe=recipe, photo=file.getvalue())
    result = Result(
        images=(picture,), original=photo, mask=mask, control_map=None,
        box=Box.whole(SIZE), recipe=recipe, seconds={}, kept_pixels=2220, kept_pixels_changed=0,
    )  # fmt: skip
    return new, result


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of an app whose library has four pictures."""
    folder = tmp_path_factory.mktemp("history")
    library = Library(folder / "library")
    for number, prompt in enumerate(PROMPTS, 1):
        new, result = (widened if prompt == WIDENED else painted)(number, prompt)
        library.finish(library.accept(new, running=True).id, outcome_of(result))
    library.close()
    with running_app(folder) as url:
        yield url


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Page]:
    """A new tab with the history open."""
    with opened(browser, address) as tab:
        tab.locator("#open-history").click()
        expect(tab.locator("#history-pictures")).to_be_visible(timeout=PATIENCE)
        yield tab


def captions(page: Page) -> list[str]:
    return page.locator("#history-pictures .caption-label").all_inner_texts()


def expect_listed(page: Page, *expected: str) -> None:
    found = page.locator("#history-pictures .caption-label")
    expect(found).to_have_text(list(expected), timeout=PATIENCE)


def choose(page: Page, prompt: str) -> None:
    page.locator("#history-pictures .thumbnail-item", has_text=prompt).first.click()
    expect(page.locator("#history-about .prompt")).to_have_text(prompt, timeout=PATIENCE)


def widened(number: int, prompt: str) -> tuple[NewJob, Result]:
    """A job whose picture has its photo at the left, and a wider scene at the right of it."""
    photo = np.full((SIZE[1], SIZE[0], 3), (40, 90, 120), np.uint8)
    photo[:, -20:] = EDGE
    picture = np.full((SIZE[1], WIDTH, 3), (90, 200, 60), np.uint8)
    picture[:, : SIZE[0]] = photo
    mask = np.full(picture.shape[:2], 255, np.uint8)
    mask[:, : SIZE[0]] = 0
    file = io.BytesIO()
    Image.fromarray(photo).save(file, "PNG")
    recipe = Recipe(
        prompt=prompt, style="drawn", seed=number, outpaint="left-center", outpaint_width=WIDTH,
        outpaint_height=SIZE[1],
    )  # fmt: skip
    new = NewJob(owner=LOCAL_OWNER, origin=Origin.PAGE, recipe=recipe, photo=file.getvalue())
    result = Result(
        images=(picture,), original=picture, mask=mask, control_map=None,
        box=Box.whole((WIDTH, SIZE[1])), recipe=recipe, seconds={}, kept_pixels=4500,
        kept_pixels_changed=0,
    )  # fmt: skip
    return new, result


def shown_colours(page: Page, place: str, across: float = 0.05) -> list[tuple[int, ...]]:
    """The colours at the lower end of both pictures of a slider, at a share of their width."""
    code = """async ([place, across]) => Promise.all(
      [...document.querySelectorAll(`${place} img`)].slice(0, 2).map(async image => {
        const shown = new Image(); shown.src = image.src; await shown.decode();
        const canvas = document.createElement("canvas");
        canvas.width = shown.naturalWidth; canvas.height = shown.naturalHeight;
        const context = canvas.getContext("2d");
        context.drawImage(shown, 0, 0);
        return [...context.getImageData(
          across * canvas.width, canvas.height - 5, 1, 1).data].slice(0, 3);
      }))"""
    return [tuple(one) for one in page.evaluate(code, [place, across])]


def is_near(found: tuple[int, ...], expected: tuple[int, ...]) -> bool:
    return max(abs(a - b) for a, b in zip(found, expected, strict=True)) < 12


def test_pictures_are_listed_the_newest_first_and_found_by_their_words(page: Page) -> None:
    newest_first = [PROMPTS[3], PROMPTS[2], PROMPTS[1], PROMPTS[0]]
    expect_listed(page, *newest_first)
    words = page.locator("#history-words textarea, #history-words input").first
    words.fill("night")
    expect_listed(page, PROMPTS[3], PROMPTS[1])
    words.fill("night GARDEN")
    expect_listed(page, PROMPTS[3])
    words.fill("")
    expect_listed(page, *newest_first)


def test_a_picture_is_compared_with_its_photo_and_with_another_one(page: Page) -> None:
    choose(page, PROMPTS[0])
    expect(page.locator("#history-about")).to_contain_text("kept pixels changed: 0 of 2,220")
    expect(page.locator("#history-view img").first).to_be_visible(timeout=PATIENCE)
    before, after = shown_colours(page, "#history-view")
    assert is_near(before, (40, 90, 120))
    assert is_near(after, (200, 40, 60))
    choose(page, PROMPTS[1])
    address = page.locator("#history-view img").first.get_attribute("src")
    page.locator("#history-pair input").check()
    expect(page.locator("#history-view img").first).not_to_have_attribute(
        "src", address or "", timeout=PATIENCE
    )
    before, after = shown_colours(page, "#history-view")
    assert is_near(before, (200, 40, 60))
    assert is_near(after, (200, 80, 60))


def test_a_wider_scene_is_compared_with_its_photo_where_that_lies_on_it(page: Page) -> None:
    choose(page, WIDENED)
    expect(page.locator("#history-view img").first).to_be_visible(timeout=PATIENCE)
    before, after = shown_colours(page, "#history-view", across=0.45)
    assert is_near(before, EDGE)
    assert is_near(after, EDGE)
    page.locator("#history-reopen").click()
    expect(page.locator("#compare img").first).to_be_visible(timeout=PATIENCE)
    before, after = shown_colours(page, "#compare", across=0.45)
    assert is_near(before, EDGE)
    assert is_near(after, EDGE)


def test_buttons_stand_above_the_picture_which_would_move_them(page: Page) -> None:
    choose(page, PROMPTS[0])
    expect(page.locator("#history-view img").first).to_be_visible(timeout=PATIENCE)
    view = page.locator("#history-view").bounding_box()
    buttons = page.locator("#history-chosen button:visible[id]").all()
    assert view is not None
    assert len(buttons) >= 5
    for button in buttons:
        box = button.bounding_box()
        assert box is not None
        assert box["y"] + box["height"] <= view["y"]


def test_a_star_is_shown_and_found(page: Page) -> None:
    choose(page, PROMPTS[2])
    page.locator("#history-star").click()
    expect_listed(page, PROMPTS[3], f"★ {PROMPTS[2]}", PROMPTS[1], PROMPTS[0])
    expect(page.locator("#history-star")).to_have_text("Take the star away")
    page.locator("#history-starred input").check()
    expect_listed(page, f"★ {PROMPTS[2]}")
    choose(page, PROMPTS[2])
    page.locator("#history-star").click()
    expect(page.locator("#history-pictures .caption-label")).to_have_count(0, timeout=PATIENCE)


def test_settings_and_photo_are_used_again(page: Page) -> None:
    choose(page, PROMPTS[1])
    page.locator("#history-settings").click()
    expect(page.locator("#history-panel")).to_be_hidden(timeout=PATIENCE)
    expect(page.locator("#prompt textarea")).to_have_value(PROMPTS[1])
    open_fold(page, "Sampling")
    expect(page.locator("#steps input[type=number]")).to_have_value("12")
    expect(page.locator("#upload")).to_be_visible()
    page.locator("#open-history").click()
    choose(page, PROMPTS[2])
    page.locator("#history-photo").click()
    expect(page.locator("#mask canvas")).to_be_visible(timeout=PATIENCE)
    expect(page.locator("#prompt textarea")).to_have_value(PROMPTS[1])


def test_a_job_is_opened_again_as_it_was(page: Page) -> None:
    choose(page, PROMPTS[0])
    page.locator("#history-reopen").click()
    expect(page.locator("#strip .caption-label")).to_have_text(
        ["input", "mask", "seed 1"], timeout=PATIENCE
    )
    expect(page.locator("#mask canvas")).to_be_visible(timeout=PATIENCE)
    expect(page.locator("#prompt textarea")).to_have_value(PROMPTS[0])
    before, after = shown_colours(page, "#compare")
    assert is_near(before, (40, 90, 120))
    assert is_near(after, (200, 40, 60))


def test_a_picture_is_deleted_when_that_is_asked_for_twice(page: Page) -> None:
    choose(page, PROMPTS[3])
    page.locator("#history-delete").click()
    expect(page.locator("#history-delete")).to_have_text("Delete it for good?", timeout=PATIENCE)
    assert len(captions(page)) == 4
    page.locator("#history-delete").click()
    expect_listed(page, PROMPTS[2], PROMPTS[1], PROMPTS[0])
    expect(page.locator("#history-use")).to_be_hidden()


def test_after_a_reload_the_tab_shows_what_it_showed_and_another_tab_does_not(
    browser: Browser, tmp_path: Path
) -> None:
    with running_app(tmp_path) as address, opened(browser, address) as page:
        pick_example(page)
        open_fold(page, "Sampling")
        set_number(page, "steps", 2)
        page.locator("#prompt textarea").fill("a garden")
        expect(generate(page)).to_contain_text("kept pixels changed: 0", timeout=PATIENCE)
        seed = page.locator("#seed-used").inner_text()
        expect(page.locator("#strip .caption-label").last).to_have_text(f"seed {seed}")
        page.wait_for_function("sessionStorage.getItem('masquerade-job')", timeout=PATIENCE)
        page.reload()
        expect(page.locator("#strip .caption-label").last).to_have_text(
            f"seed {seed}", timeout=PATIENCE
        )
        expect(page.locator("#mask canvas")).to_be_visible(timeout=PATIENCE)
        expect(page.locator("#prompt textarea")).to_have_value("a garden")
        with opened(browser, address) as other:
            other.wait_for_timeout(1500)
            expect(other.locator("#upload")).to_be_visible()
            expect(other.locator("#strip")).to_be_hidden()


def test_a_server_without_a_library_has_no_history(browser: Browser, tmp_path: Path) -> None:
    command = ("app.py", "--library", "off")
    with running_app(tmp_path, *command) as address, opened(browser, address) as page:
        expect(page.locator("#generate")).to_be_visible(timeout=PATIENCE)
        expect(page.locator("#open-history")).to_be_hidden()
