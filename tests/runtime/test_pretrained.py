"""Tests of loading helper models: every precision and form, and missing weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import CLIPSegForImageSegmentation, VitPoseForPoseEstimation

from inference.control.pose_estimator import PoseEstimator
from inference.errors import InvalidCatalog
from inference.mask.segmenter import Segmenter
from inference.runtime.pretrained import load_model
from tests.support.hub_repositories import save_pose_finder, save_segmenter

CPU = torch.device("cpu")
HELPERS = [
    (save_pose_finder, PoseEstimator, VitPoseForPoseEstimation),
    (save_segmenter, Segmenter, CLIPSegForImageSegmentation),
]

every_helper = pytest.mark.parametrize(("save", "helper", "kind"), HELPERS)


@every_helper
def test_weights_in_half_precision_alone_are_enough(
    tmp_path: Path, save: Callable[[Path], None], helper: Any, kind: Any
) -> None:
    save(tmp_path)
    expected = load_model(kind, tmp_path).state_dict()
    file = tmp_path / "model.safetensors"
    half = {name: value.half() for name, value in load_file(file).items()}
    save_file(half, tmp_path / "model.fp16.safetensors", metadata={"format": "pt"})
    file.unlink()
    for name, value in load_model(kind, tmp_path).state_dict().items():
        assert value.dtype == expected[name].dtype
        assert torch.allclose(value, expected[name], rtol=1e-3, atol=1e-3)
    assert helper.load(tmp_path, CPU)


@every_helper
def test_missing_weights_are_a_sentence_and_not_random_numbers(
    tmp_path: Path, save: Callable[[Path], None], helper: Any, kind: Any
) -> None:
    save(tmp_path)
    file = tmp_path / "model.safetensors"
    held = load_file(file)
    held.pop(next(name for name in held if name.endswith("layers.0.fc1.weight") or "fc1" in name))
    save_file(held, file, metadata={"format": "pt"})
    with pytest.raises(InvalidCatalog, match=f"The weights of {kind.__name__} do not fit"):
        helper.load(tmp_path, CPU)
