"""Tests of the wider scene on the page: the choice of a shape, and the frame to drag."""

from __future__ import annotations

import pytest
from PIL import Image
from playwright.sync_api import Locator, Page, expect

from inference.page.wider_scene import dragged, number
from tests.support.browser import EXAMPLE, PATIENCE, generate, open_fold, pick_example, set_number

WIDTH, HEIGHT = Image.open(EXAMPLE).size
WIDE = round(HEIGHT * 16 / 9)


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ('{"outpaint": "top-left", "outpaint_width": 900, "outpaint_height": 700}',
         ("top-left", "900", "700")),
        ('{"outpaint": "center", "outpaint_width": 99999, "outpaint_height": 700}',
         ("center", "8192", "700")),
        ('{"outpaint": "middle", "outpaint_width": 900, "outpaint_height": 700}', None),
        ('{"outpaint": "center", "outpaint_width": "9", "outpaint_height": 700}', None),
        ('{"outpaint": "center", "outpaint_width": true, "outpaint_height": 700}', None),
        ('{"outpaint": "center"}', None), ("[]", None), ("7", None), ("", None), ("{", None),
        ("[" * 100_000, None),
    ],
    ids=lambda one: str(one)[:50],
)  # fmt: skip
def test_what_the_frame_asks_for_is_checked(text: str, values: tuple[str, str, str] | None) -> None:
    assert dragged(text) == values


@pytest.mark.parametrize(
    ("text", "value"), [("900", 900), (" 900 ", 900), ("", 0), ("-9", 0), ("9.5", 0), ("9" * 99, 0)]
)
def test_a_side_is_a_whole_number(text: str, value: int) -> None:
    assert number(text) == value


# --- in the browser -------------------------------------------------------------------------------


def side(page: Page, name: str) -> Locator:
    return page.locator(f"#outpaint_{name} :is(textarea, input)")


def choose_shape(page: Page, shape: str) -> None:
    page.locator("#wider-shape input").click()
    page.locator("#wider-shape [role=option]", has_text=shape).click()


@pytest.fixture
def widened(page: Page) -> Page:
    """The page with an example on a canvas of 16:9."""
    pick_example(page)
    open_fold(page, "Wider scene")
    expect(page.locator(".wider-frame")).to_be_hidden()
    choose_shape(page, "16:9")
    expect(page.locator("#outpaint input")).to_have_value("center")
    expect(page.locator(".wider-frame output")).to_have_text(f"{WIDE} × {HEIGHT}")
    return page


def drag(page: Page, handle: str, dx: float, dy: float) -> None:
    """Drag a part of the frame by CSS pixels."""
    page.locator(".wider-frame output").scroll_into_view_if_needed()
    box = page.locator(handle).bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + dx, y + dy, steps=3)
    page.mouse.up()


@pytest.mark.browser
def test_a_wider_scene_is_chosen_by_its_shape_and_painted(widened: Page) -> None:
    expect(side(widened, "height")).to_have_value(str(HEIGHT))
    expect(side(widened, "width")).to_have_value(str(WIDE))
    open_fold(widened, "Sampling")
    set_number(widened, "steps", 1)
    expect(generate(widened)).to_contain_text("kept pixels changed: 0", timeout=PATIENCE)
    choose_shape(widened, "As it is")
    expect(side(widened, "width")).to_have_value("")
    expect(widened.locator("#outpaint input")).to_have_value("Off")
    expect(widened.locator(".wider-frame")).to_be_hidden()


@pytest.mark.browser
@pytest.mark.parametrize(
    ("dx", "place"),
    [(-70, "left-center"), (-20, "center"), (70, "right-center"), (500, "right-center")],
)
def test_the_picture_is_dragged_to_the_nearest_place(widened: Page, dx: int, place: str) -> None:
    drag(widened, ".wf-picture", dx, 0)
    expect(widened.locator("#outpaint input")).to_have_value(place)
    expect(side(widened, "width")).to_have_value(str(WIDE))


@pytest.mark.browser
def test_the_canvas_grows_at_its_corner_and_never_below_the_picture(widened: Page) -> None:
    drag(widened, ".wf-corner", 0, 50)
    expect(side(widened, "height")).not_to_have_value(str(HEIGHT))
    assert int(side(widened, "height").input_value()) > HEIGHT
    expect(side(widened, "width")).to_have_value(str(WIDE))
    drag(widened, ".wf-corner", -400, -400)
    expect(side(widened, "height")).to_have_value(str(HEIGHT))
    expect(side(widened, "width")).to_have_value(str(WIDTH))


@pytest.mark.browser
def test_arrow_keys_do_the_same(widened: Page) -> None:
    widened.locator(".wf-picture").focus()
    widened.keyboard.press("ArrowRight")
    expect(widened.locator("#outpaint input")).to_have_value("right-center")
    widened.locator(".wf-corner").focus()
    widened.keyboard.press("ArrowDown")
    expect(side(widened, "height")).to_have_value(str(HEIGHT + 64))


@pytest.mark.browser
def test_a_canvas_that_is_typed_is_shown_and_one_that_is_too_small_is_not(widened: Page) -> None:
    side(widened, "width").fill("2000")
    expect(widened.locator(".wider-frame output")).to_have_text(f"2000 × {HEIGHT}")
    side(widened, "width").fill("20")
    expect(widened.locator(".wider-frame")).to_be_hidden()
