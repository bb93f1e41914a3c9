"""Tests of LoRA tags in the prompt: syntax, and the remaining text."""

from __future__ import annotations

import pytest

from inference.errors import InvalidRecipe
from inference.recipe.lora_tags import split_lora_tags


@pytest.mark.parametrize(
    ("prompt", "text", "loras"),
    [
        ("a garden", "a garden", {}),
        ("", "", {}),
        ("  two  spaces , kept ", "  two  spaces , kept ", {}),
        ("<lora:ink:0.5>", "", {"ink": 0.5}),
        ("<lora:ink>", "", {"ink": 1.0}),
        ("<LoRA:ink:1>a garden", "a garden", {"ink": 1.0}),
        ("a garden <lora:ink:0.5>", "a garden", {"ink": 0.5}),
        ("a <lora:ink:0.5> garden", "a garden", {"ink": 0.5}),
        ("a garden, <lora:ink:0.5>, spring", "a garden, spring", {"ink": 0.5}),
        ("<lora:ink:0.5>, a garden", "a garden", {"ink": 0.5}),
        ("a <lora:ink:-2><lora:soft:2> b", "a b", {"ink": -2.0, "soft": 2.0}),
        ("<lora:ink:1> <lora:soft:.25> x", "x", {"ink": 1.0, "soft": 0.25}),
        ("<lora: ink : 0.5 > x", "x", {"ink": 0.5}),
        ("<lora:ink:1> x <lora:ink:0.2>", "x", {"ink": 0.2}),
        ("<lora:oil v1.2-b:+1> x", "x", {"oil v1.2-b": 1.0}),
        ("a <lora garden", "a <lora garden", {}),
        ("5 < 6 > 4, <3", "5 < 6 > 4, <3", {}),
        ("<hypernet:x:1>", "<hypernet:x:1>", {}),
    ],
)
def test_loras_are_taken_out_of_the_words(prompt: str, text: str, loras: dict[str, float]) -> None:
    words = split_lora_tags(prompt)
    assert words.text == text
    assert words.loras == loras


@pytest.mark.parametrize(
    "tag",
    [
        "<lora:>",
        "<lora::1>",
        "<lora:ink:>",
        "<lora:ink:much>",
        "<lora:ink:2.01>",
        "<lora:ink:-3>",
        "<lora:ink:1:2>",
        "<lora:ink:1e1>",
        "<lora:ink:nan>",
        "<lora:ink:٣>",
    ],
)
def test_what_is_no_lora_is_refused_with_the_way_to_write_one(tag: str) -> None:
    with pytest.raises(InvalidRecipe, match=r"as <lora:name:weight>.*from -2 to 2") as caught:
        split_lora_tags(f"a garden {tag}")
    assert tag in str(caught.value)
    assert caught.value.field == "prompt"


def test_ten_thousand_characters_of_loras_are_read() -> None:
    assert split_lora_tags("<lora:ink:0.5> x, " * 550).loras == {"ink": 0.5}
    assert split_lora_tags("<lora:" * 1600).text == "<lora:" * 1600
