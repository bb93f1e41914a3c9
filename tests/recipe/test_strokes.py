"""Tests of brush strokes as text: parsing, refusals, round trip."""

from __future__ import annotations

import pytest

from inference.errors import InvalidRecipe
from inference.recipe.recipe import Recipe
from inference.recipe.strokes import Stroke, format_strokes

READ = [
    ("", []),
    (" ; ", []),
    ("+200:5000,4000", [("add", 200, ((5000, 4000),))]),
    ("-1:0,0 10000,10000", [("remove", 1, ((0, 0), (10000, 10000)))]),
    ("+0:5000,4000;-0:1,2 3,4", [("add", 0, ((5000, 4000),)), ("remove", 0, ((1, 2), (3, 4)))]),
    ("+5:1,2 3,4; -6:7,8;", [("add", 5, ((1, 2), (3, 4))), ("remove", 6, ((7, 8),))]),
]
REFUSED: list[object] = [
    "200:1,2", "+:1,2", "+5:", "+5:1", "+5:1,2,3", "+5001:1,2", "+5:10001,0", "+5:-1,0",
    "+5:1.5,2", "+5:1,2 x", "~5:1,2", "+५:1,2", 5, True, None, {}, [5], [{"mode": "add"}],
    [{"mode": "dab", "radius": 5, "points": [[1, 2]]}],
    [{"mode": "add", "radius": 5, "points": []}],
]  # fmt: skip


@pytest.mark.parametrize(("text", "strokes"), READ)
def test_strokes_are_read_and_written(
    text: str, strokes: list[tuple[str, int, tuple[tuple[int, int], ...]]]
) -> None:
    read = Stroke.parse_all(text)
    assert [(one.mode, one.radius, one.points) for one in read] == strokes
    assert Stroke.parse_all(format_strokes(read)) == read
    assert Stroke.parse_all(list(read)) == read
    assert Stroke.parse_all([one.model_dump() for one in read]) == read


@pytest.mark.parametrize("source", REFUSED, ids=repr)
def test_what_is_no_stroke_is_refused_with_an_example(source: object) -> None:
    with pytest.raises(InvalidRecipe, match=r"\(mask_strokes\): takes strokes such as") as caught:
        Recipe.parse({"mask_strokes": source})
    assert caught.value.field == "mask_strokes"


@pytest.mark.parametrize(("strokes", "points"), [(501, 1), (1, 20_001), (500, 41)])
def test_more_than_a_hand_draws_is_refused(strokes: int, points: int) -> None:
    text = ";".join(["+5:" + " ".join(["1,2"] * points)] * strokes)
    with pytest.raises(InvalidRecipe, match="takes at most 500 strokes with 20000 points in all"):
        Recipe.parse({"mask_strokes": text})


def test_as_much_as_is_allowed_is_taken() -> None:
    text = ";".join(["+5:" + " ".join(["1,2"] * 40)] * 500)
    assert len(Recipe.parse({"mask_strokes": text}).mask_strokes) == 500


@pytest.mark.parametrize(("text", "is_click"), [("+0:5,5", True), ("-1:5,5", False)])
def test_a_stroke_without_a_radius_is_a_click(text: str, is_click: bool) -> None:
    assert Stroke.parse_all(text)[0].is_click == is_click


def test_clicks_cost_the_server_time_and_are_limited() -> None:
    assert len(Recipe.parse({"mask_strokes": ";".join(["+0:1,2"] * 50)}).mask_strokes) == 50
    with pytest.raises(InvalidRecipe, match="takes at most 50 clicks"):
        Recipe.parse({"mask_strokes": "+0:" + " ".join(["1,2"] * 51)})
