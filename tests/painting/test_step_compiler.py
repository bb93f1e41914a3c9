"""Tests of compiled steps: output, causes of recompilation, and painting while they compile."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch._dynamo.utils import counters

from inference.painting.checkpoints import run_first_step
from inference.painting.denoiser import Denoiser
from inference.painting.inpainting import ControlInput, InpaintInput, InpaintOutput
from inference.painting.painter import Painter
from inference.painting.step_compiler import StepCompiler
from inference.picture.photo import Pixels
from inference.recipe.recipe import Recipe
from tests.support import tiny_models
from tests.support.hub_repositories import LORA_FILE, save_lora

CPU = torch.device("cpu")
BASE: dict[str, Any] = {"prompt": "a garden", "steps": 3, "seed": 7, "cfg_scale": 3.0}


def picture(seed: int, width: int = 72, height: int = 64) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def patch(*controls: str, width: int = 72, height: int = 64, **guided: float) -> InpaintInput:
    repaint = np.zeros((height, width), dtype=bool)
    repaint[8:50, 20:60] = True
    guides = tuple(
        ControlInput(control=name, map=picture(len(name), width, height), **guided)
        for name in controls
    )
    return InpaintInput(picture=picture(0, width, height), repaint=repaint, guides=guides)


def painter(folder: Path, run: Any, channels: int = 4) -> Painter:
    made = Painter(tiny_models.pipeline(folder, channels), CPU, run)
    for name in ("pose", "canny"):
        made.add_control(name, tiny_models.controlnet(len(name)))
    return made


def painted(one: Painter, job: InpaintInput, **settings: Any) -> Pixels:
    *_, last = one.paint(job, Recipe(**BASE | settings))
    assert isinstance(last, InpaintOutput)
    return last.pictures[0]


def settle(compiler: StepCompiler) -> int:
    """Wait until nothing is being compiled; returns the number of ready steps."""
    until = time.monotonic() + 120
    while compiler.busy:
        assert time.monotonic() < until
        time.sleep(0.02)
    return compiler.ready


def graphs() -> int:
    """Number of graphs compiled so far."""
    return int(counters["stats"]["unique_graphs"])


class Counting:
    """A backend that runs torch's own operators, and counts the runs."""

    def __init__(self) -> None:
        self.runs = 0

    def __call__(self, graph: Any, _inputs: Any) -> Any:
        def run(*inputs: Any) -> Any:
            self.runs += 1
            return graph.forward(*inputs)

        return run


@pytest.fixture(scope="module")
def backend() -> Counting:
    return Counting()


@pytest.fixture(scope="module")
def compiler(backend: Counting) -> Iterator[StepCompiler]:
    torch._dynamo.reset()
    counters.clear()
    yield StepCompiler(backend)
    torch._dynamo.reset()


@pytest.fixture(scope="module")
def warm(compiler: StepCompiler, tmp_path_factory: pytest.TempPathFactory) -> Painter:
    """A painter that has painted with one control, at two sizes and with 1 and 2 pictures."""
    one = painter(tmp_path_factory.mktemp("warm"), compiler)
    for width, images in ((72, 1), (88, 2)):
        painted(one, patch("pose", width=width), num_images=images)
        settle(compiler)
    return one


# Changes between two paintings.
CHANGES: list[dict[str, Any]] = [
    {"denoising_strength": 0.5},
    {"cfg_scale": 7.5},
    {"seed": 8},
    {"prompt": "a city at night"},
    {"steps": 5},
    *[{"scheduler": name} for name in ("euler", "dpm++sde_karras", "lcm")],
]


@pytest.mark.parametrize("changes", CHANGES, ids=str)
def test_a_changed_setting_compiles_nothing(
    compiler: StepCompiler, warm: Painter, tmp_path: Path, changes: dict[str, Any]
) -> None:
    before, ready = graphs(), compiler.ready
    ours = painted(warm, patch("pose"), **changes)
    assert settle(compiler) == ready
    assert graphs() == before
    plain = painted(painter(tmp_path, Denoiser.__call__), patch("pose"), **changes)
    assert np.abs(ours.astype(int) - plain).max() <= 1


@pytest.mark.parametrize("scale", [0.2, 0.9])
def test_a_control_scale_and_another_control_compile_nothing(
    compiler: StepCompiler, warm: Painter, scale: float
) -> None:
    before = graphs()
    pictures = [painted(warm, patch(name, scale=scale)) for name in ("pose", "canny")]
    settle(compiler)
    assert graphs() == before
    assert (pictures[0] != pictures[1]).any()


