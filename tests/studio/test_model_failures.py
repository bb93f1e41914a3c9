"""Tests of faults inside the models: an error or a picture, and later jobs are unaffected."""

from __future__ import annotations

import errno
import gc
import re
import resource
import shutil
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from inference import Photo, Progress, Recipe, Result, Studio
from inference.catalog.catalog import Catalog
from inference.errors import MasqueradeError, ModelFailed, OutOfMemory, PaintingFailed
from inference.page.html import result_html
from inference.painting.painter import Painter
from inference.studio.loaded_models import LoadedModels
from inference.studio.retry import SMALLER

# Random weights find every word; the stroke leaves something to keep.
RECIPE = Recipe(
    prompt="a garden", steps=3, seed=5, mask_negative="", mask_threshold=0.05,
    mask_strokes="-2000:5000,5000",
)  # fmt: skip
TOO_LITTLE = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
FULL_DISK = OSError(errno.ENOSPC, "No space left on device")
NAN = "NaN"
FAULTS: dict[str, tuple[BaseException | str, type[MasqueradeError], str]] = {
    "out of memory": (TOO_LITTLE, OutOfMemory, "smaller size or fewer images"),
    "RuntimeError": (RuntimeError("shapes cannot be multiplied"), ModelFailed, "press Generate"),
    "NaN": (NAN, PaintingFailed, "lower the guidance or try another seed"),
    "SystemExit": (SystemExit(1), ModelFailed, "press Generate"),
    "disk full": (FULL_DISK, ModelFailed, "disk is full: free some space"),
}
# Places of faults and numbers of calls: the first and the last step, for models with steps.
PLACES = [
    ("text encoder", 1), ("UNet", 1), ("UNet", 3), ("ControlNet", 1), ("ControlNet", 3),
    ("VAE encoder", 1), ("VAE decoder", 1), ("VAE decoder", 2), ("CLIPSeg tower", 1),
    ("CLIPSeg decoder", 1), ("pose", 1),
]  # fmt: skip
# Faults with other causes than the model: tested in one place of each kind.
RARE, RARELY = ("SystemExit", "disk full"), (("UNet", 3), ("CLIPSeg tower", 1), ("pose", 1))


def photo() -> Photo:
    random = np.random.default_rng(0)
    return Photo.of(random.integers(0, 256, (120, 96, 3), dtype=np.uint8))


def result_of(events: Iterable[Progress | Result]) -> Result:
    *_, last = events
    assert isinstance(last, Result)
    return last


def pictures_of(studio: Studio, recipe: Recipe = RECIPE) -> bytes:
    return b"".join(one.tobytes() for one in result_of(studio.paint(photo(), recipe)).images)


