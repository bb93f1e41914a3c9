"""Tests of every field of a recipe: valid values, invalid values, error messages."""

from __future__ import annotations

import math
from typing import Any

import pytest
from pydantic import ValidationError

from inference.errors import InvalidRecipe
from inference.recipe.length import Length, Unit, pixels_of
from inference.recipe.recipe import MAX_SEED, Recipe

SCHEDULERS = (
    "euler", "euler_a", "dpm++2m", "dpm++2m_karras", "dpm++sde", "dpm++sde_karras", "lcm", "tcd",
)  # fmt: skip
ASPECT_RATIOS = (
    "1:1", "16:9", "9:16", "21:9", "9:21", "3:2", "2:3", "5:4", "4:5", "4:3", "3:4",
    "portrait", "landscape",
)  # fmt: skip
# field, kind of number, lowest, highest, a value just below, one just above
NUMBERS = [
    ("mask_threshold", "a number", 0.05, 0.95, 0.049, 0.951),
    ("mask_feather", "a number", 0, 64, -0.001, 64.001),
    ("denoising_strength", "a number", 0, 1, -0.001, 1.001),
    ("cfg_scale", "a number", 0, 15, -0.001, 15.001),
    ("controlnet_conditioning_scale", "a number", 0, 1, -0.001, 1.001),
    ("control_guidance_end", "a number", 0, 1, -0.001, 1.001),
    ("hires_denoising_strength", "a number", 0, 1, -0.001, 1.001),
    ("hires_cfg_scale", "a number", 0, 15, -0.001, 15.001),
    ("resemblance", "a number", 0, 1, -0.001, 1.001),
    ("film_grain_amount", "a number", 0, 30, -0.001, 30.001),
    ("film_grain_size", "a number", 0.1, 6, 0.099, 6.001),
    ("steps", "a whole number", 1, 50, 0, 51),
    ("num_images", "a whole number", 1, 8, 0, 9),
    ("seed", "a whole number", 0, 2**32, -1, 2**32 + 1),
    ("w", "a multiple of 8", 64, 4096, 56, 4104),
    ("h", "a multiple of 8", 64, 4096, 56, 4104),
    ("outpaint_width", "a whole number", 64, 8192, 63, 8193),
    ("outpaint_height", "a whole number", 64, 8192, 63, 8193),
]
TEXTS = [
    ("prompt", 10_000),
    ("negative_prompt", 10_000),
    ("mask_prompt", 500),
    ("mask_negative", 500),
    ("style", 100),
    ("controlnet", 100),
    ("input_image_url", 2000),
    ("mask_image_url", 2000),
    ("outpaint_prompt", 10_000),
]
OPTIONAL = [
    "seed", "w", "h", "ar", "style", "controlnet", "film_grain_amount", "film_grain_size",
    "color_grading", "cfg_scale", "control_mode", "outpaint", "outpaint_width", "outpaint_height",
    "hires_cfg_scale",
]  # fmt: skip
NO_NUMBERS = [math.nan, math.inf, -math.inf, "x", "nan", "1e999", [], [1], {}, True, False, 10**30]
NO_TEXTS = [5, 5.5, math.nan, True, [], ["a"], {}]
NO_LENGTHS = [
    "", "abc", "1e3", "nan", "--5", "1,5", "5em", "5.", ".5", "5 px 5", "1111111", "256.1", "-257",
    "50.1%", "-51%", 256.5, 1e9, -1e9, math.nan, math.inf, None, True, False, [], [1], b"5", {},
    {"value": 1, "unit": "km"}, {"value": "x"}, {"value": 1, "more": 2}, {"unit": "%"},
    Length(value=999),
]  # fmt: skip
LENGTHS = [
    ("-20", -20, Unit.PIXELS),
    ("-20px", -20, Unit.PIXELS),
    ("  7.25 px ", 7.25, Unit.PIXELS),
    ("+5", 5, Unit.PIXELS),
    ("-4%", -4, Unit.PERCENT),
    ("0.5 %", 0.5, Unit.PERCENT),
    ("256", 256, Unit.PIXELS),
    ("-256px", -256, Unit.PIXELS),
    ("50%", 50, Unit.PERCENT),
    ("-50%", -50, Unit.PERCENT),
    (5, 5, Unit.PIXELS),
    (-2.5, -2.5, Unit.PIXELS),
    (0.1 + 0.2, 0.3, Unit.PIXELS),
    (1e-9, 0, Unit.PIXELS),
    ({"value": -4, "unit": "%"}, -4, Unit.PERCENT),
    ({"value": 3}, 3, Unit.PIXELS),
    (Length(value=2, unit=Unit.PERCENT), 2, Unit.PERCENT),
]
POSITIVE_PHRASES = [
    ("foreground", ("foreground",)),
    ("Head, HAIR", ("head", "hair")),
    ("red car|old  tree", ("red car", "old tree")),
    ("face, face ,FACE", ("face",)),
    ("  a woman\t with  glasses ", ("a woman with glasses",)),
    ("head\nhat", ("head", "hat")),
    ("", ()),
    (" , |,", ()),
]
NEGATIVE_PHRASES = [
    ("clothes", ("clothes",)),
    ("clothes hat shoes", ("clothes", "hat", "shoes")),
    ("clothes,hat|shoes", ("clothes", "hat", "shoes")),
    ("Clothes clothes\tCLOTHES", ("clothes",)),
    ("person 2", ("person 2",)),
    ("clothes person  2 hat", ("clothes", "person 2", "hat")),
    ("Left  person hat", ("left person", "hat")),
    ("hat right\tface", ("hat", "right face")),
    ("largest person", ("largest person",)),
    ("face 1 face 2, hat 3", ("face 1", "face 2", "hat 3")),
    ("hat 0.3 1st 100", ("hat", "0.3", "1st", "100")),
    ("leftmost person", ("leftmost", "person")),
    (" ,| ", ()),
    ("", ()),
]


