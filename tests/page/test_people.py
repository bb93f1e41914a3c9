"""Browser tests of one person of several, and of the guides below an implausible mask."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from inference import Photo, Recipe, Studio
from inference.people.person_regions import PersonRegions
from tests.page.test_mask_canvas import alpha_of, drawn_mask, settled_mask, strokes_of, view
from tests.support.browser import PATIENCE, brush, pick_example
from tools.portraits import HELD_OUT_SEED
from tools.portraits.pairs import Pair, draw_pair

pytestmark = pytest.mark.browser

WORDS, NOT = "#mask_prompt textarea", "#mask_negative textarea"
GUIDE_OF = """
state => {
  let owner = document.querySelector("#mask .mask-canvas");
  while (!owner.maskCanvas) owner = owner.parentElement;
  return owner.maskCanvas.guideOf(state);
}
"""


@pytest.fixture(scope="module")
def studio() -> Studio:
    return Studio(style="drawn")


@pytest.fixture(scope="module")
def pair() -> Pair:
    return draw_pair(HELD_OUT_SEED + 9000, (576, 480), close=False)


@pytest.fixture(scope="module")
def file(pair: Pair, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pair") / "pair.png"
    Image.fromarray(pair.image).save(path)
    return path


@pytest.fixture
def page(page: Page, file: Path) -> Page:
    """The page with a drawing of two people, whose words are `person` and nothing to take out."""
    page.locator("#upload input[type=file]").set_input_files(file)
    expect(page.locator("#mask canvas")).to_be_visible(timeout=PATIENCE)
    page.locator(NOT).fill("")
    page.locator(WORDS).fill("person")
    expect(page.locator("#mask .chip")).to_have_count(1, timeout=PATIENCE)
    expect(page.locator("#mask .chip")).to_contain_text("person")
    return page


def choose(page: Page, name: str) -> None:
    page.locator(".mc-people button", has_text=name).first.click()


def expect_pressed(page: Page, number: str) -> None:
    expect(page.locator(".mc-people [aria-pressed=true]")).to_have_text([number], timeout=PATIENCE)


# --- one of several -----------------------------------------------------------------------------


def test_two_people_are_numbered_from_left_to_right_on_the_picture(page: Page, pair: Pair) -> None:
    numbers = page.locator(".mc-number")
    expect(numbers).to_have_count(2)
    assert numbers.all_inner_texts() == ["1", "2"]
    boxes = [numbers.nth(k).bounding_box() for k in range(2)]
    picture = page.locator(".mc-picture").bounding_box()
    assert picture is not None
    for box, masks in zip(boxes, pair.masks, strict=True):
        assert box is not None
        columns = np.nonzero(masks["person"].any(axis=0))[0] / masks["person"].shape[1]
        x = (box["x"] + box["width"] / 2 - picture["x"]) / picture["width"]
        assert columns.min() < x < columns.max()
    view(page, "mask")
    expect(numbers.first).to_be_hidden()


def test_a_number_beside_the_word_changes_the_word_and_all_changes_it_back(
    page: Page, studio: Studio, file: Path
) -> None:
    expect(page.locator(".mc-people button")).to_have_text(["1", "2", "all"])
    expect_pressed(page, "all")
    view(page, "mask")
    for name, words in (("2", "person 2"), ("1", "person 1"), ("all", "person")):
        choose(page, name)
        expect(page.locator(WORDS)).to_have_value(words)
        expect(page.locator("#mask .chip")).to_contain_text(words, timeout=PATIENCE)
        expect_pressed(page, name)
        wanted = Recipe(mask_prompt=words, mask_negative="")
        worst, believed = settled_mask(page, alpha_of(studio, Photo.open(file), wanted))
        assert worst <= 1, (words, believed)


def test_a_side_presses_the_number_of_its_person(page: Page) -> None:
    for words, number in (("left person", "1"), ("RIGHT man:0.4", "2"), ("the face 2", "2")):
        page.locator(WORDS).fill(words)
        chip = page.locator("#mask .chip")
        expect(chip).to_contain_text(words.lower().split(":")[0], timeout=PATIENCE)
        expect_pressed(page, number)
        expect(page.locator(".mc-number.chosen")).to_have_text([number])


def test_only_the_clicked_word_is_changed_and_its_threshold_stays(page: Page) -> None:
    page.locator(WORDS).fill("hat, Face:0.4 , personal car")
    page.locator(NOT).fill("clothes face 1 hat")
    expect(page.locator("#mask .chip")).to_have_count(6, timeout=PATIENCE)
    groups = page.locator(".mc-people")
    expect(groups).to_have_count(3)  # of the words taken out, only one that names a person
    groups.nth(1).get_by_text("2", exact=True).click()
    expect(page.locator(WORDS)).to_have_value("hat, face 2:0.4 , personal car")
    expect(page.locator(".mc-words")).to_contain_text("face 2", timeout=PATIENCE)
    groups.nth(2).get_by_text("all", exact=True).click()
    expect(page.locator(NOT)).to_have_value("clothes face hat")


def test_the_keyboard_stays_on_the_chosen_number(page: Page) -> None:
    page.locator(".mc-people button").nth(1).focus()
    page.keyboard.press("Enter")
    expect(page.locator("#mask .chip")).to_contain_text("person 2", timeout=PATIENCE)
    expect(page.locator(".mc-people button").nth(1)).to_be_focused()


def test_one_person_alone_has_no_numbers(page: Page) -> None:
    page.locator("#change").click()
    pick_example(page)
    expect(page.locator(".mc-number")).to_have_count(0)
    expect(page.locator(".mc-people")).to_have_count(0)


# --- guides -------------------------------------------------------------------------------------


def word(phrase: str, found: bool = True, noun: str = "", **more: object) -> dict[str, object]:
    plain = {"absence": f"no {phrase} found (0.07)", "negative": False}
    return {"phrase": phrase, "found": found, "noun": noun, **plain, **more}


PERSON = word("person", noun="person")
PLAIN = {"words": [PERSON], "byHand": False, "covered": 0.3, "share": 0.6, "areas": [900],
         "people": 1, "shares": [0.01, 0.98]}  # fmt: skip


@pytest.mark.parametrize(
    ("change", "text", "deeds"),
    [
        ({}, "", []),
        ({"words": []}, "No words given", ["person", "brush"]),
        ({"words": [word("hat", False)]}, "None of the words", ["person", "brush"]),
        ({"words": [word("hat", False), word("dog")]}, "", []),
        ({"words": [word("face", False, "face")]}, "None of the words", ["brush"]),
        ({"words": [word("dog", negative=True)]}, "No words given", ["person", "brush"]),
        ({"words": [word("hat", False)], "byHand": True}, "", []),
        (
            {"words": [word("face 3", False, "face", absence="only 2 people found")]},
            "only 2 people found",
            ["all"],
        ),
        ({"covered": 0}, "Nothing is left", ["brush"]),
        ({"covered": 0.985}, "All of the picture", ["brush"]),
        ({"covered": 0.985, "words": [word("sky")]}, "All of the picture", ["person", "brush"]),
        ({"share": 0}, "Nothing would be repainted", []),
        ({"share": 0.005}, "Only 0.5% would be repainted", []),
        ({"share": 1}, "Nothing would be kept", []),
        ({"share": 0.99}, "would be kept", []),
        ({"areas": [900, 800, 700, 600]}, "", []),
        ({"areas": [900, 800, 700, 600, 500]}, "5 pieces", ["largest"]),
        ({"areas": [900, 80, 70, 60, 50]}, "5 pieces", ["specks", "largest"]),
        ({"areas": [900, 80, 70, 60, 50], "people": 2}, "", []),
    ],
    ids=repr,
)
def test_an_implausible_mask_has_a_guide(
    page: Page, change: dict[str, Any], text: str, deeds: list[str]
) -> None:
    guide = page.evaluate(GUIDE_OF, PLAIN | change)
    assert text in guide["text"]
    assert bool(text) == bool(guide["text"])
    assert guide["deeds"] == deeds


def guide(page: Page, name: str) -> None:
    """Press a guide's button by the keyboard."""
    button = page.locator(".mc-note button", has_text=name)
    button.focus()
    page.keyboard.press("Enter")


