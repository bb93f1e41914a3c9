"""Tests of the models that a style uses: what is called needed is what a default job downloads."""

from __future__ import annotations

import pytest

from inference import Recipe
from inference.catalog.catalog import Catalog, parts_of
from inference.catalog.sources import HubSource
from inference.runtime.device import Device
from inference.studio.loaded_models import LoadedModels
from inference.studio.model_loading import ModelLoader
from tests.support.hub_server import HubServer

CATALOG = Catalog.load()


@pytest.mark.parametrize("key", ["photo", "flat"])
def test_the_needed_models_are_those_that_a_default_job_downloads(
    whole_hub: HubServer, key: str
) -> None:
    style = CATALOG.style(key)
    for _ in ModelLoader(LoadedModels(CATALOG, Device.cpu()), style, Recipe()).download():
        pass
    fetched = {"/".join(path.split("/")[1:3]) for path in whole_hub.downloads()}
    parts = parts_of(CATALOG, style)
    needed = {part.source.repo for part in parts if part.is_needed}
    assert fetched == needed
    assert [part.is_needed for part in parts] == sorted((p.is_needed for p in parts), reverse=True)


def test_every_source_of_a_family_is_a_part_of_its_styles() -> None:
    listed = {part.source for part in parts_of(CATALOG, CATALOG.style("photo")) if is_hub(part)}
    family = CATALOG.family("sd15")
    named = {family.segmenter, family.pose, family.configs, family.enlarger, family.depth}
    named |= {family.rooms, family.checker, family.restorer, family.point_segmenter}
    named |= {lora.source for lora in family.loras.values()}
    named |= {control.source for control in family.controls.values()}
    assert named <= listed


def is_hub(part: object) -> bool:
    return isinstance(getattr(part, "source", None), HubSource)


def test_a_lora_of_the_style_is_needed() -> None:
    needed = {part.title for part in parts_of(CATALOG, CATALOG.style("ink")) if part.is_needed}
    assert "LoRA Ink" in needed
    assert "LoRA Soft" not in needed
