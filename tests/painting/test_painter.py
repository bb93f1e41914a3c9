"""Tests of the denoising loop against the stock pipeline, with the real classes at tiny size."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import (
    ControlNetModel,
    MultiControlNetModel,
    StableDiffusionControlNetInpaintPipeline,
)
from PIL import Image
from safetensors.torch import load_file, save_file

from inference.errors import InvalidCatalog, OutOfMemory, PaintingFailed
from inference.painting.inpainting import (
    ControlInput,
    DenoisingStep,
    InpaintInput,
    InpaintOutput,
    Underway,
)
from inference.painting.painter import Painter
from inference.picture.photo import Pixels
from inference.recipe.recipe import SCHEDULERS, Recipe
from tests.support import tiny_models
from tests.support.hub_repositories import LORA_FILE, save_lora

CPU = torch.device("cpu")
BASE = {"prompt": "a garden", "negative_prompt": "rain", "steps": 4, "seed": 7, "cfg_scale": 3.0}


@pytest.fixture(params=[4, 9], ids=["4-channel", "9-channel"])
def pipe(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[object]:
    return tiny_models.pipeline(tmp_path, request.param)


# For tests that do not depend on the UNet's number of channels.
any_unet = pytest.mark.parametrize("pipe", [4], indirect=True, ids=["4-channel"])


def picture(seed: int, width: int = 72, height: int = 64) -> Pixels:
    random = np.random.default_rng(seed)
    return random.integers(0, 256, (height, width, 3), dtype=np.uint8)


HOLE = np.zeros((64, 72), dtype=bool)
HOLE[8:50, 20:64] = True


def patch(*guides: ControlInput) -> InpaintInput:
    return InpaintInput(picture=picture(0), repaint=HOLE, guides=guides)


def paint(pipe: object, job: InpaintInput, recipe: Recipe) -> tuple[Pixels, ...]:
    painter = Painter(pipe, CPU)
    for guide in job.guides:
        painter.add_control(guide.control, tiny_models.controlnet(len(guide.control)))
    *_, last = painter.paint(job, recipe)
    assert isinstance(last, InpaintOutput)
    return last.pictures


def stock(pipe: object, job: InpaintInput, recipe: Recipe, **options: object) -> Pixels:
    """The reference: the same settings through diffusers' own `__call__`."""
    guides = job.guides or (ControlInput(control="off", map=picture(9), scale=0.0),)
    nets = [tiny_models.controlnet(len(guide.control)) for guide in guides]
    reference = StableDiffusionControlNetInpaintPipeline(
        **{
            **pipe.components,
            "scheduler": tiny_models.scheduler(recipe.scheduler, pipe.scheduler.config),
        },
        controlnet=MultiControlNetModel(nets),
        requires_safety_checker=False,
    )
    reference.set_progress_bar_config(disable=True)
    image = reference(
        prompt=recipe.prompt,
        negative_prompt=recipe.negative_prompt,
        image=Image.fromarray(job.picture),
        mask_image=Image.fromarray(job.repaint.astype(np.uint8) * 255),
        control_image=[shown_to_stock(guide) for guide in guides],
        controlnet_conditioning_scale=[guide.scale for guide in guides],
        control_guidance_start=[guide.start for guide in guides],
        control_guidance_end=[guide.end for guide in guides],
        height=job.picture.shape[0],
        width=job.picture.shape[1],
        strength=recipe.denoising_strength,
        num_inference_steps=recipe.steps,
        guidance_scale=recipe.cfg_scale,
        guess_mode=recipe.control_mode == "unbalanced",
        generator=torch.Generator().manual_seed(recipe.seed),
        **options,
    ).images[0]
    return np.asarray(image)


def shown_to_stock(guide: ControlInput) -> object:
    """A control map as the stock pipeline takes it: -1 only in a tensor."""
    if guide.hidden is None:
        return Image.fromarray(guide.map)
    condition = guide.map.astype(np.float32) / 255
    condition[guide.hidden] = -1.0
    return torch.from_numpy(condition).permute(2, 0, 1)[None]


def difference(one: Pixels, other: Pixels) -> int:
    return int(np.abs(one.astype(int) - other.astype(int)).max())


POSE = ControlInput(control="pose", map=picture(1), scale=0.8)
CANNY = ControlInput(control="canny", map=picture(2), scale=0.5, start=0.3, end=0.8)
INPAINT = ControlInput(
    control="inpaint", map=np.where(HOLE[..., None], np.uint8(0), picture(0)), hidden=HOLE
)
LINES = ControlInput(control="lineart", map=picture(3), scale=1.0, start=0.0, end=0.4)

