"""Tests of the embedded pack's quality: tools/eval_pack.py on few portraits, with lower goals.

Same portraits, same functions, fixed seeds. The model card has the figures on all portraits.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from inference import Photo, Recipe, Result, Studio
from tools.evaluation import control, enlarging, knobs, maps, prompt, shown, styles, words
from tools.evaluation.bench import Bench, sitter
from tools.evaluation.judge import CLASSES, notes

ROOT = Path(__file__).parents[2]
EXAMPLES_FOLDER = ROOT / "assets" / "examples"
EXAMPLES = tomllib.loads((EXAMPLES_FOLDER / "examples.toml").read_text())["example"]

# Tolerances of the goals, because few portraits are measured here instead of five hundred.
SLACK_OF_MASKS, SLACK_OF_SHARES = 0.05, 0.15
DRAWINGS, PAINTINGS, CONTROLLED, PER_STYLE, PER_KNOB, MAPPED, SHOWN = 12, 10, 10, 6, 6, 2, 6
STEPS = 12  # at most; the result is within 41 dB of thirty steps
STEPS_OF_MAPS = 8  # positions are determined in the first steps
# Two effects that need more pictures to differ from chance.
ROOMS, ROOMS_MAPPED, FACES = "segroom", 10, 10
# A denoising strength from which guidance decides whether the prompt or the upload is seen.
CONTENDED = 0.7
# These models, unlike those of the other tests, are large enough to use two cores.
CORES = 1 if "PYTEST_XDIST_WORKER" in os.environ else 2


@pytest.fixture(scope="module", autouse=True)
def cores() -> Iterator[None]:
    """Set the number of threads of PyTorch for these tests."""
    before = torch.get_num_threads()
    torch.set_num_threads(CORES)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def studio() -> Studio:
    return Studio(style="drawn")


@pytest.fixture(scope="module")
def bench(studio: Studio, tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """The evaluation's bench; paintings that several tests use are painted once."""
    return Bench(studio, tmp_path_factory.mktemp("gallery"), most_steps=STEPS)


# --- words --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def found(bench: Bench) -> dict[str, object]:
    return words.measure(bench, DRAWINGS)


@pytest.mark.parametrize(("word", "goal"), words.GOALS.items())
def test_a_word_finds_its_region(found: dict, word: str, goal: float) -> None:
    assert found["IoU"][word] >= goal - SLACK_OF_MASKS


def test_words_that_are_not_in_the_picture_stay_quiet(found: dict) -> None:
    assert found["quiet"] >= words.QUIET_SHARE - SLACK_OF_MASKS


def test_a_colour_tells_one_hat_from_the_other(found: dict) -> None:
    assert found["two hats"]["with colour"] > found["two hats"]["without"]


# --- painting -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def followed(bench: Bench) -> dict[str, object]:
    return prompt.measure(bench, PAINTINGS)


@pytest.mark.parametrize("what", ["colour", "scene"])
def test_the_painting_is_what_the_prompt_says(followed: dict, what: str) -> None:
    assert followed[what] >= prompt.GOAL - SLACK_OF_SHARES


def test_the_body_stays_where_the_control_map_has_it(bench: Bench) -> None:
    placed = control.measure(bench, CONTROLLED)
    assert placed["with"]["paintings"] >= control.GOAL - SLACK_OF_SHARES
    assert placed["without"]["paintings"] <= placed["with"]["paintings"] - control.FEWER


