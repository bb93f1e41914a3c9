"""Tests of telling known pictures from others by a segmenter's activations."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from inference.mask.familiarity import FILE, Familiarity, description, grain
from inference.mask.segmenter import Segmenter
from inference.picture.photo import Pixels
from tests.support.hub_repositories import save_segmenter

WIDTH = 6
Layers = tuple[torch.Tensor, ...]


def activations(seed: int = 0) -> Layers:
    generator = torch.Generator().manual_seed(seed)
    return tuple(torch.randn((1, 10, WIDTH), generator=generator) for _ in range(2))


def around(layers: Layers, limit: float) -> Familiarity:
    """One whose mean are these activations; distances are plain."""
    return Familiarity(
        mean=description(layers), whitening=np.eye(2 * WIDTH, dtype=np.float32), limit=limit
    )


def test_a_picture_is_described_by_the_last_layer_without_its_class_token() -> None:
    layers = activations()
    found = description(layers)
    tokens = layers[-1][0, 1:].numpy()
    np.testing.assert_allclose(found[:WIDTH], tokens.mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(found[WIDTH:], tokens.std(axis=0, ddof=1), atol=1e-6)
    layers[0].zero_()
    layers[-1][0, 0] = 100
    np.testing.assert_array_equal(description(layers), found)


def test_the_mean_has_no_distance_and_others_have_that_of_the_whitening() -> None:
    one, other = activations(0), activations(1)
    assert around(one, 1).distance(one) == 0
    apart = np.linalg.norm(description(other) - description(one))
    assert around(one, 1).distance(other) == pytest.approx(apart, rel=1e-5)
    wider = Familiarity(
        mean=description(one), whitening=3 * np.eye(2 * WIDTH, dtype=np.float32), limit=1
    )
    assert wider.distance(other) == pytest.approx(3 * apart, rel=1e-5)


@pytest.mark.parametrize(("factor", "known"), [(0.99, False), (1.0, True), (1.01, True)])
def test_a_picture_at_the_limit_is_known(factor: float, known: bool) -> None:
    one, other = activations(0), activations(1)
    distance = around(one, 1).distance(other)
    assert around(one, factor * distance).knows(other, 0.0) == known


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    whitening = random.normal(size=(2 * WIDTH, 2 * WIDTH)).astype(np.float32)
    saved = Familiarity(
        mean=description(activations()), whitening=whitening, limit=12.5, grain_limit=3.5
    )
    saved.save(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [FILE]
    loaded = Familiarity.load(tmp_path)
    assert loaded is not None
    assert (loaded.limit, loaded.grain_limit) == (12.5, 3.5)
    np.testing.assert_array_equal(loaded.mean, saved.mean)
    np.testing.assert_allclose(loaded.whitening, whitening, atol=2e-3)
    other = activations(1)
    assert loaded.distance(other) == pytest.approx(saved.distance(other), rel=1e-2)


def test_a_model_without_the_file_is_general_and_knows_all(tmp_path: Path) -> None:
    assert Familiarity.load(tmp_path) is None
    save_segmenter(tmp_path)
    segmenter = Segmenter.load(tmp_path, torch.device("cpu"))
    assert segmenter.is_general
    picture: Pixels = np.zeros((40, 30, 3), np.uint8)
    assert segmenter.knows(segmenter.encode_image(picture))


@pytest.mark.parametrize(("limit", "known"), [(0.0, False), (np.inf, True)])
def test_a_segmenter_with_the_file_beside_it_knows_what_is_near(
    tmp_path: Path, limit: float, known: bool
) -> None:
    save_segmenter(tmp_path)
    picture: Pixels = np.random.default_rng(0).integers(0, 256, (40, 30, 3), dtype=np.uint8)
    width = len(
        description(Segmenter.load(tmp_path, torch.device("cpu")).encode_image(picture).layers)
    )
    Familiarity(
        mean=np.zeros(width, np.float32), whitening=np.eye(width, dtype=np.float32), limit=limit
    ).save(tmp_path)
    segmenter = Segmenter.load(tmp_path, torch.device("cpu"))
    assert not segmenter.is_general
    assert segmenter.knows(segmenter.encode_image(picture)) == known


@pytest.mark.parametrize(
    ("kind", "low", "high"),
    [
        ("plain", 0, 0.01),
        ("ramp", 0, 0.7),
        ("two halves", 0, 0.01),
        ("film grain", 4, 40),
        ("edges everywhere", 0, 0.01),
    ],
)
def test_grain_is_what_moves_in_smooth_areas(kind: str, low: float, high: float) -> None:
    picture = np.full((200, 300, 3), 120, np.uint8)
    if kind == "ramp":
        picture[:] = np.linspace(0, 255, 300, dtype=np.uint8)[None, :, None]
    elif kind == "two halves":
        picture[:, 150:] = 30
    elif kind == "film grain":
        noise = np.random.default_rng(0).normal(0, 3, (200, 300, 1))
        picture = (picture + noise).round().astype(np.uint8)
    elif kind == "edges everywhere":
        picture[::4] = 0
    assert low <= grain(picture) <= high


@pytest.mark.parametrize(("measured", "known"), [(1.0, True), (2.0, True), (2.1, False)])
def test_a_picture_of_more_grain_is_not_known(measured: float, known: bool) -> None:
    one = activations()
    limits = replace(around(one, 1.0), grain_limit=2.0)
    assert limits.knows(one, measured) == known