def refusal(**fields: object) -> InvalidRecipe:
    """The error that these fields cause; checks that it is one line of plain text."""
    with pytest.raises(InvalidRecipe) as caught:
        Recipe.parse(fields)
    sentence = str(caught.value)
    assert sentence.endswith(".")
    assert "\n" not in sentence
    assert "pydantic" not in sentence
    assert "Input should" not in sentence
    return caught.value


def parsed(name: str, value: object) -> object:
    """The parsed value of a field; width and height are set together."""
    other = {"w": {"h": 512}, "h": {"w": 512}}.get(name, {})
    return getattr(Recipe.parse({name: value, **other}), name)


def of_length(source: object) -> Length:
    return Recipe.parse({"mask_dilate": source}).mask_dilate


@pytest.mark.parametrize(("name", "kind", "low", "high", "below", "above"), NUMBERS)
def test_a_number_may_lie_on_its_limits_and_not_beyond(
    name: str, kind: str, low: float, high: float, below: float, above: float
) -> None:
    assert parsed(name, low) == low
    assert parsed(name, high) == high
    for value in (below, above):
        error = refusal(**{name: value})
        assert error.field == name
        assert f"({name}): takes {kind} from {low} to {high}." in str(error)


@pytest.mark.parametrize(("name", "kind", "low", "high"), [row[:4] for row in NUMBERS])
def test_what_is_no_number_is_refused_with_the_range(
    name: str, kind: str, low: float, high: float
) -> None:
    for value in NO_NUMBERS:
        error = refusal(**{name: value})
        assert error.field == name, repr(value)
        assert f"takes {kind} from {low} to {high}." in str(error), repr(value)


@pytest.mark.parametrize(("name", "low"), [(row[0], row[2]) for row in NUMBERS])
def test_a_number_may_come_as_text_because_prompt_blocks_are_text(name: str, low: float) -> None:
    assert parsed(name, f" {low} ") == low


@pytest.mark.parametrize("name", ["steps", "num_images", "seed"])
def test_a_fraction_is_no_whole_number(name: str) -> None:
    assert parsed(name, 2.0) == 2
    assert refusal(**{name: 2.5}).field == name


@pytest.mark.parametrize("value", [65, 70, 100.0, "511", 4095])
@pytest.mark.parametrize("name", ["w", "h"])
def test_a_side_is_a_multiple_of_8(name: str, value: object) -> None:
    assert "takes a multiple of 8 from 64 to 4096." in str(refusal(**{name: value}))


@pytest.mark.parametrize(("given", "missing"), [("w", "h"), ("h", "w")])
def test_one_side_alone_is_refused_and_the_other_one_marked(given: str, missing: str) -> None:
    error = refusal(**{given: 512})
    assert str(error) == "Give both width and height, or neither."
    assert error.field == missing
    with pytest.raises(InvalidRecipe, match="Give both"):
        Recipe(**{given: 512})


@pytest.mark.parametrize(("name", "longest"), TEXTS)
def test_a_text_has_a_longest_length(name: str, longest: int) -> None:
    assert parsed(name, "x" * longest) == "x" * longest
    error = refusal(**{name: "x" * (longest + 1)})
    assert error.field == name
    assert f"takes text of at most {longest} characters." in str(error)