def test_a_word_that_is_not_found_offers_person(page: Page) -> None:
    page.locator(WORDS).fill("zeppelin")
    note = page.locator(".mc-note")
    expect(note).to_contain_text("None of the words was found", timeout=PATIENCE)
    guide(page, "Try “person”")
    expect(page.locator(WORDS)).to_have_value("person")
    expect(note).to_be_empty(timeout=PATIENCE)


def test_a_number_beyond_the_people_offers_all(page: Page) -> None:
    page.locator(WORDS).fill("person 3")
    expect(page.locator("#mask .chip")).to_have_text("only 2 people found", timeout=PATIENCE)
    expect(page.locator(".mc-note")).to_contain_text("only 2 people found")
    guide(page, "All people")
    expect(page.locator(WORDS)).to_have_value("person")


@pytest.mark.parametrize(("invert", "tool"), [(True, "keep"), (False, "repaint")])
def test_nothing_found_takes_the_brush_that_adds(page: Page, invert: bool, tool: str) -> None:
    page.locator("#mask_invert input").set_checked(invert)
    page.locator(WORDS).fill("zeppelin")
    expect(page.locator(".mc-note")).to_contain_text("None of the words", timeout=PATIENCE)
    page.wait_for_timeout(800)
    guide(page, "Brush")
    expect(page.locator(f"[data-tool={tool}]")).to_have_attribute("aria-pressed", "true")


