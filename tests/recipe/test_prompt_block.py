"""Tests of prompt blocks: parsing and formatting."""

from __future__ import annotations

import random
from typing import get_args

import pytest

from inference.errors import InvalidRecipe
from inference.recipe.finish_settings import ColorGrading
from inference.recipe.length import Length, Unit
from inference.recipe.outpaint_settings import Anchor
from inference.recipe.prompt_block import format_block, is_block, parse
from inference.recipe.recipe import SCHEDULERS, Recipe
from inference.recipe.strokes import Stroke

MAX_BLOCK = 40_000
ORIGINAL = """\
realistic digital painting, astronaut in a garden --mask_prompt foreground --mask_negative clothes \
--mask_invert --mask_dilate -20 --hires_denoising_strength 0.2
num_images=1
negative_prompt=clay, text, watermark, padding, cropped, typography
seed=
steps=30
cfg_scale=
controlnet=pose
input_image_url=https://example.org/portrait.jpg
mask_image_url=
denoising_strength=
controlnet_conditioning_scale=
controlnet_txt2img=false
super_resolution=true
inpaint_faces=false
face_correct=true
film_grain=false
face_swap=false
hires_fix=true
ar=1:1
scheduler=dpm++sde_karras
color_grading=
use_lpw=true
w=
h=
"""


def test_the_block_of_the_original_is_read_field_by_field() -> None:
    block = parse(ORIGINAL)
    assert block.recipe == Recipe(
        prompt="realistic digital painting, astronaut in a garden",
        mask_prompt="foreground",
        mask_negative="clothes",
        mask_invert=True,
        mask_dilate=Length(value=-20, unit=Unit.PIXELS),
        negative_prompt="clay, text, watermark, padding, cropped, typography",
        steps=30,
        controlnet="pose",
        input_image_url="https://example.org/portrait.jpg",
        hires_denoising_strength=0.2,
        super_resolution=True,
        hires_fix=True,
        face_correct=True,
        ar="1:1",
        scheduler="dpm++sde_karras",
    )
    assert block.unknown == ()


@pytest.mark.parametrize(
    ("block", "names"),
    [
        ("space --sparkle 3\nstep=3\nsteps=4\nglitter=", ("sparkle", "step", "glitter")),
        ("space --mask_invert", ()),
    ],
)
def test_what_a_recipe_has_not_is_named(block: str, names: tuple[str, ...]) -> None:
    assert parse(block).unknown == names


@pytest.mark.parametrize(
    ("block", "fields"),
    [
        ("space", {"prompt": "space"}),
        ("", {}),
        ("steps=7", {"steps": 7}),
        ("a\nb\nsteps = 7", {"prompt": "a\nb", "steps": 7}),
        ("x --mask_prompt hat, hair", {"prompt": "x", "mask_prompt": "hat, hair",
         "mask_negative": "", "mask_invert": False, "mask_dilate": 0}),
        ("--mask_dilate 3%", {"mask_prompt": "", "mask_negative": "", "mask_invert": False,
         "mask_dilate": "3%"}),
        ("a -- b", {"prompt": "a -- b"}),
        ("well--known", {"prompt": "well--known"}),
        ("controlnet=", {"controlnet": None}),
        ("a --controlnets pose canny --controlnet_weights 0.5 1",
         {"prompt": "a", "controlnets": "pose canny", "controlnet_weights": "0.5 1"}),
        ("a --hires_denoising_strength 0.3", {"prompt": "a", "hires_denoising_strength": 0.3}),
        ("a --tiled_upscale --resemblance 0.8", {"prompt": "a", "tiled_upscale": True,
         "resemblance": 0.8}),
        ("a --tiled_upscale_v2 --hires_cfg_scale 5.5", {"prompt": "a", "tiled_upscale": True,
         "hires_cfg_scale": 5.5}),
        ("4K --only_upscale <lora:ink:1>, crisp", {"prompt": "4K <lora:ink:1>, crisp",
         "only_upscale": True}),
        ("a --hires_fix false\nsteps=3", {"prompt": "a", "hires_fix": False, "steps": 3}),
        ("a --film_grain", {"prompt": "a", "film_grain": True}),
        ("negative_prompt=", {"negative_prompt": ""}),
        ("cfg_scale=\nseed=", {}),
        ('prompt="a\\nsteps=3"\nsteps=9', {"prompt": "a\nsteps=3", "steps": 9}),
    ],
)  # fmt: skip
def test_a_block_means(block: str, fields: dict[str, object]) -> None:
    assert parse(block).recipe == Recipe.parse(fields)