# Schedulers with all variants of the initial noise (two) and of the timesteps (three).
FROM_NOISE = ("euler", "dpm++2m_karras", "lcm")
EQUAL_TO_STOCK = [
    ({"scheduler": "dpm++2m", "denoising_strength": 1.0}, ()),
    ({"scheduler": "euler_a", "denoising_strength": 0.6}, (POSE,)),
    ({"denoising_strength": 0.8}, (POSE, CANNY)),
    ({"denoising_strength": 1.0}, (CANNY,)),
    ({"denoising_strength": 1.0, "steps": 6}, (LINES, POSE, CANNY)),
    ({"cfg_scale": 1.0}, (POSE,)),
    ({"cfg_scale": 0.0}, ()),
    ({"steps": 1, "denoising_strength": 1.0}, (POSE,)),
    ({"steps": 7, "denoising_strength": 0.5}, (POSE,)),
]


BY_SCHEDULER = [
    *[({"scheduler": name, "denoising_strength": 1.0}, ()) for name in FROM_NOISE],
    *[({"scheduler": name, "denoising_strength": 0.6}, (POSE,)) for name in SCHEDULERS],
]


@pytest.mark.parametrize(
    ("pipe", "settings", "guides"),
    [
        *[(channels, *one) for channels in (4, 9) for one in EQUAL_TO_STOCK],
        *[(4, *one) for one in BY_SCHEDULER],
    ],
    indirect=["pipe"],
    ids=str,
)
def test_equals_the_stock_pipeline(
    pipe: object, settings: dict[str, object], guides: tuple[ControlInput, ...]
) -> None:
    recipe = Recipe(**{**BASE, **settings})
    ours, theirs = paint(pipe, patch(*guides), recipe)[0], stock(pipe, patch(*guides), recipe)
    assert difference(ours, theirs) <= 1
    assert difference(ours, picture(0)) > 20, "the comparison is void if nothing was painted"


@pytest.mark.parametrize("strength", [1.0, 0.6])
@pytest.mark.parametrize("guides", [(INPAINT,), (POSE, INPAINT)], ids=len)
def test_where_a_map_is_hidden_the_controlnet_gets_minus_one_as_in_the_stock_pipeline(
    pipe: object,
    guides: tuple[ControlInput, ...],
    strength: float,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tiny_models, "controlnet", attentive_controlnet)
    recipe = Recipe(**BASE, denoising_strength=strength)
    ours, theirs = paint(pipe, patch(*guides), recipe)[0], stock(pipe, patch(*guides), recipe)
    assert difference(ours, theirs) <= 1
    black = patch(*(replace(guide, hidden=None) for guide in guides))
    assert difference(ours, paint(pipe, black, recipe)[0]) > 10


def ramp(low: float = 0.0, high: float = 1.0) -> np.ndarray:
    """Strengths that rise from left to right, equal within each latent."""
    columns = np.linspace(low, high, 9, dtype=np.float32).repeat(8)
    return np.tile(columns, (64, 1))


def soft(strength: np.ndarray, *guides: ControlInput) -> InpaintInput:
    return replace(patch(*guides), repaint=strength > 0, strength=strength)


@any_unet
@pytest.mark.parametrize("guides", [(), (POSE, CANNY)], ids=len)
@pytest.mark.parametrize("denoising_strength", [1.0, 0.6])
@pytest.mark.parametrize("scheduler", ["dpm++2m_karras", "euler_a", "lcm"])
def test_a_strength_of_0_or_1_paints_as_the_mask_alone_bit_for_bit(
    pipe: object, guides: tuple[ControlInput, ...], denoising_strength: float, scheduler: str
) -> None:
    recipe = Recipe(**BASE, denoising_strength=denoising_strength, scheduler=scheduler)
    hard = (ramp() > 0.5).astype(np.float32)
    assert 0 < hard.mean() < 1
    one = soft(hard, *guides)
    alone = replace(one, strength=None)
    np.testing.assert_array_equal(paint(pipe, one, recipe)[0], paint(pipe, alone, recipe)[0])


