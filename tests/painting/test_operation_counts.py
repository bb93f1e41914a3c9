"""Tests of the work on the device: cached model runs, operations, host-device waits, memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils._pytree import tree_map

from inference.painting.denoiser import split_hint_embedding
from inference.painting.inpainting import ControlInput, InpaintInput, InpaintOutput
from inference.painting.multi_diffusion import windows_of
from inference.painting.painter import Painter
from inference.picture.photo import Pixels
from inference.recipe.recipe import Recipe
from inference.runtime.memory import GIB, LARGE, MemoryPolicy, ModelOffloader
from tests.painting.test_painter import picture
from tests.support import tiny_models
from tools.speed.counting import Work, counted

CPU, META = torch.device("cpu"), torch.device("meta")
STEPS = 4
BASE: dict[str, Any] = {
    "prompt": "a garden", "negative_prompt": "rain", "steps": STEPS, "seed": 7, "cfg_scale": 3.0,
    "denoising_strength": 1.0,
}  # fmt: skip


def patch(seed: int = 0, map_seed: int = 1, left: int = 20, **guide: Any) -> InpaintInput:
    repaint = np.zeros((64, 72), dtype=bool)
    repaint[8:50, left:64] = True
    pose = ControlInput(control="pose", map=picture(map_seed), **guide)
    return InpaintInput(picture=picture(seed), repaint=repaint, guides=(pose,))


def painter(folder: Path, channels: int, policy: MemoryPolicy | None = None) -> Painter:
    made = Painter(tiny_models.pipeline(folder, channels), CPU, policy=policy)
    made.add_control("pose", tiny_models.controlnet())
    return made


def painted(one: Painter, job: InpaintInput, **changes: Any) -> Pixels:
    *_, last = one.paint(job, Recipe(**BASE | changes))
    assert isinstance(last, InpaintOutput)
    return last.pictures[0]


def modules(one: Painter) -> dict[str, torch.nn.Module]:
    """The models whose runs are counted."""
    return {
        "text encoder": one._pipe.text_encoder,
        "VAE encoder": one._pipe.vae.encoder,
        "control map": one._conditioner._hint_embeddings["pose"],
        "ControlNet": one._conditioner.controlnets["pose"],
        "UNet": one._pipe.unet,
        "VAE decoder": one._pipe.vae.decoder,
    }


@contextmanager
def calls(one: Painter) -> Iterator[Counter[str]]:
    """Context manager that counts the runs of each model."""
    seen: Counter[str] = Counter()

    def count(name: str) -> None:
        seen[name] += 1

    hooks = [
        part.register_forward_hook(lambda *_, name=name: count(name))
        for name, part in modules(one).items()
    ]
    yield seen
    for hook in hooks:
        hook.remove()


# --- what is run again --------------------------------------------------------------------------

LOOP = {"ControlNet": STEPS, "UNet": STEPS, "VAE decoder": 1}
TWO = {"text encoder": 2}
# Number of the UNet's channels; changes after a first painting; models that run again. A 9-channel
# UNet sees the photo, so that a change of the hidden or kept part matters too.
AGAIN: list[tuple[int, dict[str, Any], dict[str, Any], dict[str, int]]] = [
    (channels, job, changes, LOOP | more)
    for channels, job, changes, more in [
        (4, {}, {}, {}),
        (4, {}, {"seed": 8}, {}),
        (4, {}, {"cfg_scale": 7.0}, {}),
        (4, {}, {"cfg_scale": 1.0}, {}),
        (4, {}, {"scheduler": "euler"}, {}),
        (4, {}, {"steps": 6}, {"ControlNet": 6, "UNet": 6}),
        (4, {}, {"num_images": 2}, {"VAE decoder": 2}),
        (4, {}, {"prompt": "a city"}, {"text encoder": 1}),
        (4, {}, {"prompt": "a city", "negative_prompt": "fog"}, TWO),
        (4, {}, {"prompt": "rain", "negative_prompt": "a garden"}, {}),
        (4, {"scale": 0.5}, {}, {}),
        (4, {"scale": 0.0}, {}, {"ControlNet": 0}),
        (4, {"end": 0.5}, {}, {"ControlNet": 2}),
        (4, {"start": 0.3}, {}, {"ControlNet": 2}),
        (4, {"map_seed": 2}, {}, {"control map": 1}),
        (4, {"seed": 3}, {}, {"VAE encoder": 1}),
        (4, {"left": 30}, {}, {}),
        (4, {}, {"denoising_strength": 0.5}, {"ControlNet": 2, "UNet": 2}),
        (4, {}, {"guidance_stop": 0.5}, {}),
        (9, {}, {"seed": 8}, {}),
        (9, {"seed": 3}, {}, {"VAE encoder": 1}),
        (9, {"left": 30}, {}, {"VAE encoder": 1}),
        (9, {}, {"denoising_strength": 0.5}, {"ControlNet": 2, "UNet": 2, "VAE encoder": 1}),
    ]
]  # fmt: skip


@pytest.mark.parametrize(("channels", "job", "changes", "again"), AGAIN, ids=str)
def test_a_second_painting_runs_only_what_depends_on_what_changed(
    tmp_path: Path, channels: int, job: dict[str, Any], changes: dict[str, Any],
    again: dict[str, int],
) -> None:  # fmt: skip
    one = painter(tmp_path, channels)
    with calls(one) as seen:
        painted(one, patch())
    assert seen == LOOP | TWO | {"VAE encoder": 1, "control map": 1}
    with calls(one) as seen:
        ours = painted(one, patch(**job), **changes)
    assert seen == Counter({name: number for name, number in again.items() if number})
    fresh = painter(tmp_path, channels)
    np.testing.assert_array_equal(ours, painted(fresh, patch(**job), **changes))


@pytest.mark.parametrize(
    ("channels", "everything", "strength", "runs"),
    [
        (4, False, 1.0, 1),
        (4, True, 1.0, 0),
        (4, True, 0.5, 1),
        (9, True, 1.0, 1),
        (9, True, 0.5, 2),
    ],
)
def test_no_photo_is_encoded_that_no_step_reads(
    tmp_path: Path, channels: int, everything: bool, strength: float, runs: int
) -> None:
    one, job = painter(tmp_path, channels), patch()
    job = replace(job, repaint=job.repaint | everything)
    with calls(one) as seen:
        painted(one, job, denoising_strength=strength)
    assert seen["VAE encoder"] == runs


@pytest.mark.parametrize("stop", [1.0, 0.75, 0.5, 0.0])
def test_without_guidance_a_step_is_half_the_work(tmp_path: Path, stop: float) -> None:
    one, rows = painter(tmp_path, 4), []
    one._pipe.unet.conv_in.register_forward_hook(lambda _m, _i, out: rows.append(len(out)))
    painted(one, patch(), guidance_stop=stop)
    guided = int(STEPS * stop)
    assert rows == [2] * guided + [1] * (STEPS - guided)


@pytest.mark.parametrize(("mode", "each"), [("balanced", 2), ("unbalanced", 1), (None, 2)])
def test_in_unbalanced_mode_a_controlnet_sees_one_half_of_guidance(
    tmp_path: Path, mode: str | None, each: int
) -> None:
    one, rows = painter(tmp_path, 4), []
    part = one._conditioner.controlnets["pose"].conv_in
    part.register_forward_hook(lambda _m, _i, out: rows.append(len(out)))
    painted(one, patch(), control_mode=mode)
    assert rows == [each] * STEPS


def test_guidance_that_stops_at_once_is_no_guidance(tmp_path: Path) -> None:
    one = painter(tmp_path, 4)
    stopped, without = painted(one, patch(), guidance_stop=0.0), painted(one, patch(), cfg_scale=1)
    assert np.abs(stopped.astype(int) - without).max() <= 1


def test_what_is_kept_is_bounded_and_can_be_let_go_of(tmp_path: Path) -> None:
    one = painter(tmp_path, 9)
    with torch.no_grad():
        sizes = []
        for seed in range(40):
            job = patch(seed=seed, map_seed=seed)
            painted(one, job, prompt=f"garden {seed}", steps=1)
            kept = (
                one._autoencoder._moments,
                one._conditioner._hints,
                one._conditioner.prompt_encoder._kept,
            )
            sizes.append([len(cache._values) for cache in kept])
    assert sizes[-1] == sizes[-2] == [8, 16, 16]
    one.clear_cache()
    with calls(one) as seen:
        painted(one, patch(seed=39, map_seed=39), prompt="garden 39", steps=1)
    assert seen["VAE encoder"] == seen["control map"] == 1
    assert seen["text encoder"] == 2


# --- bit for bit --------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ["rgb", "bgr"])
@pytest.mark.parametrize(
    ("count", "off"),
    # A convolution of several rows may add up in another order than one of a single row.
    [(1, 0.0), (4, 1e-6)],
)
def test_a_map_looked_at_once_guides_as_one_looked_at_in_every_step(
    order: str, count: int, off: float
) -> None:
    stock, ours = tiny_models.controlnet(), tiny_models.controlnet()
    for net in (stock, ours):
        net.register_to_config(controlnet_conditioning_channel_order=order)
    looking = split_hint_embedding(ours)
    torch.manual_seed(0)
    condition, words = torch.rand(1, 3, 64, 72), torch.randn(count, 77, tiny_models.WIDTH)
    rows, time = torch.randn(count, 4, 8, 9), torch.tensor(500.0)
    with torch.inference_mode():
        every = condition.expand(count, -1, -1, -1)
        theirs = stock(rows, time, words, every, 0.7, return_dict=False)
        mine = ours(rows, time, words, looking(condition), torch.tensor(0.7), return_dict=False)
    for one, other in zip([*theirs[0], theirs[1]], [*mine[0], mine[1]], strict=True):
        assert (one - other).abs().max() <= off


# --- nothing to wait for ------------------------------------------------------------------------


def step_on_meta(one: Painter, job: InpaintInput, recipe: Recipe) -> Work:
    """Work of the second step on the device `meta`; the host's tensors stay on the CPU."""

    def move(value: Any) -> Any:
        return value.to(META) if torch.is_tensor(value) else value

    with torch.inference_mode():
        run = one._prepare(job, recipe)
        run.windows = windows_of(move(run.latents), job.window, one._autoencoder.factor)
        guiding = {
            f.name: tree_map(move, getattr(run.conditioning, f.name))
            for f in fields(run.conditioning)
        }
        run.conditioning = type(run.conditioning)(**guiding)
        for name in ("model_timesteps", "latents"):
            setattr(run, name, move(getattr(run, name)))
        if run.known is not None:
            parts = {f.name: move(getattr(run.known, f.name)) for f in fields(run.known)}
            run.known = replace(run.known, **parts)
        for model in (one._pipe.unet, *one._conditioner.controlnets.values()):
            model.to(META)
        one._step(run, 0)
        with counted(META) as work:
            one._step(run, 1)
    return work


