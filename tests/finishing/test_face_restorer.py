"""Tests of face restoration, with ONNX graphs of one or two operators."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from inference.control.openpose_skeleton import Keypoints
from inference.errors import MissingModel, PaintingFailed
from inference.finishing.face_restorer import FaceRestorer
from inference.picture.geometry import Box
from inference.picture.photo import Pixels
from tests.support.tiny_detectors import save_graph

UPRIGHT = {0: (256.6, 314.0), 1: (318.9, 240.2), 2: (193.0, 240.0)}  # nose, left and right eye
MIDDLE = (slice(200, 330), slice(180, 330))


def points_of(places: dict[int, tuple[float, float]], score: float = 0.9) -> Keypoints:
    points = np.zeros((17, 3), dtype=np.float32)
    for k, place in places.items():
        points[k] = (*place, score)
    return points


def moved(scale: float, turn: float, shift: tuple[float, float]) -> dict[int, tuple[float, float]]:
    """The upright face, scaled, rotated (in degrees) and shifted."""
    angle = np.radians(turn)
    matrix = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return {k: tuple(matrix @ np.array(place) + shift) for k, place in UPRIGHT.items()}


def smooth(width: int = 512, height: int = 512) -> Pixels:
    y, x = np.mgrid[:height, :width]
    waves = [np.sin(x / 40 + k) * np.cos(y / 50 - k) for k in range(3)]
    return (127 + 100 * np.stack(waves, axis=2)).astype(np.uint8)


def whole(picture: Pixels) -> Box:
    return Box.whole(picture.shape[1::-1])


@pytest.mark.parametrize(
    "places",
    [UPRIGHT, moved(0.5, 0, (10, 30)), moved(1.3, 25, (160, -150)), moved(3, -10, (0, 0))],
    ids=["as trained", "small", "turned", "large"],
)  # fmt: skip
def test_a_graph_that_changes_nothing_gives_the_face_back_where_it_was(
    tmp_path: Path, places: dict[int, tuple[float, float]]
) -> None:
    picture = smooth(1600, 1600)
    restored = FaceRestorer.load(save_graph(tmp_path, "Identity")).restore(
        picture, points_of(places), whole(picture)
    )
    assert restored is not None
    nose = tuple(round(place) for place in places[0])
    assert restored.alpha[nose[::-1]] == 255
    counts = restored.alpha == 255
    gap = np.abs(restored.pixels.astype(int) - picture)[counts]
    assert gap.mean() < 3
    assert not restored.alpha[-1].any()


def test_what_the_graph_makes_of_the_face_is_what_comes_back(tmp_path: Path) -> None:
    picture = smooth()
    restored = FaceRestorer.load(save_graph(tmp_path, "Mul", -1.0)).restore(
        picture, points_of(UPRIGHT), whole(picture)
    )
    assert restored is not None
    negative = 255 - picture.astype(int)
    assert np.abs(restored.pixels.astype(int) - negative)[MIDDLE].max() <= 2


def test_a_box_cuts_its_part_out(tmp_path: Path) -> None:
    picture = smooth()
    restorer = FaceRestorer.load(save_graph(tmp_path, "Identity"))
    everything = restorer.restore(picture, points_of(UPRIGHT), whole(picture))
    part = restorer.restore(
        picture, points_of(UPRIGHT), Box(left=200, top=210, right=300, bottom=330)
    )
    assert everything is not None
    assert part is not None
    np.testing.assert_array_equal(part.pixels, everything.pixels[210:330, 200:300])
    np.testing.assert_array_equal(part.alpha, everything.alpha[210:330, 200:300])


@pytest.mark.parametrize("side", [128, "side"])
def test_a_graph_of_another_size_is_given_its_own(tmp_path: Path, side: int | str) -> None:
    picture = smooth()
    restored = FaceRestorer.load(save_graph(tmp_path, "Identity", side=side)).restore(
        picture, points_of(UPRIGHT), whole(picture)
    )
    assert restored is not None
    assert np.abs(restored.pixels.astype(int) - picture)[MIDDLE].mean() < 3


def test_a_large_face_is_averaged_not_skipped_over(tmp_path: Path) -> None:
    """Black and white in turn, at four pixels to one of the crop, is gray."""
    picture = np.zeros((2048, 2048, 3), dtype=np.uint8)
    picture[::2, ::2] = picture[1::2, 1::2] = 255
    restored = FaceRestorer.load(save_graph(tmp_path, "Identity")).restore(
        picture, points_of(moved(4, 0, (0, 0))), whole(picture)
    )
    assert restored is not None
    seen = restored.pixels[900:1100, 900:1100].astype(int)
    assert np.abs(seen - 127).max() < 12


@pytest.mark.parametrize("hidden", [0, 1, 2])
def test_a_face_that_is_turned_away_is_left_alone(tmp_path: Path, hidden: int) -> None:
    picture = smooth()
    points = points_of({k: place for k, place in UPRIGHT.items() if k != hidden})
    restorer = FaceRestorer.load(save_graph(tmp_path, "Identity"))
    assert restorer.restore(picture, points, whole(picture)) is None


def test_nan_is_never_pasted(tmp_path: Path) -> None:
    picture = smooth()
    restorer = FaceRestorer.load(save_graph(tmp_path, "Add", float("nan")))
    with pytest.raises(PaintingFailed, match="turn Correct faces off"):
        restorer.restore(picture, points_of(UPRIGHT), whole(picture))


@pytest.mark.parametrize("data", [None, b"", b"no graph at all"])
def test_a_missing_or_damaged_graph_is_a_sentence(tmp_path: Path, data: bytes | None) -> None:
    if data is not None:
        (tmp_path / "model.onnx").write_bytes(data)
    with pytest.raises(MissingModel, match=r"no usable \.onnx file"):
        FaceRestorer.load(tmp_path)


def test_without_its_package_it_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert FaceRestorer.is_installed()
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert not FaceRestorer.is_installed()