@pytest.mark.parametrize(("name", "longest"), TEXTS)
def test_what_is_no_text_is_refused(name: str, longest: int) -> None:
    for value in NO_TEXTS:
        error = refusal(**{name: value})
        assert error.field == name, repr(value)
        assert f"takes text of at most {longest} characters." in str(error), repr(value)


@pytest.mark.parametrize("value", ["\ud800", "a\udfffb"], ids=ascii)
def test_half_a_character_is_refused_because_it_cannot_be_saved(value: str) -> None:
    assert refusal(prompt=value).field == "prompt"


@pytest.mark.parametrize("value", ["", "  ", None])
@pytest.mark.parametrize("name", OPTIONAL)
def test_an_empty_field_means_not_given_where_that_has_a_meaning(name: str, value: object) -> None:
    assert getattr(Recipe.parse({name: value}), name) is None


@pytest.mark.parametrize("value", ["", None])
@pytest.mark.parametrize("name", ["steps", "scheduler", "mask_dilate", "mask_invert"])
def test_an_empty_field_is_refused_where_it_has_no_meaning(name: str, value: object) -> None:
    assert refusal(**{name: value}).field == name


@pytest.mark.parametrize(
    ("value", "expected"),
    [(True, True), (False, False), ("true", True), ("false", False), (1, True), (0, False)],
)
def test_yes_and_no_may_be_written_in_the_usual_ways(value: object, expected: bool) -> None:
    assert parsed("mask_invert", value) is expected


@pytest.mark.parametrize("value", ["maybe", "", 2, 0.5, math.nan, [], None], ids=repr)
def test_what_is_neither_yes_nor_no_is_refused(value: object) -> None:
    error = refusal(mask_invert=value)
    assert str(error).endswith(" (mask_invert): takes true or false.")


@pytest.mark.parametrize(
    ("name", "choices"),
    [
        ("scheduler", SCHEDULERS),
        ("ar", ASPECT_RATIOS),
        ("color_grading", ("Film Velvia", "Film Portra", "Ektar")),
        ("control_mode", ("balanced", "unbalanced")),
    ],
)
def test_a_choice_takes_what_is_offered_and_names_it_otherwise(
    name: str, choices: tuple[str, ...]
) -> None:
    assert [parsed(name, choice) for choice in choices] == list(choices)
    for value in ("unknown", choices[0].upper() + "x", 5, True, [choices[0]], {}):
        error = refusal(**{name: value})
        assert error.field == name
        assert all(f"'{choice}'" in str(error) for choice in choices)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("stepz", "There is no field «stepz» in a recipe."),
        ("", "There is no field «» in a recipe."),
        ("two\nlines", "There is no field «two lines» in a recipe."),
        ("x" * 99, f"There is no field «{'x' * 40}» in a recipe."),
    ],
)
def test_an_unknown_field_is_named(name: str, sentence: str) -> None:
    error = refusal(**{name: 1})
    assert str(error) == sentence
    assert error.field == name


@pytest.mark.parametrize("value", [None, [], "steps=5", 5])
def test_something_other_than_fields_is_refused(value: object) -> None:
    with pytest.raises(InvalidRecipe, match="a set of fields"):
        Recipe.parse(value)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", sorted(Recipe.model_fields))
def test_each_default_is_allowed_and_has_words_for_the_page(name: str) -> None:
    field = Recipe.model_fields[name]
    assert Recipe.parse({name: field.default}) == Recipe()
    assert field.title
    assert str(field.description).endswith(".")


@pytest.mark.parametrize("name", ["prompt", "mask_dilate", "film_grain"])
def test_a_recipe_cannot_be_changed(name: str) -> None:
    recipe = Recipe()
    with pytest.raises(ValidationError):
        setattr(recipe, name, getattr(recipe, name))


@pytest.mark.parametrize(("source", "value", "unit"), LENGTHS, ids=repr)
def test_a_length_is_read(source: object, value: float, unit: Unit) -> None:
    assert of_length(source) == Length(value=value, unit=unit)


@pytest.mark.parametrize("source", NO_LENGTHS, ids=repr)
def test_what_is_no_length_is_refused_with_the_range(source: object) -> None:
    error = refusal(mask_dilate=source)
    assert error.field == "mask_dilate"
    assert str(error).endswith(
        " (mask_dilate): takes pixels such as -20 or percent such as -4%, at most 256px or 50%."
    )


