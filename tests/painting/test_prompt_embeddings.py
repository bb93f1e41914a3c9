"""Tests of prompt embeddings: against diffusers' `encode_prompt`, weights, long prompts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from diffusers import StableDiffusionInpaintPipeline

from inference.painting.lora import Loras
from inference.painting.prompt_embeddings import PromptEncoder
from inference.runtime.memory import ModelOffloader
from tests.support import tiny_models
from tests.support.hub_repositories import LORA_FILE, save_lora

CPU = torch.device("cpu")
PACK = Path(__file__).parents[2] / "assets" / "pack" / "painter"
WINDOW = 75
MAX_WINDOWS, MAX_WEIGHTS = 48, 8
# The tiny tokenizer works letter by letter: a word of k letters is k tokens.
LONG = "spring garden, " * 20


@pytest.fixture
def pipe(tmp_path: Path) -> StableDiffusionInpaintPipeline:
    return tiny_models.pipeline(tmp_path)


@pytest.fixture
def prompt_encoder(pipe: StableDiffusionInpaintPipeline) -> PromptEncoder:
    return PromptEncoder(pipe, Loras(pipe), ModelOffloader(CPU), "extrapolated")


@pytest.fixture
def web_ui(pipe: StableDiffusionInpaintPipeline) -> PromptEncoder:
    """An encoder whose weights act as in the web UI; its embeddings' mean is not zero."""
    with torch.no_grad():
        norm = next(m for name, m in pipe.text_encoder.named_modules() if "final_layer" in name)
        norm.bias.add_(-0.1)
    return PromptEncoder(pipe, Loras(pipe), ModelOffloader(CPU))


def read(prompt_encoder: PromptEncoder, text: str, *, use_lpw: bool = True) -> torch.Tensor:
    """The embeddings of a text alone, (tokens, width)."""
    with torch.inference_mode():
        return prompt_encoder.encode(text, "", use_lpw=use_lpw)[0][0]


def stock(pipe: StableDiffusionInpaintPipeline, text: str, negative: str) -> list[torch.Tensor]:
    with torch.inference_mode():
        return list(pipe.encode_prompt(text, CPU, 1, True, negative))


# --- plain words --------------------------------------------------------------------------------