def scatter(page: Page) -> None:
    """Brush four small spots and a larger one, far from each other, where no word is found."""
    page.locator(WORDS).fill("zeppelin")
    expect(page.locator("#mask .chip")).to_contain_text("no zeppelin", timeout=PATIENCE)
    view(page, "mask")
    for size, spots in (("30", [(0.1, 0.1), (0.9, 0.1), (0.1, 0.9), (0.9, 0.9)]),
                        ("90", [(0.5, 0.5)])):  # fmt: skip
        page.locator(".mc-tools input").fill(size)
        for spot in spots:
            brush(page, "keep", spot, spot)


def test_specks_are_brushed_away_and_come_back_with_undo(page: Page) -> None:
    scatter(page)
    before, strokes = drawn_mask(page), strokes_of(page)
    note = page.locator(".mc-note")
    expect(note).to_contain_text("5 pieces")
    guide(page, "Drop specks")
    expect(note).to_be_empty()
    after, height, width = drawn_mask(page), *before.shape
    assert strokes_of(page).startswith(strokes + ";-")
    for y in (0.1, 0.9):
        assert (after[round(y * height), [round(0.1 * width), round(0.9 * width)]] == 255).all()
    middle = np.s_[height // 4 : 3 * height // 4, width // 4 : 3 * width // 4]
    assert (after[middle] == before[middle]).all()
    page.locator("[data-do=undo]").click()
    assert (drawn_mask(page) == before).all()


def test_the_strokes_of_a_guide_are_the_servers_mask_too(
    page: Page, studio: Studio, file: Path
) -> None:
    scatter(page)
    expect(page.locator(".mc-note")).to_contain_text("5 pieces")
    guide(page, "Keep the largest piece")
    wanted = Recipe.parse(
        {"mask_prompt": "zeppelin", "mask_negative": "", "mask_strokes": strokes_of(page)}
    )
    alpha = alpha_of(studio, Photo.open(file), wanted)
    worst, believed = settled_mask(page, alpha)
    assert worst <= 1, believed
    assert 0.005 < (alpha < 128).mean() < 0.2


def test_of_several_people_the_largest_piece_is_the_largest_person(page: Page) -> None:
    page.locator(".mc-tools input").fill("10")
    for k in range(9):
        brush(page, "keep", (0.05 + 0.1 * k, 0.03), (0.05 + 0.1 * k, 0.03))
    expect(page.locator(".mc-note")).to_contain_text("pieces")
    guide(page, "Keep the largest piece")
    expect(page.locator(WORDS)).to_have_value("largest person")


def test_the_numbers_are_those_of_the_regions(studio: Studio, file: Path) -> None:
    people = studio.select(Photo.open(file), Recipe(mask_prompt="person")).detection.people
    assert isinstance(people, PersonRegions)
    assert len(people.places) == 2
