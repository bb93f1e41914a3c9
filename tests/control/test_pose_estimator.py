"""Tests of the pose estimator against the stock processor and model, at tiny size."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import VitPoseForPoseEstimation

from inference.control.pose_estimator import PoseEstimator
from inference.picture.geometry import Box
from inference.picture.photo import Pixels
from tests.support import tiny_detectors

CPU = torch.device("cpu")
BOXES = [
    Box.whole((160, 120)),
    Box(left=30, top=10, right=90, bottom=110),
    Box(left=0, top=60, right=150, bottom=80),
    Box(left=100, top=100, right=101, bottom=101),
]


def picture(seed: int = 0) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, (120, 160, 3), dtype=np.uint8)


def estimator() -> PoseEstimator:
    return PoseEstimator(tiny_detectors.vitpose(), tiny_detectors.vitpose_processor(), CPU)


@pytest.mark.parametrize("box", BOXES, ids=str)
def test_key_points_are_those_of_the_stock_calls(box: Box) -> None:
    model, processor = tiny_detectors.vitpose(), tiny_detectors.vitpose_processor()
    wide, high = box.right - box.left, box.bottom - box.top
    coco = [[[box.left, box.top, wide, high]]]
    inputs = processor(Image.fromarray(picture()), boxes=coco, return_tensors="pt")
    with torch.inference_mode():
        expected = processor.post_process_pose_estimation(model(**inputs), boxes=coco)[0][0]
    points = estimator().find(picture(), box)
    assert points.shape == (17, 3)
    assert points.dtype == np.float32
    np.testing.assert_allclose(points[:, :2], expected["keypoints"], rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(points[:, 2], expected["scores"], atol=1e-5)


def peak_at(model: VitPoseForPoseEstimation, row: int, column: int) -> None:
    """Make the model output every joint at one cell of its heatmap, for any picture."""

    def replace(_module: object, _inputs: object, heatmaps: torch.Tensor) -> torch.Tensor:
        rows = torch.arange(heatmaps.shape[2])[:, None] - row
        columns = torch.arange(heatmaps.shape[3])[None] - column
        bump = torch.exp(-(rows**2 + columns**2) / 8.0)
        return bump.expand_as(heatmaps)

    model.head.register_forward_hook(replace)


@pytest.mark.parametrize(("column", "row"), [(0, 0), (11, 0), (0, 15), (11, 15), (4, 9)])
@pytest.mark.parametrize("box", [BOXES[1], Box(left=-20, top=5, right=40, bottom=85)], ids=str)
def test_a_cell_of_the_heatmap_is_a_place_in_the_picture(box: Box, column: int, row: int) -> None:
    model = tiny_detectors.vitpose()
    peak_at(model, row, column)
    points = PoseEstimator(model, tiny_detectors.vitpose_processor(), CPU).find(picture(), box)
    # The model sees the box, made as tall as its input is and a quarter larger all round.
    width, height = box.size
    height = max(height, width * 64 / 48) * 1.25
    width = height * 48 / 64
    x = (box.left + box.right) / 2 + (column / 11 - 0.5) * width
    y = (box.top + box.bottom) / 2 + (row / 15 - 0.5) * height
    cell = height / 15
    np.testing.assert_allclose(points[:, 0], x, atol=cell)
    np.testing.assert_allclose(points[:, 1], y, atol=cell)
    np.testing.assert_allclose(points[:, 2], 1, atol=0.01)


def test_moving_the_person_moves_the_key_points() -> None:
    model = tiny_detectors.vitpose()
    peak_at(model, 8, 6)
    finder = PoseEstimator(model, tiny_detectors.vitpose_processor(), CPU)
    here = finder.find(picture(), Box(left=10, top=10, right=50, bottom=60))
    there = finder.find(picture(), Box(left=40, top=30, right=80, bottom=80))
    np.testing.assert_allclose(there[:, :2] - here[:, :2], [[30, 20]] * 17, atol=1e-3)


def test_a_saved_model_is_loaded_and_finds_the_same(tmp_path: Path) -> None:
    tiny_detectors.vitpose().save_pretrained(tmp_path)
    tiny_detectors.vitpose_processor().save_pretrained(tmp_path)
    loaded = PoseEstimator.load(tmp_path, CPU)
    expected = estimator().find(picture(), BOXES[1])
    np.testing.assert_allclose(loaded.find(picture(), BOXES[1]), expected, rtol=1e-4, atol=1e-3)
