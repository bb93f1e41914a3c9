"""Tests of depth estimation and semantic segmentation against the stock models, at tiny size."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from transformers import (
    DepthAnythingForDepthEstimation,
    DPTConfig,
    DPTForDepthEstimation,
    DPTImageProcessorPil,
    SegformerConfig,
    SegformerForSemanticSegmentation,
    SegformerImageProcessorPil,
    UperNetForSemanticSegmentation,
)

from inference.catalog.catalog import Catalog
from inference.catalog.hub import fetch
from inference.control.depth_estimator import DepthEstimator
from inference.control.semantic_segmenter import SemanticSegmenter
from inference.errors import MissingModel
from inference.picture.photo import Pixels
from inference.runtime.device import Device
from inference.studio.loaded_models import LoadedModels
from tests.support.hub_repositories import save_depth_estimator, save_room_segmenter
from tests.support.tiny_models import without

CPU = torch.device("cpu")
SIZES = [(72, 56), (50, 90), (64, 64)]  # (width, height)


def picture(width: int, height: int) -> Pixels:
    """A picture of smooth coloured blobs."""
    random = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return np.asarray(cv2.GaussianBlur(random, (0, 0), 3))


def save_dpt(folder: Path) -> None:
    config = DPTConfig(
        hidden_size=16,
        num_hidden_layers=4,
        num_attention_heads=2,
        intermediate_size=16,
        image_size=32,
        patch_size=8,
        backbone_out_indices=[0, 1, 2, 3],
        neck_hidden_sizes=[8, 8, 8, 8],
        fusion_hidden_size=8,
    )
    DPTForDepthEstimation(config).save_pretrained(folder)
    DPTImageProcessorPil(size={"height": 32, "width": 32}).save_pretrained(folder)


def save_segformer(folder: Path) -> None:
    config = SegformerConfig(
        hidden_sizes=[8, 8, 8, 8],
        depths=[1, 1, 1, 1],
        num_attention_heads=[1, 1, 2, 2],
        decoder_hidden_size=8,
        num_labels=150,
    )
    SegformerForSemanticSegmentation(config).save_pretrained(folder)
    SegformerImageProcessorPil(size={"height": 64, "width": 64}).save_pretrained(folder)


Save = Callable[[Path], None]


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize(
    ("save", "kind"),
    [(save_depth_estimator, DepthAnythingForDepthEstimation), (save_dpt, DPTForDepthEstimation)],
)
def test_depth_is_what_the_stock_calls_find(
    tmp_path: Path, save: Save, kind: type, size: tuple[int, int]
) -> None:
    torch.manual_seed(1)
    save(tmp_path)
    shown = picture(*size)
    processor = DPTImageProcessorPil.from_pretrained(tmp_path)
    with torch.inference_mode():
        inputs = processor(shown, input_data_format="channels_last", return_tensors="pt")
        outputs = kind.from_pretrained(tmp_path).eval()(**inputs)
    expected = processor.post_process_depth_estimation(outputs, [shown.shape[:2]])[0]
    found = DepthEstimator.load(tmp_path, CPU).find(shown)
    assert found.shape == shown.shape[:2]
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected["predicted_depth"].numpy(), atol=1e-5)
    assert np.ptp(found) > 0, "the comparison is void on a flat answer"


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize(
    ("save", "kind"),
    [
        (save_room_segmenter, UperNetForSemanticSegmentation),
        (save_segformer, SegformerForSemanticSegmentation),
    ],
)
def test_classes_are_those_of_the_stock_calls(
    tmp_path: Path, save: Save, kind: type, size: tuple[int, int]
) -> None:
    torch.manual_seed(1)
    save(tmp_path)
    shown = picture(*size)
    processor = SegformerImageProcessorPil.from_pretrained(tmp_path)
    with torch.inference_mode():
        inputs = processor(shown, input_data_format="channels_last", return_tensors="pt")
        outputs = kind.from_pretrained(tmp_path).eval()(**inputs)
    expected = processor.post_process_semantic_segmentation(outputs, [shown.shape[:2]])[0]
    found = SemanticSegmenter.load(tmp_path, CPU).find(shown)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, expected.numpy())
    assert len(np.unique(found)) > 1, "the comparison is void on one class"
    assert found.max() < 150


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [("depth", "have no depth estimator"), ("rooms", "have no room segmenter")],
)
def test_a_family_without_one_says_so(tiny_catalog: Path, kind: str, sentence: str) -> None:
    models = LoadedModels(without(Catalog.load(tiny_catalog), kind), Device.probe())
    with pytest.raises(MissingModel, match=f"{sentence}: choose another style"):
        getattr(models, kind)("pack", fetch)