@pytest.fixture(scope="module")
def mapped(studio: Studio, tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    bench = Bench(studio, tmp_path_factory.mktemp("mapped"), most_steps=STEPS_OF_MAPS)
    most = tuple(kind for kind in maps.KINDS if kind != ROOMS)
    return maps.measure(bench, MAPPED, most) | maps.measure(bench, ROOMS_MAPPED, (ROOMS,))


@pytest.mark.parametrize("kind", maps.KINDS)
def test_the_painting_follows_the_map_of_the_control(mapped: dict, kind: str) -> None:
    assert mapped[kind]["with"] >= mapped[kind]["without"] + maps.MORE[kind] / 2


@pytest.fixture(scope="module")
def taken_after(bench: Bench) -> dict[str, object]:
    return shown.by_picture(bench, SHOWN)


@pytest.mark.parametrize("what", ["colour", "scene"])
def test_the_painting_takes_after_the_picture_shown(taken_after: dict, what: str) -> None:
    assert taken_after["with"][what] > taken_after["without"][what] + shown.MORE / 2


def test_the_face_takes_after_the_photos_with_face_swap(bench: Bench) -> None:
    share = shown.likeness(bench, FACES)
    assert share["with"] > share["without"] + shown.LIKER / 2


@pytest.fixture(scope="module")
def recognized(bench: Bench) -> dict[str, object]:
    return styles.measure(bench, PER_STYLE)


@pytest.mark.parametrize("style", styles.HANDS)
def test_the_style_is_recognized(recognized: dict, style: str) -> None:
    assert recognized["by style"][style] >= styles.GOAL - SLACK_OF_SHARES


def test_a_lora_in_the_prompt_paints_what_its_style_paints(bench: Bench) -> None:
    asked = prompt.wish(0).prompt
    by_prompt = prompt.recipe(0, prompt=f"{asked} <lora:ink:1.3>", steps=4)
    by_style = prompt.recipe(0, style="ink", steps=4)
    bare = prompt.recipe(0, steps=4)
    pictures = [bench.paint(sitter(0).image, one).image for one in (by_prompt, by_style, bare)]
    np.testing.assert_array_equal(pictures[0], pictures[1])
    assert (pictures[1] != pictures[2]).any()


@pytest.mark.parametrize("judge", CLASSES)
def test_the_judges_are_sure_of_drawings(judge: str) -> None:
    assert float(notes(judge)["held-out accuracy"]) >= prompt.JUDGE_GOAL


# --- knobs --------------------------------------------------------------------------------------


def test_guidance_makes_the_painting_follow_the_prompt(bench: Bench) -> None:
    """Painted from so near to noise that prompt and upload contend."""

    def against_the_upload(k: int, scale: float) -> Recipe:
        return knobs.by_words_alone(k, scale).model_copy(update={"denoising_strength": CONTENDED})

    free, guided, strong = (
        np.mean(knobs.agreement(bench, PER_KNOB, scale, against_the_upload))
        for scale in (1.0, 2.0, 5.0)
    )
    assert free + 0.05 < guided < strong - 0.05


def test_a_words_weight_is_seen_in_the_picture(bench: Bench) -> None:
    def redness(weight: float, k: int) -> float:
        words = f"portrait of a person wearing a (red:{weight}) coat, beach"
        painting = bench.paint(sitter(k).image, prompt.recipe(k, prompt=words, steps=6))
        red, green, blue = prompt.mean_colour(bench, painting)
        return float(red - (green + blue) / 2)

    pale, plain, deep = (np.mean([redness(w, k) for k in range(4)]) for w in (0.4, 1.0, 1.6))
    assert pale + 10 < plain < deep - 10


def test_denoising_strength_leads_away_from_the_upload(bench: Bench) -> None:
    near, farther, far = (knobs.distance(bench, PER_KNOB // 2, s) for s in (0.3, 0.6, 1.0))
    assert near < farther < far


def test_a_seed_repeats_its_painting_and_another_one_does_not(bench: Bench) -> None:
    assert knobs.seeds(bench, 2) == {"same": 1.0, "different": 1.0}


def test_what_was_to_be_kept_is_kept(studio: Studio) -> None:
    photo = Photo.of(sitter(0).image)
    *_, result = studio.paint(photo, Recipe(prompt=prompt.wish(0).prompt, seed=7))
    assert isinstance(result, Result)
    assert result.kept_pixels_changed == 0
    face = cv2.erode(sitter(0).masks["face"].astype(np.uint8), np.ones((13, 13))) > 0
    assert (result.mask[face] == 0).mean() > 0.9


# --- enlarging and cost -------------------------------------------------------------------------


def test_enlarging_beats_lanczos(bench: Bench) -> None:
    sharpness = enlarging.measure(bench, 3)
    assert sharpness["ours"] - sharpness["lanczos"] >= enlarging.GOAL - 0.5


def test_the_pack_is_small_and_holds_nothing_but_safe_weights(bench: Bench) -> None:
    files = list(bench.pack_files())
    assert sum(path.stat().st_size for path in files) <= 40_000_000
    assert {path.suffix for path in files} <= {".safetensors", ".json", ".txt", ".md"}


# --- as a user has it ---------------------------------------------------------------------------


def test_the_readmes_python_example_runs_as_it_stands(tmp_path: Path) -> None:
    example = (ROOT / "README.md").read_text().split("```python\n")[1].split("```")[0]
    example = example.replace('"out.png"', f'"{tmp_path / "out.png"}"')
    done = subprocess.run(
        [sys.executable, "-c", example], cwd=ROOT, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["7", "0"]
    assert Photo.open(tmp_path / "out.png").size == Photo.open(EXAMPLES_FOLDER / "beach.png").size


def test_a_photo_of_fifteen_megapixels_goes_through(studio: Studio) -> None:
    example = Photo.open(EXAMPLES_FOLDER / EXAMPLES[0]["file"]).pixels
    large = Photo.of(cv2.resize(example, (3456, 4320), interpolation=cv2.INTER_CUBIC))
    *_, result = studio.paint(large, Recipe(prompt="space", seed=1, steps=2))
    assert isinstance(result, Result)
    assert result.images[0].shape == (4320, 3456, 3)
    assert result.kept_pixels > 1_000_000
    assert result.kept_pixels_changed == 0
