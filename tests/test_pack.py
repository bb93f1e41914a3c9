"""The embedded pack does the whole job, measured on drawings it was never trained on."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from inference import Photo, Recipe, Result, Studio
from tools.portraits import HELD_OUT_SEED, draw, draw_seed, sample_spec
from tools.portraits.spec import COLOURS, SCENES

ROOT = Path(__file__).parent.parent
EXAMPLES_FOLDER = ROOT / "assets" / "examples"
EXAMPLES = tomllib.loads((EXAMPLES_FOLDER / "examples.toml").read_text())["example"]
SIZE = (384, 480)
DRAWINGS = range(HELD_OUT_SEED + 500, HELD_OUT_SEED + 512)

Mask = NDArray[np.bool_]
Pixels = NDArray[np.uint8]


@pytest.fixture(scope="module")
def studio() -> Studio:
    return Studio(style="drawn")


def overlap(found: Mask, truth: Mask) -> float:
    """Intersection over union."""
    return float((found & truth).sum() / (found | truth).sum())


def selected(studio: Studio, photo: Photo, words: str, minus: str = "") -> Mask:
    recipe = Recipe(
        mask_prompt=words, mask_negative=minus, mask_invert=False, mask_dilate=0, mask_feather=0
    )
    return studio.select(photo, recipe).alpha(recipe) > 0


@pytest.mark.parametrize(
    ("word", "least"),
    [
        ("foreground", 0.85), ("person", 0.85), ("background", 0.85), ("clothes", 0.8),
        ("head", 0.75), ("face", 0.65),
    ],
)  # fmt: skip
def test_words_find_their_region(studio: Studio, word: str, least: float) -> None:
    portraits = [draw_seed(seed, SIZE) for seed in DRAWINGS]
    found = [overlap(selected(studio, Photo.of(p.image), word), p.masks[word]) for p in portraits]
    assert np.mean(found) >= least


def test_foreground_minus_clothes_keeps_head_and_skin(studio: Studio) -> None:
    portrait = draw_seed(DRAWINGS[0], SIZE)
    kept = selected(studio, Photo.of(portrait.image), "foreground", "clothes")
    assert overlap(kept, portrait.masks["person"] & ~portrait.masks["clothes"]) > 0.7


@pytest.mark.parametrize("word", ["zeppelin", "dog", "bicycle"])
def test_a_word_that_is_not_in_the_picture_is_not_found(studio: Studio, word: str) -> None:
    photo = Photo.of(draw_seed(DRAWINGS[1], SIZE).image)
    assert not studio.select(photo, Recipe(mask_prompt=word)).words[0].found


def nearest_colour(picture: Pixels, region: Mask) -> str:
    """The palette's name for the median colour of a region."""
    seen = np.median(picture[region], axis=0)
    return min(COLOURS, key=lambda name: float(np.abs(seen - COLOURS[name]).sum()))


def nearest_scene(picture: Pixels, region: Mask) -> str:
    """The scene whose drawings, on average, look most like the picture within a region."""
    small = (12, 15)
    weight = cv2.resize(region.astype(np.float32), small, interpolation=cv2.INTER_AREA)[..., None]
    seen = cv2.resize(picture, small, interpolation=cv2.INTER_AREA).astype(float)
    distance = dict.fromkeys(SCENES, np.inf)
    for seed in range(HELD_OUT_SEED + 600, HELD_OUT_SEED + 680):
        spec = sample_spec(seed)
        drawn = cv2.resize(draw(spec, (96, 120), with_masks=False).image, small)
        difference = float((np.abs(drawn - seen) * weight).sum())
        distance[spec.scene] = min(distance[spec.scene], difference)
    return min(distance, key=lambda scene: distance[scene])


def inner(mask: Mask) -> Mask:
    """Without a margin that belongs to the edge."""
    margin = max(3, mask.shape[1] // 30)
    return cv2.erode(mask.astype(np.uint8), np.ones((margin, margin), np.uint8)) > 0


@pytest.mark.parametrize(
    ("prompt", "colour", "scene"),
    [
        ("a portrait wearing a yellow spacesuit, space", "yellow", "space"),
        ("portrait of a woman wearing a red dress, in a garden full of flowers", "red", "garden"),
        ("portrait of a person in a green suit, at the beach", "green", "beach"),
        ("a person in a blue hoodie, in the snow", "blue", "snow"),
    ],
)
def test_clothes_and_scene_are_as_prompted_and_the_head_is_kept(
    studio: Studio, prompt: str, colour: str, scene: str
) -> None:
    example = EXAMPLES[0]
    photo = Photo.open(EXAMPLES_FOLDER / example["file"])
    truth = draw_seed(example["seed"], photo.size).masks
    *_, result = studio.paint(photo, Recipe(prompt=prompt, seed=7))
    assert isinstance(result, Result)
    painted = result.images[0]
    assert nearest_colour(painted, inner(truth["clothes"])) == colour
    assert nearest_scene(painted, inner(truth["background"])) == scene
    assert result.kept_pixels_changed == 0
    assert (result.mask[inner(truth["face"])] == 0).mean() > 0.9


def test_the_pose_of_a_drawing_is_found(studio: Studio) -> None:
    misses = []
    for seed in DRAWINGS:
        portrait = draw_seed(seed, SIZE)
        models = studio.models()
        points = studio._selector.keypoints(
            Photo.of(portrait.image), "pack", models.pose("pack", lambda source: source.folder)
        )
        seen = portrait.keypoints[:, 2] > 0
        shoulders = np.flatnonzero(seen[5:7]) + 5
        error = np.hypot(*(points[shoulders, :2] - portrait.keypoints[shoulders, :2]).T)
        misses += list(error / SIZE[0])
    assert np.median(misses) < 0.06


def test_the_pack_is_small_and_holds_nothing_but_safe_weights() -> None:
    files = [path for path in (ROOT / "assets/pack").rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 30 * 2**20
    assert {path.suffix for path in files} <= {".safetensors", ".json", ".txt", ".md"}


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