@pytest.mark.parametrize("use_lpw", [True, False])
@pytest.mark.parametrize(
    ("positive", "negative"),
    [
        ("", ""),
        ("a garden", "rain"),
        ("a garden", ""),
        ("black-and-white, 3+ people, well-lit--", "text :)"),
        ("x" * WINDOW, "Ünï 🎭"),
    ],
)
def test_plain_words_are_read_bit_for_bit_as_by_the_stock_pipeline(
    pipe: StableDiffusionInpaintPipeline, positive: str, negative: str, use_lpw: bool
) -> None:
    with torch.inference_mode():
        ours = PromptEncoder(pipe, Loras(pipe), ModelOffloader(CPU)).encode(
            positive, negative, use_lpw=use_lpw
        )
    for one, other in zip(ours, stock(pipe, positive, negative), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("text", [LONG, "(red:1.5) coat", LONG + "(red:2)"])
def test_without_long_prompts_weights_are_words_and_the_rest_is_cut(
    pipe: StableDiffusionInpaintPipeline, text: str
) -> None:
    ours = PromptEncoder(pipe, Loras(pipe), ModelOffloader(CPU)).encode(text, "", use_lpw=False)[0]
    assert torch.equal(ours, stock(pipe, text, "")[0])


# --- weights ------------------------------------------------------------------------------------


@pytest.mark.parametrize("weight", [0.0, 0.4, 1.6])
def test_a_weight_moves_its_words_and_what_has_read_them(
    prompt_encoder: PromptEncoder, weight: float
) -> None:
    plain, empty = read(prompt_encoder, "a red coat"), read(prompt_encoder, "")
    without, weighed = (
        read(prompt_encoder, "a (red:0) coat"),
        read(prompt_encoder, f"a (red:{weight}) coat"),
    )
    before, words, after = slice(0, 2), slice(2, 5), slice(5, None)  # <start> a r e d c o a t
    assert torch.equal(weighed[before], plain[before])
    torch.testing.assert_close(without[words], empty[words])
    assert (without[after] != plain[after]).any(dim=1).all()
    torch.testing.assert_close(weighed, without + weight * (plain - without))


def test_each_of_several_weights_counts(prompt_encoder: PromptEncoder) -> None:
    plain = read(prompt_encoder, "a red coat, rain")
    alone = [
        read(prompt_encoder, text) for text in ("a (red:2) coat, rain", "a red coat, (rain:0.5)")
    ]
    together = read(prompt_encoder, "a (red:2) coat, (rain:0.5)")
    torch.testing.assert_close(together, alone[0] + alone[1] - plain)


@pytest.mark.parametrize("text", ["a (red:1) coat", r"a red coat", "a [(red)] coat"])
def test_a_weight_of_one_changes_no_bit(prompt_encoder: PromptEncoder, text: str) -> None:
    assert torch.equal(read(prompt_encoder, text), read(prompt_encoder, "a red coat"))


@pytest.mark.parametrize(
    ("colour", "other"), [("red", "blue"), ("blue", "red"), ("yellow", "purple")]
)
def test_more_weight_leads_farther_from_other_words(colour: str, other: str) -> None:
    pipe = StableDiffusionInpaintPipeline.from_pretrained(
        PACK, safety_checker=None, requires_safety_checker=False, dtype=torch.float32
    )
    prompt_encoder = PromptEncoder(pipe, Loras(pipe), ModelOffloader(CPU), "extrapolated")
    coat = "portrait of a person wearing a {} coat, space"
    way = read(prompt_encoder, coat.format(colour)) - read(prompt_encoder, coat.format(other))
    along = [
        float((read(prompt_encoder, coat.format(f"({colour}:{w})")) * way).sum())
        for w in (0.4, 1, 1.6)
    ]
    assert along[0] < along[1] < along[2]


def by_formula(embeddings: torch.Tensor, weights: list[float]) -> torch.Tensor:
    """One window, (77, width), with each token's weight, as in the web UI and `lpw`."""
    factors = torch.tensor([1.0, *weights] + [1.0] * (len(embeddings) - 1 - len(weights)))
    scaled = embeddings * factors[:, None]
    return scaled * (embeddings.mean() / scaled.mean())


@pytest.mark.parametrize(
    ("text", "plain", "weights"),
    [
        ("a (red:1.1) coat", "a red coat", [1, 1.1, 1.1, 1.1, 1, 1, 1, 1]),
        ("a (red:1.3) coat", "a red coat", [1, 1.3, 1.3, 1.3, 1, 1, 1, 1]),
        ("a (red:1.5) coat", "a red coat", [1, 1.5, 1.5, 1.5, 1, 1, 1, 1]),
        ("a (red:0.7) coat", "a red coat", [1, 0.7, 0.7, 0.7, 1, 1, 1, 1]),
        ("a (red:0) coat", "a red coat", [1, 0, 0, 0, 1, 1, 1, 1]),
        ("a ((red)) coat", "a red coat", [1, 1.21, 1.21, 1.21, 1, 1, 1, 1]),
        ("a [red] coat", "a red coat", [1, *[1 / 1.1] * 3, 1, 1, 1, 1]),
        ("(a (red:1.5):1.2) coat", "a red coat", [1.2, 1.8, 1.8, 1.8, 1, 1, 1, 1]),
        ("a (red coat", "a red coat", [1, *[1.1] * 7]),
        (r"a \(red\) coat", "a (red) coat", []),
    ],
)
def test_scaled_weights_are_those_of_the_web_ui(
    web_ui: PromptEncoder, text: str, plain: str, weights: list[float]
) -> None:
    expected = by_formula(read(web_ui, plain, use_lpw=False), weights)
    torch.testing.assert_close(read(web_ui, text), expected)


def test_scaled_weights_hold_in_the_negative_prompt_and_in_each_window(
    web_ui: PromptEncoder,
) -> None:
    coat = "a (red:1.5) coat"
    with torch.inference_mode():
        _, negative = web_ui.encode("rain", coat, use_lpw=True)
    assert torch.equal(negative[0], read(web_ui, coat))
    first, second = read(web_ui, f"{'x' * 70}, {coat}").split(77)
    assert torch.equal(first, read(web_ui, "x" * 70 + ","))
    assert torch.equal(second, read(web_ui, coat))


def test_without_a_mean_to_restore_weights_only_scale(
    pipe: StableDiffusionInpaintPipeline,
) -> None:
    web_ui = PromptEncoder(pipe, Loras(pipe), ModelOffloader(CPU))
    plain, weighed = read(web_ui, "a red coat"), read(web_ui, "a (red:1.5) coat")
    assert abs(plain.mean()) < 1e-6
    torch.testing.assert_close(weighed[2:5], 1.5 * plain[2:5])
    assert torch.equal(weighed[5:], plain[5:])


@pytest.mark.parametrize(
    ("text", "windows"),
    [
        ("a red BREAK coat", ["a red", "coat"]),
        ("a red\nBREAK\ncoat", ["a red", "coat"]),
        ("a BREAK BREAK b", ["a", "", "b"]),
        ("BREAK a", ["", "a"]),
        ("a BREAK", ["a"]),
        ("BREAK", [""]),
        ("BREAKS a BREAKx", ["BREAKS a BREAKx"]),
        ("x" * 80 + " BREAK a", ["x" * 75, "x" * 5, "a"]),
        ("a BREAK (red:1.5) coat", ["a", "(red:1.5) coat"]),
    ],
)
def test_break_starts_a_window(web_ui: PromptEncoder, text: str, windows: list[str]) -> None:
    found = read(web_ui, text).split(77)
    assert len(found) == len(windows)
    for one, window in zip(found, windows, strict=True):
        if "x" * 75 not in window:  # a word that is cut in two has no end there
            assert torch.equal(one, read(web_ui, window))


def test_many_weights_in_a_window_cost_a_bounded_number_of_runs(
    pipe: StableDiffusionInpaintPipeline, prompt_encoder: PromptEncoder
) -> None:
    calls: list[int] = []
    hook = pipe.text_encoder.register_forward_hook(lambda *_: calls.append(1))
    plain, empty = read(prompt_encoder, "a " * 20), read(prompt_encoder, "")
    calls.clear()
    weighed = read(prompt_encoder, " ".join(f"(a:{1.2 + k / 100:.2f})" for k in range(20)))
    hook.remove()
    assert len(calls) == len(["prompt", "nothing"]) + MAX_WEIGHTS
    first = empty[1] + 1.2 * (plain[1] - empty[1])  # which has read no other word
    torch.testing.assert_close(weighed[1], first, atol=0.05, rtol=0.05)


# --- long prompts -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "windows"),
    [
        ("x" * WINDOW, ["x" * WINDOW]),
        ("x" * (WINDOW + 1), ["x" * WINDOW, "x"]),
        ("x" * 160, ["x" * 75, "x" * 75, "x" * 10]),
        ("x" * 60 + ", " + "y" * 30, ["x" * 60 + ",", "y" * 30]),
        ("x" * 60 + " " + "y" * 30, ["x" * 60, "y" * 30]),
        ("x" * 60 + ", " + "y" * 9 + " " + "z" * 9, ["x" * 60 + ",", "y" * 9 + " " + "z" * 9]),
        ("x" * 50 + ", " + "y" * 30, ["x" * 50 + "," + "y" * 24, "y" * 6]),
    ],
    ids=lambda value: len(value),
)
def test_a_long_prompt_is_read_in_windows_that_end_with_a_phrase_or_word(
    prompt_encoder: PromptEncoder, text: str, windows: list[str]
) -> None:
    parts = [read(prompt_encoder, one) for one in windows]
    # A word that is cut in two has no end in the first window.
    inside = read(prompt_encoder, text).split(77)
    assert [part.shape for part in inside] == [part.shape for part in parts]
    for ours, part, words in zip(inside, parts, windows, strict=True):
        if "x" * 75 not in words and "y" * 24 not in words:
            assert torch.equal(ours, part)


