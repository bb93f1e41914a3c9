"""Tests of constructing models in several threads at once: each has all of its weights.

diffusers and transformers patch PyTorch for the whole process while they construct a model.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from inference import Recipe
from inference.catalog.catalog import Catalog
from inference.catalog.hub import fetch
from inference.finishing.safety_checker import SafetyChecker
from inference.painting.checkpoints import Checkpoints, run_first_step
from inference.runtime.device import Device
from tests.support.hub_repositories import save_safety_checker

MEETINGS = 12


def without_weights(*modules: torch.nn.Module) -> list[str]:
    """Names of parameters that were left on the meta device."""
    parameters = [pair for module in modules for pair in module.named_parameters()]
    return [name for name, parameter in parameters if parameter.is_meta]


@contextmanager
def loading_elsewhere(catalog: Catalog) -> Iterator[list[str]]:
    """Context manager with a second thread that loads a checkpoint and a ControlNet repeatedly."""
    stop, broken = threading.Event(), list[str]()

    def load() -> None:
        style = catalog.style("drawn")
        while not stop.is_set():
            checkpoints = Checkpoints(catalog, Device.cpu(), compiled=False)
            painter = checkpoints.painter(style, ("pose",), fetch)
            nets = painter._conditioner.controlnets.values()
            broken.extend(without_weights(painter._pipe.unet, painter._pipe.vae, *nets))

    thread = threading.Thread(target=load)
    thread.start()
    try:
        yield broken
    finally:
        stop.set()
        thread.join()


@pytest.fixture(scope="module")
def checker(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checker")
    save_safety_checker(folder)
    return folder


def test_a_model_that_is_built_while_a_checkpoint_loads_has_its_weights(
    tiny_catalog: Path, checker: Path
) -> None:
    with loading_elsewhere(Catalog.load(tiny_catalog)) as broken:
        for _ in range(MEETINGS):
            model = SafetyChecker.load(checker, torch.device("cpu"))._model
            assert not without_weights(model)
    assert not broken


def test_loras_are_put_on_while_a_checkpoint_loads(tiny_catalog: Path) -> None:
    catalog = Catalog.load(tiny_catalog)
    style, inked = catalog.style("drawn"), catalog.style("words")
    with loading_elsewhere(catalog) as broken:
        for _ in range(MEETINGS // 2):
            checkpoints = Checkpoints(catalog, Device.cpu(), compiled=False)
            checkpoints.painter(style, (), fetch)
            painter = checkpoints.painter(inked, (), fetch)
            assert not without_weights(painter._pipe.unet, painter._pipe.text_encoder)
            run_first_step(painter, Recipe(steps=1, controlnet=None), 64)
    assert not broken
