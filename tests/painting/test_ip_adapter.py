"""Tests of IP-Adapters against the stock pipeline, with the real classes at tiny size."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import MultiControlNetModel, StableDiffusionControlNetInpaintPipeline
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import CLIPVisionModelWithProjection
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from inference.errors import InvalidCatalog
from inference.painting.inpainting import ControlInput, InpaintInput
from inference.painting.painter import Painter
from inference.picture.photo import Pixels
from inference.recipe.recipe import Recipe
from inference.runtime.precision import use_less_memory
from tests.support import tiny_models
from tests.support.hub_repositories import LORA_FILE, save_image_encoder, save_ip_adapter, save_lora

CPU = torch.device("cpu")
BASE = {"prompt": "a garden", "negative_prompt": "rain", "steps": 4, "seed": 7, "cfg_scale": 3.0}
# Whether an adapter uses embeddings of the picture's patches ("plus") or of the whole picture.
PARTS = {"whole": False, "parts": True, "face": True}


def picture(seed: int, width: int = 72, height: int = 64) -> Pixels:
    random = np.random.default_rng(seed)
    return random.integers(0, 256, (height, width, 3), dtype=np.uint8)


WHOLE = ControlInput(control="whole", map=picture(1), scale=0.8)
SEES_PARTS = ControlInput(control="parts", map=picture(2, 40, 90), scale=0.5)
FACE = ControlInput(control="face", map=picture(3, 31, 33), scale=1.0)
POSE = ControlInput(control="pose", map=picture(4), scale=0.7)


def patch(*guides: ControlInput) -> InpaintInput:
    repaint = np.zeros((64, 72), dtype=bool)
    repaint[8:50, 20:64] = True
    return InpaintInput(picture=picture(0), repaint=repaint, guides=guides)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("adapters")
    for seed, (name, parts) in enumerate(PARTS.items()):
        save_ip_adapter(path / f"{name}.safetensors", parts=parts, seed=seed)
    save_image_encoder(path / "image_encoder")
    return path


@pytest.fixture(params=[4, 9], ids=["4-channel", "9-channel"])
def pipe(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[object]:
    return tiny_models.pipeline(tmp_path, request.param)


@pytest.fixture
def painter(pipe: object, folder: Path) -> Painter:
    painter = Painter(pipe, CPU)
    for name in PARTS:
        painter.adapters.add(name, folder / f"{name}.safetensors", folder / "image_encoder")
    painter.add_control("pose", tiny_models.controlnet())
    return painter


def painted(painter: Painter, *guides: ControlInput, **fields: object) -> tuple[Pixels, ...]:
    *_, last = painter.paint(patch(*guides), Recipe(**{**BASE, **fields}))
    return last.pictures


def stock(
    folder: Path, tmp_path: Path, channels: int, *guides: ControlInput, **fields: object
) -> Pixels:
    """The reference: paint by diffusers' own `load_ip_adapter` and `__call__`."""
    recipe = Recipe(**{**BASE, **fields})
    pipe = tiny_models.pipeline(tmp_path, channels)
    adapters = [guide for guide in guides if guide.control in PARTS]
    maps = [one for one in guides if one.control not in PARTS] or [
        ControlInput(control="off", map=picture(9), scale=0.0)
    ]
    parts = {
        **pipe.components,
        "scheduler": tiny_models.scheduler(recipe.scheduler, pipe.scheduler.config),
    }
    parts["image_encoder"] = CLIPVisionModelWithProjection.from_pretrained(
        folder / "image_encoder"
    ).eval()
    side = {"height": 32, "width": 32}
    parts["feature_extractor"] = CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size=side)
    reference = StableDiffusionControlNetInpaintPipeline(
        **parts,
        controlnet=MultiControlNetModel([tiny_models.controlnet() for _ in maps]),
        requires_safety_checker=False,
    )
    reference.set_progress_bar_config(disable=True)
    names = [f"{guide.control}.safetensors" for guide in adapters]
    reference.load_ip_adapter(str(folder), subfolder="", weight_name=names)
    reference.set_ip_adapter_scale([guide.scale for guide in adapters])
    return np.asarray(
        reference(
            prompt=recipe.prompt,
            negative_prompt=recipe.negative_prompt,
            image=Image.fromarray(patch().picture),
            mask_image=Image.fromarray(patch().repaint.astype(np.uint8) * 255),
            control_image=[Image.fromarray(one.map) for one in maps],
            controlnet_conditioning_scale=[one.scale for one in maps],
            ip_adapter_image=[Image.fromarray(guide.map) for guide in adapters],
            height=64,
            width=72,
            strength=recipe.denoising_strength,
            num_inference_steps=recipe.steps,
            guidance_scale=recipe.cfg_scale,
            generator=torch.Generator().manual_seed(recipe.seed),
        ).images[0]
    )


def difference(one: Pixels, other: Pixels) -> int:
    return int(np.abs(one.astype(int) - other.astype(int)).max())


any_unet = pytest.mark.parametrize("pipe", [4], indirect=True, ids=["4-channel"])