@pytest.mark.parametrize(
    ("channels", "scheduler", "waits"),
    # Whose steps draw noise wait once, for random numbers come from the host.
    [(4, "euler", 0), (4, "dpm++2m", 0), (4, "dpm++2m_karras", 0), (4, "euler_a", 1),
     (4, "dpm++sde", 1), (4, "dpm++sde_karras", 1), (4, "lcm", 1), (4, "tcd", 1),
     (9, "dpm++2m_karras", 0), (9, "euler_a", 1)],
)  # fmt: skip
def test_within_a_step_neither_host_nor_device_waits(
    tmp_path: Path, channels: int, scheduler: str, waits: int
) -> None:
    recipe = Recipe(**BASE | {"scheduler": scheduler, "denoising_strength": 0.75})
    work = step_on_meta(painter(tmp_path, channels), patch(), recipe)
    assert work.launches > 100, "a step ran"
    assert work.waits <= waits


def test_windows_are_blended_without_waiting(tmp_path: Path) -> None:
    job = replace(patch(), window=48)
    work = step_on_meta(painter(tmp_path, 4), job, Recipe(**BASE))
    assert work.waits == 0


# --- memory -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("free", "offload", "square"),
    # GiB free before a checkpoint is loaded; the side of the largest square decoded in one piece.
    [(80, False, 1280), (24, False, 1280), (8, False, 1182), (6, False, 836), (4.25, False, 296),
     (4, True, 1137), (3.4, True, 1041), (5.4, False, 700), (7.4, False, 1090), (15.4, False, 1280),
     (23.4, False, 1280), (3.3, True, 1024), (3, True, 971), (2, True, 770), (0.2, True, 0)],
)  # fmt: skip
def test_the_policy_follows_what_is_free(free: float, offload: bool, square: int) -> None:
    policy = MemoryPolicy.of(int(free * GIB))
    assert policy.offload == offload
    assert policy.tile_beyond <= LARGE
    assert policy.tile_beyond**0.5 == pytest.approx(square, abs=1)