@pytest.mark.parametrize(
    ("block", "names"),
    [
        ("steps=99", "from 1 to 50"),
        ("steps=2\nsteps=3", "steps stands twice"),
        ("x --mask_prompt a --mask_prompt b", "--mask_prompt stands twice"),
        ("x --mask_prompt a\nmask_prompt=b", "mask_prompt stands twice"),
        ("scheduler=fast", "dpm++2m"),
        ("steps=3\nand then some", "«and then some» is no field"),
        ('prompt="open', "quotes of prompt"),
        ("x" * (MAX_BLOCK + 1), f"at most {MAX_BLOCK}"),
    ],
)
def test_a_wrong_block_is_told_what_is_allowed(block: str, names: str) -> None:
    with pytest.raises(InvalidRecipe, match=names.replace("+", r"\+")):
        parse(block)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("a woman in space", False),
        ("a woman in space --mask_invert", True),
        ("a woman\nsteps=3", True),
        ("1 + 1 = 2", False),
        ("a --fancy thing", False),
        ("", False),
    ],
)
def test_a_block_is_told_from_a_prompt(text: str, answer: bool) -> None:
    assert is_block(text) is answer


def some_text(rng: random.Random) -> str:
    pieces = [
        "a",
        "space",
        " ",
        ", ",
        "--mask_invert",
        "--x",
        "\n",
        "steps=3",
        '"',
        "=",
        "é",
        "\t",
        "-",
    ]
    return "".join(rng.choices(pieces, k=rng.randrange(6)))


def some_controls(rng: random.Random) -> dict[str, object]:
    names = rng.sample(["pose", "canny", "tile", "depth"], rng.randrange(5))
    return {
        "controlnets": names,
        "controlnet_weights": [rng.random() for _ in names[: rng.randrange(5)]],
        "controlnet_windows": [(rng.uniform(0, 0.4), rng.uniform(0.5, 1)) for _ in names[1:]],
    }


def some_recipe(rng: random.Random) -> Recipe:
    unit = rng.choice(list(Unit))
    width = rng.choice([None, 8 * rng.randrange(8, 500)])
    return Recipe(
        mask_prompt=some_text(rng),
        mask_negative=some_text(rng),
        mask_invert=rng.random() < 0.5,
        mask_dilate=Length(value=rng.uniform(-50, 50), unit=unit),
        mask_threshold=rng.uniform(0.05, 0.95),
        mask_feather=rng.uniform(0, 64),
        mask_edges=rng.choice([None, "soft", "matte"]),
        mask_matte_width=rng.uniform(1, 64),
        mask_strokes=Stroke.parse_all(rng.choice(["", "+200:5000,4000 5100,4200;-150:8,9"])),
        prompt=some_text(rng),
        negative_prompt=some_text(rng),
        style=rng.choice([None, "photo", "x y"]),
        denoising_strength=rng.random(),
        cfg_scale=rng.choice([None, rng.uniform(0, 15)]),
        control_mode=rng.choice([None, "balanced", "unbalanced"]),
        control_guidance_end=rng.random(),
        steps=rng.randint(1, 50),
        fast=rng.random() < 0.5,
        guidance_stop=rng.random(),
        seed=rng.choice([None, 0, rng.randrange(2**32)]),
        num_images=rng.randint(1, 8),
        scheduler=rng.choice(SCHEDULERS),
        controlnet=rng.choice([None, "pose", "canny"]),
        controlnet_conditioning_scale=rng.random(),
        **some_controls(rng),
        controlnet_txt2img=rng.random() < 0.5,
        use_lpw=rng.random() < 0.5,
        inpainting_model=rng.random() < 0.5,
        protect=rng.random() < 0.5,
        super_resolution=rng.random() < 0.5,
        hires_fix=rng.random() < 0.5,
        hires_denoising_strength=rng.random(),
        hires_cfg_scale=rng.choice([None, rng.uniform(0, 15)]),
        tiled_upscale=rng.random() < 0.5,
        resemblance=rng.random(),
        only_upscale=rng.random() < 0.5,
        inpaint_faces=rng.random() < 0.5,
        face_correct=rng.random() < 0.5,
        face_swap=rng.random() < 0.5,
        film_grain=rng.random() < 0.5,
        film_grain_amount=rng.choice([None, rng.uniform(0, 30)]),
        color_match=rng.random(),
        light_wrap=rng.random(),
        film_grain_size=rng.choice([None, rng.uniform(0.1, 6)]),
        color_grading=rng.choice([None, *get_args(ColorGrading)]),
        input_image_url=rng.choice(["", "https://example.org/a=b.png", "steps=3"]),
        mask_image_url=rng.choice(["", "https://example.org/mask.png"]),
        ar=rng.choice([None, "1:1", "portrait"]),
        w=width,
        h=width,
        outpaint=rng.choice([None, *get_args(Anchor)]),
        outpaint_width=rng.randrange(64, 8193),
        outpaint_height=rng.randrange(64, 8193),
        outpaint_prompt=rng.choice(["", "fields", '"quoted" --fields']),
    )


@pytest.mark.parametrize("seed", range(60))
def test_what_is_written_is_read_as_the_same_recipe(seed: int) -> None:
    recipe = some_recipe(random.Random(seed))
    block = parse(format_block(recipe))
    assert block.recipe == recipe
    assert block.unknown == ()


def test_the_generator_of_recipes_leaves_no_field_out() -> None:
    drawn = [some_recipe(random.Random(seed)).model_dump() for seed in range(60)]
    for name in Recipe.model_fields:
        assert len({repr(one[name]) for one in drawn}) > 1, name