@any_unet
@pytest.mark.parametrize(
    "settings",
    [{}, {"denoising_strength": 0.6}, {"scheduler": "euler_a"}, {"scheduler": "dpm++sde"}],
    ids=str,
)
def test_a_soft_mask_equals_the_stock_pipeline_whose_mask_is_changed_at_each_step(
    pipe: object, settings: dict[str, object]
) -> None:
    recipe = Recipe(**{**BASE, "steps": 10, **settings})
    job, total = soft(ramp()), int(10 * recipe.denoising_strength)
    levels = torch.from_numpy(job.strength[::8, ::8])

    def painted(done: int) -> torch.Tensor:
        return (levels > 0) & (levels + done / total >= 1 - 1e-6)

    def harden(
        _pipe: object, index: int, _time: object, tensors: dict[str, torch.Tensor]
    ) -> dict[str, torch.Tensor]:
        tensors["mask"][:] = painted(index + 2)
        return {}

    first = painted(1).numpy().repeat(8, 0).repeat(8, 1)
    theirs = stock(
        pipe,
        replace(job, repaint=first),
        recipe,
        callback_on_step_end=harden,
        callback_on_step_end_tensor_inputs=["mask"],
    )
    ours = paint(pipe, job, recipe)[0]
    assert difference(ours, theirs) <= 1
    assert difference(ours, paint(pipe, replace(job, strength=None), recipe)[0]) > 10


@pytest.mark.parametrize("denoising_strength", [1.0, 0.6])
def test_the_weaker_a_part_is_painted_the_nearer_it_stays_to_the_photo(
    pipe: object, denoising_strength: float
) -> None:
    recipe = Recipe(**BASE | {"steps": 10}, denoising_strength=denoising_strength)
    flat = np.full((64, 72), 1.0, dtype=np.float32)
    shown = paint(pipe, soft(flat * 1e-4), recipe)[0].astype(float)
    apart = []
    for level in (0.2, 0.5, 0.8, 1.0):
        strengths = flat.copy()
        strengths[:, 24:] = level
        part = paint(pipe, soft(strengths), recipe)[0][:, 32:].astype(float)
        apart.append(np.abs(part - shown[:, 32:]).mean())
    assert apart == sorted(apart)
    assert apart[0] < 0.9 * apart[-1]


def attentive_controlnet(
    seed: int, build: Callable[[int], ControlNetModel] = tiny_models.controlnet
) -> ControlNetModel:
    """A ControlNet whose map has much effect; random weights let it fade on its way."""
    net = build(seed)
    with torch.no_grad():
        for name, parameter in net.controlnet_cond_embedding.named_parameters():
            if name.endswith("weight"):
                parameter *= 3
    return net


