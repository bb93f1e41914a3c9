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
        ("(red:-0.5)", [("red", -0.5)]),
        ("(red:+2)", [("red", 2)]),
        ("(a", [("a", 1.1)]),
        ("a (red, coat", [("a ", 1), ("red, coat", 1.1)]),
        ("a [red", [("a ", 1), ("red", 1 / 1.1)]),
        ("((a)", [("a", 1.21)]),
        ("(a]", [("a]", 1.1)]),
        ("([a)b]", [("a", 1), ("b", 1 / 1.1)]),
        ("sad :(", [("sad :", 1)]),
        # The examples of the web UI's own parser.
        ("(unbalanced", [("unbalanced", 1.1)]),
        (r"\(literal\]", [("(literal]", 1)]),
        ("(unnecessary)(parens)", [("unnecessaryparens", 1.1)]),
        (
            "a (((house:1.3)) [on] a (hill:0.5), sun, (((sky))).",
            [
                ("a ", 1),
                ("house", 1.573),
                (" ", 1.1),
                ("on", 1),
                (" a ", 1.1),
                ("hill", 0.55),
                (", sun, ", 1.1),
                ("sky", 1.4641),
                (".", 1.1),
            ],
        ),
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
        (r"\[x\] \\ \n", "[x] \\ n"),
        (r"\(a\)(b)\\", "(a)b\\"),
        (r"\((a)\)", "(a)"),
        (r"(a\):1.2)", "a)"),
        ("smile :)", "smile :)"),
        ("a ) b ( c", "a ) b  c"),
        ("a]", "a]"),
        ("a:1.2)", "a:1.2)"),
        ("(a:red)", "a:red"),
        ("[a:1.5]", "a:1.5"),
        ("(a:1e3)", "a:1e3"),
        ("(a:1.2.3)", "a:1.2.3"),
        ('"quoted" {braces} <tags>', '"quoted" {braces} <tags>'),
    ],
)
def test_the_words_come_through_as_they_were_written(prompt: str, text: str) -> None:
    assert "".join(piece.text for piece in parse_weights(prompt)) == text


@pytest.mark.parametrize(
    "prompt",
    ["plain", "3+ people", "a ) b", r"\(red\)", "a]", "[(red)]", "BREAKFAST break xBREAK"],
)
def test_what_has_no_weight_is_one_piece(prompt: str) -> None:
    assert [piece.weight for piece in parse_weights(prompt)] == [1]


@pytest.mark.parametrize(
    ("prompt", "pieces"),
    [
        ("a BREAK b", [("a", 1, False), ("b", 1, True)]),
        ("a,\nBREAK\n b", [("a,", 1, False), ("b", 1, True)]),
        ("a, BREAK, b", [("a,", 1, False), (", b", 1, True)]),
        ("a BREAK (b:1.5) c", [("a", 1, False), ("b", 1.5, True), (" c", 1, False)]),
        ("(a)BREAK b", [("a", 1.1, False), ("b", 1, True)]),
        ("a BREAK BREAK b", [("a", 1, False), ("", 1, True), ("b", 1, True)]),
        ("BREAK a", [("a", 1, True)]),
        ("a BREAK", [("a", 1, False), ("", 1, True)]),
        ("BREAK", [("", 1, True)]),
        # There it is read as a word, by a slip.
        ("(a BREAK b:1.2) c", [("a", 1.2, False), ("b", 1.2, True), (" c", 1, False)]),
    ],
)
def test_break_starts_a_window(prompt: str, pieces: list[tuple[str, float, bool]]) -> None:
    found = parse_weights(prompt)
    assert [tuple(piece) for piece in found] == [
        (text, pytest.approx(weight), starts) for text, weight, starts in pieces
    ]


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
        "(a" * 5_000,
        "([a" * 3_300,
        "(a:-999999" * 900,
        "(" * 99 + "a" + ":999999)" * 98 + ":0)",
        "BREAK " * 1_600,
        " " * 10_000,
    ],
    ids=lambda prompt: prompt[:9],
)
def test_ten_thousand_characters_of_anything_are_read(prompt: str) -> None:
    assert all(abs(piece.weight) <= MAX_WEIGHT for piece in parse_weights(prompt))