@pytest.mark.parametrize(("positive", "negative"), [(LONG, "rain"), ("rain", LONG), (LONG, LONG)])
def test_the_shorter_of_both_is_padded_with_nothing(
    prompt_encoder: PromptEncoder, positive: str, negative: str
) -> None:
    both = prompt_encoder.encode(positive, negative, use_lpw=True)
    assert both[0].shape == both[1].shape
    for text, embeddings in zip((positive, negative), both, strict=True):
        alone = read(prompt_encoder, text)
        assert torch.equal(embeddings[0, : len(alone)], alone)
        padding = embeddings[0, len(alone) :]
        assert torch.equal(padding, read(prompt_encoder, "").repeat(len(padding) // 77, 1))


def test_a_weight_holds_in_every_window(prompt_encoder: PromptEncoder) -> None:
    plain, weighed = read(prompt_encoder, LONG), read(prompt_encoder, f"({LONG}:1.5)")
    assert plain.shape == weighed.shape
    for one, other in zip(plain.split(77), weighed.split(77), strict=True):
        assert (one != other).any()


@pytest.mark.parametrize(
    "make",
    [
        lambda: "x" * 10_000,
        lambda: "(red:0.5) " * 1_000,
        lambda: "(" * 5_000 + ")" * 5_000,
        lambda: "🎭" * 10_000,
        lambda: "<|endoftext|>" * 700,
        lambda: "\n" * 10_000,
    ],
    ids=["letters", "weights", "brackets", "masks", "ends", "nothing"],
)
def test_ten_thousand_characters_are_read_within_a_bound(
    prompt_encoder: PromptEncoder, make: Callable[[], str]
) -> None:
    embeddings = read(prompt_encoder, make())
    assert len(embeddings) <= MAX_WINDOWS * 77
    assert torch.isfinite(embeddings).all()


# --- what is not read ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "use_lpw", "rest"),
    [
        ("", False, ""),
        ("a garden", False, ""),
        ("x" * 75, False, ""),
        ("x" * 75 + " Spring", False, "Spring"),
        ("(x:2) " + "x" * 75, False, "x" * 5),
        ("x" * 80, True, ""),
        ("x" * 10_000, True, "x" * (10_000 - 75 * MAX_WINDOWS)),
        ("(x:2)" + "x" * 4_000, True, "x" * (4_001 - 75 * MAX_WINDOWS)),
    ],
    ids=lambda value: str(value)[:12],
)
def test_what_is_not_read_is_told(
    prompt_encoder: PromptEncoder, text: str, use_lpw: bool, rest: str
) -> None:
    assert prompt_encoder.unread(text, use_lpw=use_lpw) == rest


# --- LoRAs --------------------------------------------------------------------------------------


def test_a_lora_changes_how_words_are_read(
    pipe: StableDiffusionInpaintPipeline, tmp_path: Path
) -> None:
    save_lora(tmp_path / "lora", seed=1, text_too=True)
    loras = Loras(pipe)
    prompt_encoder = PromptEncoder(pipe, loras, ModelOffloader(CPU))
    bare = read(prompt_encoder, LONG)
    loras.add("words", tmp_path / "lora" / LORA_FILE)
    loras.use({"words": 1.0})
    assert not torch.equal(read(prompt_encoder, LONG), bare)
    assert torch.equal(read(prompt_encoder, "a garden"), stock(pipe, "a garden", "")[0][0])
    loras.use({})
    assert torch.equal(read(prompt_encoder, LONG), bare)