class Travelling(torch.nn.Linear):
    """A model that records the device to which it was moved, because tests have no GPU."""

    def __init__(self) -> None:
        super().__init__(1, 1)
        self.place = ""

    def to(self, *places: Any, **_: Any) -> Travelling:
        self.place = torch.device(places[0]).type
        return self


@pytest.mark.parametrize(
    ("offload", "turns", "where"),
    # Whose turn it is, one after the other; which of three models are on the card then.
    [(True, ["a"], "a"), (True, ["a", "b"], "b"), (True, ["a", "bc"], "bc"),
     (True, ["ab", "bc"], "bc"), (True, ["ab", "c", "a"], "a"), (True, [], ""),
     (False, [], "abc"), (False, ["a"], "abc")],
)  # fmt: skip
def test_only_whose_turn_it_is_is_on_the_card(offload: bool, turns: list[str], where: str) -> None:
    models = {name: Travelling() for name in "abc"}
    card = ModelOffloader(torch.device("cuda"), offload=offload)
    for model in models.values():
        card.place(model)
    for names in turns:
        card.activate(*(models[name] for name in names))
    assert [name for name, one in models.items() if one.place == "cuda"] == list(where)


@pytest.mark.parametrize("channels", [4, 9])
def test_models_that_take_turns_paint_the_same_and_are_there_only_for_theirs(
    tmp_path: Path, channels: int
) -> None:
    turns = painter(tmp_path, channels, MemoryPolicy(offload=True))
    present: dict[str, set[str]] = {}
    names = {id(part): name for name, part in modules(turns).items()}
    names[id(turns._pipe.vae)] = "VAE"
    there = turns._autoencoder._offloader

    def look(name: str) -> None:
        present[name] = {names[id(model)] for model in there.active}

    for name, part in modules(turns).items():
        part.register_forward_pre_hook(lambda *_, name=name: look(name))
    expected = painted(painter(tmp_path, channels), patch())
    np.testing.assert_array_equal(painted(turns, patch()), expected)
    del present["control map"]
    assert present == {
        "text encoder": {"text encoder"}, "VAE encoder": {"VAE"}, "VAE decoder": {"VAE"},
        "ControlNet": {"ControlNet", "UNet"}, "UNet": {"ControlNet", "UNet"},
    }  # fmt: skip