def test_another_checkpoint_compiles_nothing(
    compiler: StepCompiler, warm: Painter, tmp_path: Path
) -> None:
    other, plain = (painter(tmp_path, run) for run in (compiler, Denoiser.__call__))
    for one in (other, plain):
        torch.manual_seed(3)
        for weight in one._pipe.unet.parameters():
            weight.data += 0.02 * torch.randn_like(weight)
    before = graphs()
    ours = painted(other, patch("pose"))
    settle(compiler)
    assert graphs() == before
    assert np.abs(ours.astype(int) - painted(plain, patch("pose"))).max() <= 1
    assert (ours != painted(warm, patch("pose"))).any()


def test_the_third_size_and_number_of_pictures_compile_nothing(
    compiler: StepCompiler, warm: Painter
) -> None:
    before = graphs()
    for width, images in ((104, 1), (120, 2), (104, 3)):
        painted(warm, patch("pose", width=width), num_images=images)
        settle(compiler)
    assert graphs() - before <= 1  # an odd number of latents is another kind than an even one


@pytest.mark.parametrize(
    ("channels", "controls", "settings"),
    [
        (9, (), {"num_images": 2}),
        (4, ("pose", "canny"), {}),
        (4, ("pose",), {"guidance_stop": 0.5, "steps": 4}),
        (4, ("pose",), {"control_mode": "unbalanced", "num_images": 2}),
    ],
    ids=str,
)
def test_compiled_paints_what_plain_paints(
    compiler: StepCompiler, backend: Counting, tmp_path: Path,
    channels: int, controls: tuple[str, ...], settings: Any,
) -> None:  # fmt: skip
    one, plain = (painter(tmp_path, run, channels) for run in (compiler, Denoiser.__call__))
    expected = painted(plain, patch(*controls), **settings)
    assert np.abs(painted(one, patch(*controls), **settings).astype(int) - expected).max() <= 1
    settle(compiler)
    before = backend.runs
    again = painted(one, patch(*controls), **settings)
    assert np.abs(again.astype(int) - expected).max() <= 1
    assert backend.runs - before == settings.get("steps", BASE["steps"]), "each step is compiled"


def test_a_lora_that_is_worn_counts_and_one_that_is_not_does_not(
    compiler: StepCompiler, tmp_path: Path
) -> None:
    save_lora(tmp_path / "lora", seed=1)
    both = [painter(tmp_path, run) for run in (compiler, Denoiser.__call__)]
    for weights in ({"ink": 0.5}, {}):
        for one in both:
            if weights and "ink" not in one.loras:
                one.loras.add("ink", tmp_path / "lora" / LORA_FILE)
            one.loras.use(weights)
        painted(both[0], patch())
        settle(compiler)
        ours, plain = (painted(one, patch()) for one in both)
        assert np.abs(ours.astype(int) - plain).max() <= 1, weights


def test_the_first_picture_does_not_wait(tmp_path: Path) -> None:
    """While its step is being compiled, it is painted by the plain one."""
    torch._dynamo.reset()
    slow: list[float] = []

    def backend(graph: Any, _inputs: Any) -> Any:
        while not slow:
            time.sleep(0.01)
        return graph.forward

    compiler = StepCompiler(backend)
    one, plain = (painter(tmp_path, run) for run in (compiler, Denoiser.__call__))
    ours = painted(one, patch("pose"))
    assert compiler.busy
    assert compiler.ready == 0
    slow.append(1)
    np.testing.assert_array_equal(ours, painted(plain, patch("pose")))
    assert settle(compiler) == 1


def test_a_rehearsal_has_the_first_kind_of_step_compiled(tmp_path: Path) -> None:
    torch._dynamo.reset()
    compiler = StepCompiler("eager")
    one = painter(tmp_path, compiler)
    run_first_step(one, Recipe(steps=3), 64)
    assert settle(compiler) == 1
    before = graphs()
    painted(one, patch("pose", width=64))
    assert settle(compiler) == 1
    assert graphs() == before


@pytest.mark.parametrize("fault", ["it fails", "it is wrong"])
def test_what_cannot_be_compiled_rightly_runs_as_it_is(tmp_path: Path, fault: str) -> None:
    torch._dynamo.reset()

    def backend(graph: Any, _inputs: Any) -> Any:
        if fault == "it fails":
            raise RuntimeError("no kernel")
        return lambda *inputs: [2 * one for one in graph.forward(*inputs)]

    compiler = StepCompiler(backend)
    one, plain = (painter(tmp_path, run) for run in (compiler, Denoiser.__call__))
    expected = painted(plain, patch("pose"))
    for _ in range(2):
        np.testing.assert_array_equal(painted(one, patch("pose")), expected)
        assert settle(compiler) == 0
