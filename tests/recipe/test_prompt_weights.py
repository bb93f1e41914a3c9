"""Tests of attention weights in a prompt: syntax, and ordinary brackets."""

from __future__ import annotations

import pytest

from inference.recipe.prompt_weights import parse_weights

MAX_WEIGHT = 5.0


@pytest.mark.parametrize(
    ("prompt", "pieces"),
    [
        ("", []),
        ("a red coat", [("a red coat", 1)]),
        ("(red)", [("red", 1.1)]),
        ("((red))", [("red", 1.21)]),
        ("[red]", [("red", 1 / 1.1)]),
        ("[[red]]", [("red", 1 / 1.21)]),
        ("[(red)]", [("red", 1)]),
        ("(red:1.6)", [("red", 1.6)]),
        ("(red:0.4) coat", [("red", 0.4), (" coat", 1)]),
        ("a (red:.5) coat", [("a ", 1), ("red", 0.5), (" coat", 1)]),
        ("(red : 2 )", [("red ", 2)]),
        ("(red:0)", [("red", 0)]),
        ("(red:1.3499999999999999)", [("red", 1.35)]),
        ("(a (red:2) coat:1.5)", [("a ", 1.5), ("red", 3), (" coat", 1.5)]),
        ("(a (red) coat)", [("a ", 1.1), ("red", 1.21), (" coat", 1.1)]),
        ("(a (red):2)", [("a ", 2), ("red", 2.2)]),
        ("(red)(blue)", [("redblue", 1.1)]),
        ("(9:16:1.5)", [("9:16", 1.5)]),
        ("(a, b:1.2), c", [("a, b", 1.2), (", c", 1)]),
        ("red(der)", [("red", 1), ("der", 1.1)]),
    ],
)
def test_brackets_weigh_what_is_in_them(prompt: str, pieces: list[tuple[str, float]]) -> None:
    found = parse_weights(prompt)
    assert [piece.text for piece in found] == [text for text, _ in pieces]
    assert [piece.weight for piece in found] == pytest.approx([weight for _, weight in pieces])


@pytest.mark.parametrize(
    ("prompt", "text"),
    [
        ("black-and-white", "black-and-white"),
        ("3+ people, well-lit--", "3+ people, well-lit--"),
        ("c++ (c)", "c++ c"),
        ("at 9:16, f:1.8", "at 9:16, f:1.8"),
        (r"a smile \(happy\)", "a smile (happy)"),
        (r"\[x\] \\ \n", "[x] \\ \\n"),
        ("smile :)", "smile :)"),
        ("sad :(", "sad :("),
        ("a ) b ( c", "a ) b ( c"),
        ("(a", "(a"),
        ("a]", "a]"),
        ("(a]", "(a]"),
        ("([a)", "[a"),
        ("(a:red)", "a:red"),
        ("[a:1.5]", "a:1.5"),
        ("(a:-1)", "a:-1"),
        ("(a:1e3)", "a:1e3"),
        ('"quoted" {braces} <tags>', '"quoted" {braces} <tags>'),
    ],
)
def test_the_words_come_through_as_they_were_written(prompt: str, text: str) -> None:
    assert "".join(piece.text for piece in parse_weights(prompt)) == text


@pytest.mark.parametrize(
    "prompt",
    ["plain", "3+ people", "a ) b (", r"\(red\)", "(a]", "[(red)]"],
)
def test_what_has_no_weight_is_one_piece(prompt: str) -> None:
    assert [piece.weight for piece in parse_weights(prompt)] == [1]


@pytest.mark.parametrize(
    "prompt",
    [
        "(" * 10_000,
        ")" * 10_000,
        "(" * 5_000 + ")" * 5_000,
        "(" * 4_999 + "x" + ")" * 4_999,
        "[" * 4_999 + "x" + "]" * 4_999,
        "[" * 5_000 + ")" * 5_000,
        "([" * 2_500 + ")]" * 2_500,
        "(a:999999)",
        "(a:" + "9" * 9_000 + ")",
        "(a:" + " " * 9_000 + "1)",
        "\\" * 10_000,
        "(a:1.1)" * 1_400,
    ],
    ids=lambda prompt: prompt[:9],
)
def test_ten_thousand_characters_of_anything_are_read(prompt: str) -> None:
    assert all(0 <= piece.weight <= MAX_WEIGHT for piece in parse_weights(prompt))
