"""Tests of the point segmenter against the stock model, and of the regions of its clicks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import SamModel, SamProcessor
from transformers.models.sam.image_processing_pil_sam import SamImageProcessorPil

from inference.mask.click_regions import ClickRegions, in_one_piece
from inference.mask.point_segmenter import PointSegmenter
from inference.picture.geometry import Box, Size, View
from inference.picture.photo import Photo, Pixels
from inference.recipe.strokes import Point
from tests.support.hub_repositories import save_point_segmenter

CPU = torch.device("cpu")
SIDE = 64


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(3)
    made = tmp_path_factory.mktemp("sam")
    save_point_segmenter(made, side=SIDE)
    return made


@pytest.fixture(scope="module")
def segmenter(folder: Path) -> PointSegmenter:
    return PointSegmenter.load(folder, CPU)


def picture(size: Size, seed: int = 0) -> Pixels:
    """Noise over a gradient, so that all places differ."""
    width, height = size
    noise = np.random.default_rng(seed).integers(0, 128, (height, width, 3))
    return (noise + np.linspace(0, 127, width)[None, :, None]).astype(np.uint8)


def stock_logits(folder: Path, pixels: Pixels, point: tuple[float, float]) -> np.ndarray:
    """The best mask's logits by the stock processor and model, with the padding."""
    model = SamModel.from_pretrained(folder).eval()
    processor = SamProcessor(SamImageProcessorPil.from_pretrained(folder))
    inputs = processor(Image.fromarray(pixels), input_points=[[list(point)]], return_tensors="pt")
    with torch.inference_mode():
        found = model(
            pixel_values=inputs["pixel_values"],
            input_points=inputs["input_points"].float(),
            multimask_output=True,
        )
    return found.pred_masks[0, 0, int(found.iou_scores[0, 0].argmax())].numpy()


@pytest.mark.parametrize(
    ("size", "point", "covered"),
    [
        ((64, 64), (5000, 5000), (16, 16)),
        ((64, 48), (2500, 7500), (16, 12)),
        ((40, 80), (9000, 1000), (8, 16)),
        ((200, 100), (0, 10_000), (16, 8)),
    ],
)
def test_logits_are_those_of_the_stock_model_without_the_padding(
    folder: Path, segmenter: PointSegmenter, size: Size, point: Point, covered: Size
) -> None:
    pixels = picture(size)
    logits = segmenter.segment(segmenter.encode_image(pixels), point)
    assert logits.shape[::-1] == covered
    x, y = (at * side / 10_000 for at, side in zip(point, size, strict=True))
    expected = stock_logits(folder, pixels, (x, y))[: covered[1], : covered[0]]
    assert np.ptp(expected) > 0.05
    np.testing.assert_allclose(logits, expected, atol=1e-5)


def test_another_point_gives_other_logits(segmenter: PointSegmenter) -> None:
    seen = segmenter.encode_image(picture((64, 64)))
    first, second = (segmenter.segment(seen, point) for point in ((1000, 1000), (9000, 8000)))
    assert np.abs(first - second).max() > 0.01


P, N = 3.0, -3.0


@pytest.mark.parametrize(
    ("name", "row", "point", "inside"),
    [
        ("the piece with the point", [P, P, N, P, P], 500, [1, 1, 0, 0, 0]),
        ("the other piece", [P, P, N, P, P], 9500, [0, 0, 0, 1, 1]),
        ("all", [P] * 5, 5000, [1] * 5),
        ("nothing but the point's surroundings", [N] * 5, 5000, [0, 1, 1, 1, 0]),
        ("what touches these", [N, N, N, P, P], 5000, [0, 1, 1, 1, 1]),
    ],
)
def test_a_region_is_one_piece_with_the_point(
    name: str, row: list[float], point: int, inside: list[int]
) -> None:
    logits = np.array([row], np.float32)
    assert (in_one_piece(logits, (point, 5000)) >= 0)[0].astype(int).tolist() == inside, name


def whole(size: Size) -> View:
    return View(whole=size, box=Box.whole(size), size=size)


def test_a_photo_is_encoded_once_and_a_point_found_once(
    segmenter: PointSegmenter, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []

    def counted(name: str) -> None:
        real = getattr(PointSegmenter, name)

        def call(self: PointSegmenter, *given: object) -> object:
            calls.append(name)
            return real(self, *given)

        monkeypatch.setattr(PointSegmenter, name, call)

    counted("encode_image")
    counted("segment")
    clicks = ClickRegions(segmenter=lambda _family: segmenter)
    photo = Photo.of(picture((120, 90)))
    for point in ((5000, 5000), (1000, 1000), (5000, 5000)):
        region = clicks.region(photo, point, whole(photo.size), "sd15")
        assert region.shape == (90, 120)
        assert region[min(89, point[1] * 90 // 10_000), min(119, point[0] * 120 // 10_000)]
    assert calls == ["encode_image", "segment", "segment"]


def test_a_family_without_the_model_goes_by_colours(segmenter: PointSegmenter) -> None:
    photo, point = Photo.of(picture((120, 90))), (5000, 5000)
    view = whole(photo.size)
    mixed = ClickRegions(segmenter=lambda family: segmenter if family == "sd15" else None)
    by_model = mixed.region(photo, point, view, "sd15")
    by_colours = mixed.region(photo, point, view, "pack")
    np.testing.assert_array_equal(by_colours, ClickRegions().region(photo, point, view))
    assert (by_model != by_colours).any()