@pytest.mark.parametrize(
    ("source", "pixels", "percent"),
    [("-20", -20, -3.906), ("-4%", -20.48, -4), ("256", 256, 50), ("50%", 256, 50), ("0%", 0, 0)],
)
def test_pixels_are_those_of_a_short_side_of_512(
    source: str, pixels: float, percent: float
) -> None:
    length = of_length(source)
    assert length.pixels == pytest.approx(pixels)
    assert length.to(Unit.PIXELS) == Length(value=pixels, unit=Unit.PIXELS)
    assert length.to(Unit.PERCENT) == Length(value=percent, unit=Unit.PERCENT)


@pytest.mark.parametrize(
    ("length", "short_side", "pixels"),
    [(2, 512, 2), (2, 256, 1), (1, 3456, 6.75), (-20, 192, -7.5), (0, 3456, 0)],
)
def test_a_plain_length_grows_with_the_picture(
    length: float, short_side: int, pixels: float
) -> None:
    assert pixels_of(length, short_side) == pytest.approx(pixels)


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("-20px", "-20"),
        ("-4 %", "-4%"),
        (0.5, "0.5"),
        (-0.0, "0"),
        ("-0", "0"),
        (12.3456, "12.346"),
    ],
)
def test_a_length_is_written_briefly(source: object, text: str) -> None:
    assert str(of_length(source)) == text


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"mask_dilate": "-4%", "seed": 5},
        {"mask_dilate": -123.4567},
        {"mask_dilate": 0.1 + 0.2},
        {"mask_dilate": 1e-7},
        {"mask_dilate": "-255.999px", "mask_feather": 1 / 3, "cfg_scale": 0.1 + 0.2},
        {"prompt": '«ü» 🦊\n\t"quoted" \\ \x00', "negative_prompt": ""},
        {"w": 512, "h": 768, "ar": "4:5", "seed": MAX_SEED, "style": "pack", "controlnet": ""},
        {"mask_strokes": "+200:1,2 3,4; -5:0,10000", "mask_prompt": "face, hat:0.3"},
        {"mask_invert": False, "scheduler": "tcd", "num_images": 8, "steps": 1},
    ],
    ids=repr,
)
def test_a_recipe_survives_json(fields: dict[str, object]) -> None:
    recipe = Recipe.parse(fields)
    assert Recipe.model_validate_json(recipe.model_dump_json()) == recipe
    assert Recipe.parse(recipe.model_dump()) == recipe


@pytest.mark.parametrize("thousandths", range(-256_000, 256_001, 47_513))
def test_each_length_survives_being_written(thousandths: int) -> None:
    length = of_length(thousandths / 1000)
    assert Length.parse(str(length)) == length
    assert length.value == pytest.approx(thousandths / 1000, abs=1e-9)


@pytest.mark.parametrize(("text", "phrases"), POSITIVE_PHRASES)
def test_phrases_to_find_are_split_at_commas_bars_and_lines(
    text: str, phrases: tuple[str, ...]
) -> None:
    assert tuple(one.text for one in Recipe(mask_prompt=text).phrases) == phrases


@pytest.mark.parametrize(("text", "phrases"), NEGATIVE_PHRASES)
def test_phrases_to_take_out_are_split_at_spaces_too(text: str, phrases: tuple[str, ...]) -> None:
    assert tuple(one.text for one in Recipe(mask_negative=text).negative_phrases) == phrases


@pytest.mark.parametrize(
    ("text", "phrases"),
    [
        ("face, hat:0.3", (("face", None), ("hat", 0.3))),
        ("red hat : .25", (("red hat", 0.25),)),
        ("hat:0.3, HAT:0.9", (("hat", 0.3),)),
        ("note: person", (("note: person", None),)),
        ("hat:", (("hat:", None),)),
    ],
)
def test_a_word_may_have_a_threshold_of_its_own(
    text: str, phrases: tuple[tuple[str, float | None], ...]
) -> None:
    assert Recipe.parse({"mask_prompt": text}).phrases == phrases


def test_a_word_to_take_out_may_have_one_too() -> None:
    recipe = Recipe.parse({"mask_negative": "clothes hat: 0.3 person 2:0.4 shoes:0.95"})
    assert recipe.negative_phrases == (
        ("clothes", None), ("hat", 0.3), ("person 2", 0.4), ("shoes", 0.95),
    )  # fmt: skip


@pytest.mark.parametrize("text", ["hat:0.04", "hat:0.96", "hat:5", "face, hat:1"])
@pytest.mark.parametrize("name", ["mask_prompt", "mask_negative"])
def test_a_threshold_in_the_words_has_the_sliders_range(name: str, text: str) -> None:
    error = refusal(**{name: text})
    assert error.field == name
    assert str(error).endswith("takes thresholds from 0.05 to 0.95, as in hat:0.3.")