@pytest.mark.parametrize(
    ("pipe", "guides", "fields"),
    [
        (9, (SEES_PARTS,), {}),
        (9, (SEES_PARTS, POSE, WHOLE), {}),
        (4, (WHOLE,), {}),
        (4, (SEES_PARTS,), {}),
        (4, (FACE,), {}),
        (4, (WHOLE, SEES_PARTS), {}),
        (4, (SEES_PARTS, POSE, WHOLE), {}),
        (4, (WHOLE,), {"cfg_scale": 1.0}),
        (4, (SEES_PARTS,), {"cfg_scale": 1.0}),
        (4, (SEES_PARTS,), {"denoising_strength": 0.6, "scheduler": "euler_a"}),
    ],
    indirect=["pipe"],
    ids=str,
)
def test_equals_the_stock_pipeline(
    painter: Painter,
    folder: Path,
    tmp_path: Path,
    guides: tuple[ControlInput, ...],
    fields: dict[str, object],
) -> None:
    channels = painter._pipe.unet.config.in_channels
    ours = painted(painter, *guides, **fields)[0]
    assert difference(ours, stock(folder, tmp_path, channels, *guides, **fields)) <= 1
    maps = [guide for guide in guides if guide.control == "pose"]
    bare = painted(painter, *maps, **fields)[0]
    assert difference(ours, bare) > 2, "the comparison is void if nothing was seen"


@any_unet
def test_adapters_leave_no_trace_in_what_is_painted_next(painter: Painter, tmp_path: Path) -> None:
    before = Painter(tiny_models.pipeline(tmp_path, painter._pipe.unet.config.in_channels), CPU)
    bare = painted(before)[0]
    turns = [(), (WHOLE,), (), (SEES_PARTS,), (WHOLE, FACE), (FACE, WHOLE), (WHOLE,), (POSE,), ()]
    seen: dict[str, Pixels] = {"()": bare}
    for guides in turns:
        result = painted(painter, *guides)[0]
        names = str(tuple(guide.control for guide in guides))
        np.testing.assert_array_equal(result, seen.setdefault(names, result))
    assert difference(seen["('whole',)"], bare) > 2


@any_unet
@pytest.mark.parametrize(
    ("start", "end", "same_as"),
    [(0.0, 1.0, "all"), (0.0, 0.2, "none"), (0.0, 0.5, "some"), (0.5, 1.0, "some")],
)
def test_it_guides_in_its_window_only(
    painter: Painter, start: float, end: float, same_as: str
) -> None:
    window = ControlInput(control="parts", map=SEES_PARTS.map, scale=0.5, start=start, end=end)
    result = painted(painter, window)[0]
    same = {
        "all": difference(result, painted(painter, SEES_PARTS)[0]) == 0,
        "none": difference(result, painted(painter)[0]) <= 1,
    }
    assert [name for name, is_same in same.items() if is_same] == [
        name for name in same if name == same_as
    ]


@any_unet
def test_more_scale_leads_farther_from_the_bare_base(painter: Painter) -> None:
    bare = painted(painter)[0].astype(int)
    slightly, much = (
        ControlInput(control="parts", map=SEES_PARTS.map, scale=scale) for scale in (0.02, 0.3)
    )
    gaps = [np.abs(painted(painter, guide)[0] - bare).mean() for guide in (slightly, much)]
    assert 0 < gaps[0] < gaps[1]


@any_unet
def test_each_picture_of_a_batch_sees_the_same(painter: Painter) -> None:
    batch = painted(painter, SEES_PARTS, num_images=2)
    for k, one in enumerate(batch):
        assert difference(one, painted(painter, SEES_PARTS, seed=7 + k)[0]) <= 1


@any_unet
def test_a_picture_is_looked_at_once(painter: Painter) -> None:
    calls: list[int] = []
    (encoder,) = painter.adapters._encoders.values()
    hook = encoder.register_forward_hook(lambda *_: calls.append(1))
    painted(painter, FACE)
    looked = len(calls)
    painted(painter, FACE, seed=8, prompt="rain")
    assert len(calls) == looked > 0
    hook.remove()


@any_unet
def test_a_lora_is_worn_beside_it(painter: Painter, tmp_path: Path) -> None:
    save_lora(tmp_path / "ink")
    without = painted(painter, FACE)[0]
    painter.adapters.detach()
    painter.loras.add("ink", tmp_path / "ink" / LORA_FILE)
    painter.loras.use({"ink": 1.0})
    assert difference(painted(painter, FACE)[0], without) > 2
    painter.loras.use({})
    np.testing.assert_array_equal(painted(painter, FACE)[0], without)


@any_unet
@pytest.mark.parametrize("content", ["absent", "no weights", "of another size", "no encoder"])
def test_an_adapter_that_does_not_fit_is_named_and_changes_nothing(
    painter: Painter, folder: Path, tmp_path: Path, content: str
) -> None:
    file, encoder = tmp_path / "misfit.safetensors", folder / "image_encoder"
    if content == "no weights":
        file.write_bytes(b"<html>")
    elif content == "of another size":
        weights = load_file(folder / "parts.safetensors")
        save_file({name: torch.ones(*one.shape, 2) for name, one in weights.items()}, file)
    elif content == "no encoder":
        save_ip_adapter(file, parts=True)
        encoder = tmp_path / "absent"
    before = painted(painter)[0]
    with pytest.raises(InvalidCatalog, match=r"'misfit' does not fit.*choose another control"):
        painter.adapters.add("misfit", file, encoder)
    assert "misfit" not in painter.adapters
    np.testing.assert_array_equal(painted(painter)[0], before)


@pytest.mark.parametrize(("bfloat16", "most"), [(False, 0.5), (True, 4.0)])
def test_a_unet_that_uses_less_memory_paints_the_same(
    pipe: object, folder: Path, tmp_path: Path, bfloat16: bool, most: float
) -> None:
    def made(light: bool) -> Painter:
        one = copy.deepcopy(pipe)
        if light:
            use_less_memory(one.unet.half(), bfloat16=bfloat16)
        painter = Painter(one, CPU)
        for name in ("whole", "parts"):
            painter.adapters.add(name, folder / f"{name}.safetensors", folder / "image_encoder")
        return painter

    (expected,), (picture,) = (painted(made(light), WHOLE, SEES_PARTS) for light in (False, True))
    assert np.abs(picture.astype(float) - expected).mean() < most
