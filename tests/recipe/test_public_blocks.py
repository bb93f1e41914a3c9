"""The prompt blocks of the hosted service's public pages for Stable Diffusion 1.5, as rows.

Flags, fields and values are those of the pages (repository astriaai/astria-docs); the words of the
prompts and the addresses are ours.
"""

from __future__ import annotations

import pytest

from inference.recipe.prompt_block import parse
from inference.recipe.recipe import Recipe

FIELDS = (
    "num_images", "negative_prompt", "seed", "steps", "cfg_scale", "controlnet", "input_image_url",
    "mask_image_url", "denoising_strength", "controlnet_conditioning_scale", "controlnet_txt2img",
    "super_resolution", "inpaint_faces", "face_correct", "film_grain", "face_swap", "hires_fix",
    "backend_version", "prompt_expansion", "ar", "scheduler", "color_grading", "use_lpw", "w", "h",
)  # fmt: skip
# The values that the pages' blocks have where a row gives none.
USUAL = {
    "num_images": "1", "controlnet_txt2img": "false", "super_resolution": "false",
    "inpaint_faces": "false", "face_correct": "false", "film_grain": "false",
    "face_swap": "false", "hires_fix": "false", "ar": "1:1", "use_lpw": "true",
}  # fmt: skip
ADDRESS = {"input_image_url": "https://example.org/upload"}
BLOCKS: dict[str, tuple[str, dict[str, str], dict[str, object]]] = {
    "masked portraits": (
        "a painting, a diver in a reef --mask_prompt foreground --mask_negative clothes "
        "--mask_invert --mask_dilate -20 --hires_denoising_strength 0.2",
        {"negative_prompt": "text", "steps": "30", "controlnet": "pose",
         "super_resolution": "true", "face_correct": "true", "hires_fix": "true",
         "scheduler": "dpm++sde_karras", **ADDRESS},
        {"mask_prompt": "foreground", "mask_negative": "clothes", "mask_dilate": "-20px",
         "hires_denoising_strength": 0.2, "hires_fix": True},
    ),
    "prompt masking": (
        "a painting, a diver in a reef --mask_prompt foreground --mask_negative clothes "
        "--mask_invert --mask_dilate -20 --hires_denoising_strength 0.1",
        {"steps": "30", "controlnet": "pose", "super_resolution": "true", "face_correct": "true",
         "hires_fix": "true", "scheduler": "dpm++sde_karras", **ADDRESS},
        {"hires_denoising_strength": 0.1, "face_correct": True},
    ),
    "room redesign": (
        "A bright kitchen <lora:grain:0.5><lora:detail:0.2> --mask_prompt windows door "
        "--mask_invert --controlnets mlsd segroom --controlnet_weights 0.5 1",
        {"steps": "30", "controlnet": "lineart", "denoising_strength": "1",
         "super_resolution": "true", "hires_fix": "true", "backend_version": "1",
         "scheduler": "dpm++sde_karras", **ADDRESS},
        {"mask_prompt": "windows door", "mask_invert": True, "controlnets": "mlsd segroom",
         "controlnet_weights": "0.5 1", "denoising_strength": 1.0},
    ),
    "outpainting only": (
        "--outpaint top-center --outpaint_width 864 --outpaint_height 1296",
        {"denoising_strength": "0", "super_resolution": "true", "backend_version": "0",
         "scheduler": "euler_a", "w": "576", "h": "864", **ADDRESS},
        {"prompt": "", "outpaint": "top-center", "outpaint_width": 864, "outpaint_height": 1296,
         "denoising_strength": 0.0, "w": 576, "h": 864},
    ),
    "painting, then outpainting": (
        "a woman in a blue coat --outpaint top-center --outpaint_width 1792 "
        '--outpaint_height 1024 --outpaint_prompt "a harbour"',
        {"backend_version": "0", "scheduler": "euler_a", "use_lpw": "false", "w": "1024",
         "h": "1024"},
        {"outpaint_width": 1792, "outpaint_prompt": "a harbour", "use_lpw": False},
    ),
    "tiled upscale": (
        "a (laughing:1.1) man in a cave --tiled_upscale_v2",
        {"num_images": "2", "negative_prompt": "(blurry:0.8), text", "seed": "43", "steps": "30",
         "super_resolution": "true", "scheduler": "dpm++sde_karras", "w": "512", "h": "768"},
        {"prompt": "a (laughing:1.1) man in a cave", "tiled_upscale": True, "num_images": 2,
         "resemblance": 0.65},
    ),
    "tiled upscale with its flags": (
        "a man in a cave --tiled_upscale --hires_cfg_scale 5.5 --resemblance 0.65", {},
        {"tiled_upscale": True, "hires_cfg_scale": 5.5, "resemblance": 0.65},
    ),
    "upscale": (
        "highly detailed, <lora:detail:0.5> --only_upscale",
        {"negative_prompt": "(blurry:2)", "steps": "16", "cfg_scale": "6.0",
         "denoising_strength": "0.1", "backend_version": "1", "prompt_expansion": "undefined",
         "scheduler": "euler_a", "use_lpw": "false", **ADDRESS},
        {"only_upscale": True, "denoising_strength": 0.1, "cfg_scale": 6.0},
    ),
    "upscale by the API": (
        "very detailed, 8K --only_upscale <lora:detail:1>", {},
        {"prompt": "very detailed, 8K <lora:detail:1>", "only_upscale": True},
    ),
    "try-on by a dress": (
        "<faceid:12:1> front view of a woman, white background --control_guidance_end 0.5",
        {"controlnet": "pose", "controlnet_conditioning_scale": "0.5", "super_resolution": "true",
         "inpaint_faces": "true", "hires_fix": "true", "backend_version": "0",
         "scheduler": "dpm++2m_karras", "w": "768", "h": "1280", **ADDRESS},
        {"control_guidance_end": 0.5, "controlnet_conditioning_scale": 0.5, "inpaint_faces": True},
    ),
    "try-on by a shirt": (
        "<faceid:12:1.0> closeup of a woman, white background --control_guidance_end 0.5",
        {"controlnet_conditioning_scale": "0.5", "controlnet_txt2img": "true",
         "super_resolution": "true", "inpaint_faces": "true", "hires_fix": "true",
         "scheduler": "dpm++2m_karras", "w": "768", "h": "1280"},
        {"controlnet_txt2img": True, "controlnet": None},
    ),
}  # fmt: skip


@pytest.mark.parametrize("page", BLOCKS)
def test_every_field_of_a_public_block_is_read(page: str) -> None:
    text, given, expected = BLOCKS[page]
    values = {**dict.fromkeys(FIELDS, ""), **USUAL, **given}
    if given:
        text = "\n".join([text, *(f"{name}={value}" for name, value in values.items())])
    block = parse(text)
    assert block.unknown == ()
    assert block.summary == "The block's settings are taken."
    read = block.recipe.model_dump()
    wanted = Recipe.parse(expected).model_dump()
    assert {name: read[name] for name in expected} == {name: wanted[name] for name in expected}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('a man --video --video_prompt "he waves"', "but for the video, because only still"),
        ("a man --video --duration 5 --glitter", "unknown here: glitter, and the video, because"),
        ("a man --glitter", "but for what is unknown here: glitter."),
    ],
)
def test_what_is_not_done_is_named(text: str, sentence: str) -> None:
    assert sentence in parse(text).summary