@pytest.mark.parametrize("seed", [0, 5, MAX_SEED])
def test_a_seed_that_is_given_stays(seed: int) -> None:
    recipe = Recipe(seed=seed)
    assert recipe.with_seed() is recipe


def test_a_missing_seed_is_drawn_anew_each_time_and_nothing_else_changes() -> None:
    recipe = Recipe(prompt="fox", steps=7)
    drawn = [recipe.with_seed() for _ in range(8)]
    seeds = {one.seed for one in drawn}
    assert len(seeds) > 1
    assert all(isinstance(seed, int) and 0 <= seed <= MAX_SEED for seed in seeds)
    assert all(one.model_copy(update={"seed": None}) == recipe for one in drawn)
    assert recipe.seed is None


# --- several controls ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "controls"),
    [
        ({}, [("pose", 1, (0, 1))]),
        ({"controlnet": None}, []),
        ({"controlnet": "canny", "controlnet_conditioning_scale": 0.4}, [("canny", 0.4, (0, 1))]),
        ({"controlnet_conditioning_scale": 0}, []),
        ({"controlnets": "pose canny"}, [("pose", 1, (0, 1)), ("canny", 1, (0, 1))]),
        ({"controlnets": "pose, canny", "controlnet_weights": "0.5"},
         [("pose", 0.5, (0, 1)), ("canny", 1, (0, 1))]),
        ({"controlnets": ["pose", "canny"], "controlnet_weights": [0, 1]}, [("canny", 1, (0, 1))]),
        ({"controlnets": "pose", "controlnet_windows": "0.2-.8"}, [("pose", 1, (0.2, 0.8))]),
        ({"controlnets": "pose tile", "controlnet_weights": ".25 1.0",
          "controlnet_windows": "0-1 0.5-1"}, [("pose", 0.25, (0, 1)), ("tile", 1, (0.5, 1))]),
    ],
)  # fmt: skip
def test_what_guides_is_one_control_or_several(
    fields: dict[str, object], controls: list[tuple[str, float, tuple[float, float]]]
) -> None:
    assert list(Recipe.parse(fields).controls) == controls


@pytest.mark.parametrize(
    ("fields", "needed"),
    [
        ({"controlnets": "pose pose"}, "each once"),
        ({"controlnets": "a b c d e"}, "at most 4 names"),
        ({"controlnets": "Pose!"}, "at most 4 names"),
        ({"controlnets": 5}, "at most 4 names"),
        ({"controlnets": [["a"]] * 9}, "at most 4 names"),
        ({"controlnets": "pose", "controlnet_weights": "1.5"}, "a number from 0 to 1 for each"),
        ({"controlnets": "pose", "controlnet_weights": "x"}, "a number from 0 to 1 for each"),
        ({"controlnets": "pose", "controlnet_weights": [math.nan]}, "a number from 0 to 1"),
        ({"controlnets": "pose", "controlnet_weights": [True]}, "a number from 0 to 1"),
        ({"controlnets": "pose", "controlnet_windows": "0.8-0.2"}, "a span of the steps"),
        ({"controlnets": "pose", "controlnet_windows": "0-2"}, "a span of the steps"),
        ({"controlnets": "pose", "controlnet_windows": "0.5-0.5"}, "a span of the steps"),
        ({"controlnets": "pose", "controlnet_windows": "0.-.1.-"}, "a span of the steps"),
        ({"controlnet_weights": "1"}, "more than controlnets names"),
        ({"controlnets": "pose", "controlnet_windows": "0-1 0-1"}, "more than controlnets names"),
    ],
    ids=str,
)
def test_a_wrong_list_of_controls_is_told_what_it_takes(
    fields: dict[str, object], needed: str
) -> None:
    assert needed in str(refusal(**fields))


@pytest.mark.parametrize(
    ("changes", "is_retouch"),
    [
        ({}, False),
        ({"film_grain": True}, True),
        ({"film_grain": True, "film_grain_amount": 4.0, "film_grain_size": 2.0}, True),
        ({"color_grading": "Ektar"}, True),
        ({"color_grading": "Ektar", "film_grain": True}, True),
        ({"color_grading": "Ektar", "prompt": "another"}, False),
        ({"film_grain": True, "seed": 8}, False),
        ({"super_resolution": True}, False),
        ({"mask_feather": 9}, False),
    ],
    ids=str,
)
def test_another_grain_or_look_is_a_retouch_and_nothing_else_is(
    changes: dict[str, Any], is_retouch: bool
) -> None:
    painted = Recipe(prompt="a garden", seed=7)
    assert painted.model_copy(update=changes).is_retouch_of(painted) == is_retouch