@pytest.mark.parametrize("guides", [(POSE,), (POSE, CANNY), ()], ids=len)
def test_unbalanced_equals_the_stock_guess_mode_but_for_its_weights_by_depth(
    pipe: object, guides: tuple[ControlInput, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stock weakens what a ControlNet says of the outer layers; we do not."""
    monkeypatch.setattr(torch, "logspace", lambda *_, **__: torch.ones(99))
    recipe = Recipe(**BASE, control_mode="unbalanced")
    ours, theirs = paint(pipe, patch(*guides), recipe)[0], stock(pipe, patch(*guides), recipe)
    assert difference(ours, theirs) <= 1
    balanced = paint(pipe, patch(*guides), recipe.model_copy(update={"control_mode": None}))[0]
    assert (difference(ours, balanced) > 1) == bool(guides)


# --- LoRAs --------------------------------------------------------------------------------------


@pytest.fixture
def loras(tmp_path: Path) -> dict[str, Path]:
    """Files of three LoRAs: two for the UNet alone, one for the text encoder too."""
    files = {name: tmp_path / name / LORA_FILE for name in ("ink", "soft", "words")}
    for seed, (name, file) in enumerate(files.items()):
        save_lora(file.parent, seed=seed, text_too=name == "words")
    return files


def worn(painter: Painter, loras: dict[str, Path], weights: dict[str, float]) -> Pixels:
    """Paint with these LoRAs."""
    for name in weights:
        if name not in painter.loras:
            painter.loras.add(name, loras[name])
    painter.loras.use(weights)
    *_, last = painter.paint(patch(), Recipe(**BASE))
    return last.pictures[0]


@any_unet
@pytest.mark.parametrize(
    "weights", [{"ink": 1.0}, {"ink": 0.4}, {"words": 1.0}, {"ink": 0.5, "words": 0.8}], ids=str
)
def test_a_lora_does_what_it_does_in_the_stock_pipeline(
    pipe: object, tmp_path: Path, loras: dict[str, Path], weights: dict[str, float]
) -> None:
    same = tiny_models.pipeline(tmp_path, pipe.unet.config.in_channels)
    for name in weights:
        same.load_lora_weights(loras[name].parent, weight_name=LORA_FILE, adapter_name=name)
    same.set_adapters(list(weights), list(weights.values()))
    painter = Painter(pipe, CPU)
    bare = worn(painter, loras, {})
    ours = worn(painter, loras, weights)
    assert difference(ours, stock(same, patch(), Recipe(**BASE))) <= 1
    assert difference(ours, bare) > 5, "the comparison is void if the LoRA changes nothing"


@any_unet
def test_a_lora_leaves_no_trace_in_what_is_painted_next(
    pipe: object, loras: dict[str, Path]
) -> None:
    painter = Painter(pipe, CPU)
    turns = [{}, {"ink": 1.0}, {}, {"words": 0.7}, {"ink": 1.0}, {"soft": 1.0}, {"words": 0.7}, {}]
    seen: dict[str, Pixels] = {}
    for weights in turns:
        painted = worn(painter, loras, weights)
        np.testing.assert_array_equal(painted, seen.setdefault(str(weights), painted))
    assert len({one.tobytes() for one in seen.values()}) == 4


@any_unet
def test_a_lora_is_not_in_use_until_it_is_asked_for(pipe: object, loras: dict[str, Path]) -> None:
    painter = Painter(pipe, CPU)
    bare = worn(painter, loras, {})
    painter.loras.add("words", loras["words"])
    *_, last = painter.paint(patch(), Recipe(**BASE))
    np.testing.assert_array_equal(last.pictures[0], bare)


@any_unet
@pytest.mark.parametrize("content", ["absent", "no weights", "of another size", "of no known kind"])
def test_a_lora_that_does_not_fit_is_named_and_changes_nothing(
    pipe: object, tmp_path: Path, loras: dict[str, Path], content: str
) -> None:
    file = tmp_path / "misfit.safetensors"
    weights = load_file(loras["words"])
    if content == "no weights":
        file.write_bytes(b"<html>")
    elif content == "of another size":
        save_file({name: torch.ones(*one.shape[:1], 3) for name, one in weights.items()}, file)
    elif content == "of no known kind":
        save_file({f"other.{name}": one for name, one in weights.items()}, file)
    painter = Painter(pipe, CPU)
    before = worn(painter, loras, {})
    with pytest.raises(InvalidCatalog, match=r"'misfit' does not fit.*choose another style"):
        painter.loras.add("misfit", file)
    assert "misfit" not in painter.loras
    np.testing.assert_array_equal(worn(painter, loras, {}), before)
    assert difference(worn(painter, loras, {"ink": 1.0}), before) > 5


# --- the rest -----------------------------------------------------------------------------------


def test_a_control_map_matters(pipe: object) -> None:
    recipe = Recipe(**BASE)
    without = paint(pipe, patch(), recipe)[0]
    assert difference(without, paint(pipe, patch(POSE), recipe)[0]) > 1


@pytest.mark.parametrize("guides", [(), (POSE,)], ids=["alone", "with a map"])
@pytest.mark.parametrize("scheduler", ["dpm++2m_karras", "euler_a"])
def test_of_what_is_repainted_whole_from_noise_nothing_is_seen(
    pipe: object, guides: tuple[ControlInput, ...], scheduler: str
) -> None:
    everything = np.ones((64, 72), dtype=bool)
    painted = [
        paint(
            pipe,
            InpaintInput(picture=picture(seed), repaint=everything, guides=guides),
            Recipe(**BASE, scheduler=scheduler, denoising_strength=1.0),
        )[0]
        for seed in (0, 1)
    ]
    np.testing.assert_array_equal(*painted)


@pytest.mark.parametrize("strength", [0.5, 1.0])
def test_picture_k_of_a_batch_is_what_seed_plus_k_paints_alone(
    pipe: object, strength: float
) -> None:
    settings = BASE | {"denoising_strength": strength, "scheduler": "euler_a"}
    batch = paint(pipe, patch(POSE), Recipe(**settings, num_images=3))
    for k, one in enumerate(batch):
        alone = paint(pipe, patch(POSE), Recipe(**{**settings, "seed": 7 + k}))[0]
        assert difference(one, alone) <= 1
    assert difference(batch[0], batch[1]) > 1


@any_unet
def test_a_seed_repeats_its_picture_bit_for_bit(pipe: object) -> None:
    recipe = Recipe(**BASE, scheduler="dpm++sde_karras")
    first, second = (paint(pipe, patch(POSE), recipe)[0] for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_strength_zero_gives_the_photo_back(pipe: object) -> None:
    painted = paint(pipe, patch(), Recipe(**BASE, denoising_strength=0, num_images=2))
    assert len(painted) == 2
    np.testing.assert_array_equal(painted[0], picture(0))


@any_unet
@pytest.mark.parametrize(
    ("fields", "other", "same"),
    [
        ({"prompt": "a (garden:1)"}, {"prompt": "a garden"}, True),
        ({"prompt": "a (garden:1.5)"}, {"prompt": "a garden"}, False),
        ({"negative_prompt": "(rain:0.5)"}, {"negative_prompt": "rain"}, False),
        ({"prompt": "a (garden:1.5)", "use_lpw": False}, {"prompt": "a garden"}, False),
        ({"prompt": "a" * 75 + " b"}, {"prompt": "a" * 75}, False),
        ({"prompt": "a" * 75 + " b", "use_lpw": False}, {"prompt": "a" * 75}, True),
        ({"prompt": "a" * 75 + " b", "cfg_scale": 1.0}, {"prompt": "a" * 75}, False),
    ],
    ids=str,
)
def test_weights_and_long_prompts_count_where_they_are_asked_for(
    pipe: object, fields: dict[str, object], other: dict[str, object], same: bool
) -> None:
    painter = Painter(pipe, CPU)
    pictures = []
    for changes in (fields, other, fields):
        *_, last = painter.paint(patch(), Recipe(**{**BASE, **changes}))
        pictures.append(last.pictures[0])
    assert (pictures[0] == pictures[1]).all() == same
    np.testing.assert_array_equal(pictures[0], pictures[2])


@any_unet
def test_what_is_too_long_to_be_read_is_told(pipe: object) -> None:
    painter = Painter(pipe, CPU)
    assert painter.unread("a garden") == ""
    assert painter.unread("a" * 75 + " garden") == "garden"
    assert painter.unread("a" * 75 + " garden", use_lpw=True) == ""


@any_unet
def test_every_step_is_reported_with_a_preview(pipe: object) -> None:
    painter = Painter(pipe, CPU)
    events = list(painter.paint(patch(), Recipe(**BASE, denoising_strength=1.0)))
    steps = [event for event in events if isinstance(event, DenoisingStep)]
    assert [(event.step, event.steps) for event in steps] == [(k, 4) for k in (1, 2, 3, 4)]
    assert steps[0].preview().shape == (64, 72, 3)
    assert isinstance(events[-1], InpaintOutput)
    between = [(one.step, one.steps) for one in events if isinstance(one, Underway)]
    assert between == [(0, 0), (0, 4), (4, 4)], "encoding, the first step, decoding"


def test_closing_stops_at_once_and_the_next_job_is_undisturbed(pipe: object) -> None:
    recipe = Recipe(**BASE)
    undisturbed = paint(pipe, patch(), recipe)[0]
    calls: list[int] = []
    hook = pipe.unet.register_forward_hook(lambda *_: calls.append(1))
    painter = Painter(pipe, CPU)
    with closing(painter.paint(patch(), recipe)) as events:
        next(event for event in events if isinstance(event, DenoisingStep))
    assert len(calls) == 1
    hook.remove()
    *_, last = painter.paint(patch(), recipe)
    np.testing.assert_array_equal(last.pictures[0], undisturbed)


@any_unet
def test_too_little_memory_is_said_and_the_next_job_runs(pipe: object) -> None:
    def full(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    hook = pipe.unet.register_forward_hook(full)
    with pytest.raises(OutOfMemory, match="smaller size"):
        paint(pipe, patch(), Recipe(**BASE))
    hook.remove()
    assert paint(pipe, patch(), Recipe(**BASE))


@any_unet
def test_nan_is_an_error_and_never_a_black_picture(pipe: object) -> None:
    with torch.no_grad():
        pipe.unet.conv_out.bias.fill_(float("nan"))
    with pytest.raises(PaintingFailed, match="seed"):
        paint(pipe, patch(), Recipe(**BASE))


@any_unet
def test_the_rough_preview_recovers_colours_from_latents(
    pipe: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("inference.painting.autoencoder.SMALL", 0)
    painter = Painter(pipe, CPU)
    events = painter.paint(patch(), Recipe(**BASE))
    step = next(event for event in events if isinstance(event, DenoisingStep))
    assert step.preview().shape == (8, 9, 3)