class Engine:
    """Makes studios that share loaded models, each with empty caches."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        first = Studio(catalog=catalog, style="drawn")
        self.undisturbed = pictures_of(first)
        self._models: LoadedModels = first.models()

    @property
    def painter(self) -> Painter:
        loaded = self._models.checkpoints.loaded
        assert loaded is not None
        return loaded

    def studio(self) -> Studio:
        studio = Studio(catalog=self._catalog, style="drawn")
        studio._models = self._models
        self.painter.clear_cache()
        return studio

    def module(self, place: str) -> torch.nn.Module:
        """The layer of a model whose output is a plain tensor."""
        pipe = self.painter._pipe
        segmenter = self._models._segmenters["pack"]._model
        modules: dict[str, Any] = {
            "text encoder": pipe.text_encoder.final_layer_norm,
            "UNet": pipe.unet.conv_out,
            "ControlNet": self.painter._conditioner.controlnets["pose"].controlnet_mid_block,
            "VAE encoder": pipe.vae.encoder.conv_out,
            "VAE decoder": pipe.vae.decoder.conv_out,
            "CLIPSeg tower": segmenter.clip.vision_model.pre_layrnorm,
            "CLIPSeg decoder": segmenter.decoder.layers[-1],
            "pose": self._models._poses["pack"]._model.head,
        }
        module: torch.nn.Module = modules[place]
        return module

    @contextmanager
    def faulty(
        self, place: str, call: int, fault: BaseException | str, *, once: bool = True
    ) -> Iterator[list[int]]:
        """Raise `fault`, or output NaN, at one call of a model or from it on; counts the calls."""
        calls = [0]

        def hook(_module: torch.nn.Module, _inputs: object, output: torch.Tensor) -> object:
            calls[0] += 1
            if calls[0] < call or (once and calls[0] > call):
                return None
            if isinstance(fault, BaseException):
                raise type(fault)(*fault.args)  # a new one, because it keeps its frames
            return torch.full_like(output, torch.nan)

        handle = self.module(place).register_forward_hook(hook)
        try:
            yield calls
        finally:
            handle.remove()


@pytest.fixture(scope="module")
def engine(tiny_catalog: Path) -> Engine:
    return Engine(Catalog.load(tiny_catalog))


def watch(studio: Studio) -> None:
    """Paint, and fail if there is a result or a black preview."""
    for event in studio.paint(photo(), RECIPE):
        assert isinstance(event, Progress), "no picture comes of it"
        assert event.preview is None or event.preview.any(), "no black preview"


@pytest.mark.parametrize(
    ("place", "call", "fault"),
    [(*at, fault) for at in PLACES for fault in FAULTS if fault not in RARE or at in RARELY],
)
def test_a_fault_is_one_sentence_and_the_next_job_is_undisturbed(
    engine: Engine, place: str, call: int, fault: str
) -> None:
    what, error, words = FAULTS[fault]
    studio = engine.studio()
    with (
        engine.faulty(place, call, what, once=False) as calls,
        pytest.raises(MasqueradeError, match=words) as caught,
    ):
        watch(studio)
    assert type(caught.value) is error
    assert calls[0] >= call, "the fault never happened"
    assert re.fullmatch(r"[^\n]+\.", str(caught.value))
    assert not studio._job_lock.locked()
    assert pictures_of(studio) == engine.undisturbed


@pytest.mark.parametrize("place", ["UNet", "VAE decoder", "VAE encoder", "CLIPSeg tower", "pose"])
def test_out_of_memory_once_is_painted_in_smaller_pieces_and_told(
    engine: Engine, place: str
) -> None:
    studio = engine.studio()
    two = RECIPE.model_copy(update={"num_images": 2})
    with engine.faulty(place, 1, TOO_LITTLE):
        events = list(studio.paint(photo(), two))
    result = events[-1]
    assert isinstance(result, Result)
    assert len(result.images) == 2
    assert result.kept_pixels_changed == 0
    told = [SMALLER in one.detail for one in events if isinstance(one, Progress)]
    assert any(told)
    assert told == sorted(told), "told from the second try on"
    steps = [e.step for e in events if isinstance(e, Progress) and e.steps == 6 and e.detail]
    assert list(dict.fromkeys(steps)) == [0, 1, 2, 3, 4, 5, 6]
    assert result.thrifty
    assert "Memory was short" in result_html(result)
    assert pictures_of(studio) == engine.undisturbed, "the next job is not painted in pieces"


def test_smaller_pieces_are_smaller(engine: Engine) -> None:
    """One picture at a time, less than all of it at once, and the autoencoder in tiles."""
    pipe, seen = engine.painter._pipe, [0]
    two = RECIPE.model_copy(update={"num_images": 2})
    watch = pipe.unet.conv_in.register_forward_hook(lambda _m, _i, out: seen.append(out.numel()))
    result_of(engine.studio().paint(photo(), two))
    whole = seen[-1]
    assert not pipe.vae.use_tiling
    with engine.faulty("VAE decoder", 1, TOO_LITTLE):
        result_of(engine.studio().paint(photo(), two))
    watch.remove()
    assert seen[-1] < whole / 2
    assert pipe.vae.use_tiling


def test_memory_of_the_first_try_is_free_before_the_second(engine: Engine) -> None:
    """The error that ended the first try keeps nothing of it alive."""
    alive: list[int] = []
    first: list[Callable[[], object]] = []

    def hook(_module: torch.nn.Module, _inputs: object, output: torch.Tensor) -> None:
        if not first:
            first.append(weakref.ref(output))
            raise torch.OutOfMemoryError("CUDA out of memory")
        alive.append(first[0]() is not None)

    handle = engine.module("UNet").register_forward_hook(hook)
    result_of(engine.studio().paint(photo(), RECIPE))
    handle.remove()
    assert alive
    assert not any(alive)


@pytest.mark.parametrize("place", ["CLIPSeg tower", "CLIPSeg decoder"])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_preview_of_the_mask_tells_a_fault_and_keeps_nothing_of_it(
    engine: Engine, place: str, fault: str
) -> None:
    what, error, words = FAULTS[fault]
    studio = engine.studio()
    with engine.faulty(place, 1, what), pytest.raises(error, match=words):
        studio.select(photo(), RECIPE)
    assert pictures_of(studio) == engine.undisturbed


def test_a_fault_while_the_control_map_is_shown_frees_the_painter(engine: Engine) -> None:
    studio = engine.studio()
    with engine.faulty("pose", 1, SystemExit(1)), pytest.raises(ModelFailed):
        studio.control_maps(photo(), RECIPE)
    assert not studio._job_lock.locked()
    assert pictures_of(studio) == engine.undisturbed


def test_a_full_disk_is_told_when_the_result_is_written_and_leaves_no_half_of_it(
    engine: Engine, tmp_path: Path
) -> None:
    studio = engine.studio()
    result = result_of(studio.paint(photo(), RECIPE))
    (tmp_path / "out.png").write_bytes(b"what was there before")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))  # in the middle of the file
    try:
        with pytest.raises(MasqueradeError, match=r"out\.png cannot be written: free some disk"):
            result.save(tmp_path / "out.png")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert [one.name for one in tmp_path.iterdir()] == ["out.png"]
    assert (tmp_path / "out.png").read_bytes() == b"what was there before"
    assert pictures_of(studio) == engine.undisturbed


def test_truncated_weights_are_a_sentence_and_whole_ones_load_afterwards(
    tiny_catalog: Path, tmp_path: Path
) -> None:
    shutil.copytree(tiny_catalog.parent, tmp_path / "pack")
    weights = next((tmp_path / "pack" / "painter" / "unet").glob("*.safetensors"))
    whole = weights.read_bytes()
    studio = Studio(catalog=Catalog.load(tmp_path / "pack" / tiny_catalog.name), style="drawn")
    weights.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(MasqueradeError) as caught:
        list(studio.paint(photo(), RECIPE))
    assert re.fullmatch(r"[^\n]+\.", str(caught.value))
    weights.write_bytes(whole)
    assert result_of(studio.paint(photo(), RECIPE)).kept_pixels_changed == 0


def test_no_thread_and_no_tensor_stays_behind(engine: Engine) -> None:
    studio = engine.studio()
    for _ in range(3):
        with (
            engine.faulty("UNet", 2, RuntimeError("broken")),
            pytest.raises(ModelFailed),
        ):
            list(studio.paint(photo(), RECIPE))
        gc.collect()
    assert [one.name for one in threading.enumerate() if "in_background" in one.name] == []
