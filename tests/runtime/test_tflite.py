"""Tests of TensorFlow Lite models: shapes, errors, silence, threads."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from inference.errors import DamagedDownload, MissingModel, ModelFailed
from inference.runtime.tflite import Floats, TfliteModel, picture_tensor

ROOT = Path(__file__).parents[2]
MODELS = [
    ("face_detection_short_range", (128, 128), {"regressors": (1, 896, 16)}),
    ("face_landmark", (192, 192), {"conv2d_21": (1, 1, 1, 1404), "conv2d_31": (1, 1, 1, 1)}),
    ("pose_detection", (224, 224), {"Identity": (1, 2254, 12), "Identity_1": (1, 2254, 1)}),
    ("pose_landmark_full", (256, 256), {"Identity": (1, 195), "Identity_2": (1, 256, 256, 1)}),
    ("selfie_segmentation", (256, 256), {"activation_10": (1, 256, 256, 1)}),
]
LOAD = """
import os, sys
from pathlib import Path
import numpy as np
from inference.runtime.tflite import TfliteModel
for path in sorted(Path(sys.argv[1]).glob("*.tflite")):
    model = TfliteModel.load(path)
    width, height = model.input_size
    model.run(np.zeros((1, height, width, 3), np.float32))
os.write(2, b"still written")
"""


def noise(model: TfliteModel, seed: int) -> Floats:
    width, height = model.input_size
    return np.random.default_rng(seed).random((1, height, width, 3), dtype=np.float32)


@pytest.mark.parametrize(("name", "size", "outputs"), MODELS, ids=[one[0] for one in MODELS])
def test_a_model_says_its_input_size_and_names_its_outputs(
    photo_models: Path, name: str, size: tuple[int, int], outputs: dict[str, tuple[int, ...]]
) -> None:
    model = TfliteModel.load(photo_models / f"{name}.tflite")
    assert model.input_size == size
    found = model.run(noise(model, 0))
    assert {key: found[key].shape for key in outputs} == outputs
    assert all(one.dtype == np.float32 for one in found.values())


def test_an_output_is_a_copy_that_the_next_run_does_not_change(photo_models: Path) -> None:
    model = TfliteModel.load(photo_models / "face_landmark.tflite")
    first = model.run(noise(model, 0))["conv2d_21"]
    before = first.copy()
    assert not np.array_equal(model.run(noise(model, 1))["conv2d_21"], before)
    np.testing.assert_array_equal(first, before)


def test_many_threads_at_once_get_each_their_own_result(photo_models: Path) -> None:
    model = TfliteModel.load(photo_models / "face_landmark.tflite")
    expected = [model.run(noise(model, seed))["conv2d_21"] for seed in range(8)]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda k: model.run(noise(model, k % 8))["conv2d_21"], range(32)))
    for k, one in enumerate(found):
        np.testing.assert_array_equal(one, expected[k % 8])


def test_nothing_is_written_to_the_terminal_and_the_terminal_still_works(
    photo_models: Path,
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOAD, str(photo_models)], cwd=ROOT, capture_output=True, check=True
    )
    assert done.stdout == b""
    assert done.stderr == b"still written"


def test_a_process_without_a_standard_error_loads_models_too(photo_models: Path) -> None:
    code = "import os; os.close(2)\n" + LOAD.rsplit("os.write", 1)[0]
    command = [sys.executable, "-c", code, str(photo_models)]
    assert subprocess.run(command, cwd=ROOT, stdout=subprocess.DEVNULL, check=False).returncode == 0


@pytest.mark.parametrize("kept", [0, 10, 1000, 600_000], ids=lambda kept: f"first {kept} bytes")
def test_a_damaged_file_is_one_sentence(photo_models: Path, tmp_path: Path, kept: int) -> None:
    whole = (photo_models / "face_landmark.tflite").read_bytes()
    (tmp_path / "cut.tflite").write_bytes(whole[:kept])
    with pytest.raises(DamagedDownload, match=r"cut\.tflite is damaged: delete it, then"):
        TfliteModel.load(tmp_path / "cut.tflite")


def test_a_missing_file_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(MissingModel, match=r"none\.tflite is missing: choose the style again"):
        TfliteModel.load(tmp_path / "none.tflite")


def test_without_the_package_it_says_how_to_install_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", None)
    (tmp_path / "any.tflite").write_bytes(b"")
    with pytest.raises(MissingModel, match="pip install ai-edge-litert"):
        TfliteModel.load(tmp_path / "any.tflite")


def test_a_picture_of_another_size_is_an_error_of_the_tree(photo_models: Path) -> None:
    model = TfliteModel.load(photo_models / "face_landmark.tflite")
    with pytest.raises(ModelFailed):
        model.run(np.zeros((1, 100, 192, 3), np.float32))


@pytest.mark.parametrize("black", [0.0, -1.0])
def test_black_and_white_are_the_ends_of_the_range(black: float) -> None:
    picture = np.array([[[0, 0, 0], [255, 255, 255]]], dtype=np.uint8)
    tensor = picture_tensor(picture, black)
    assert tensor.dtype == np.float32
    np.testing.assert_allclose(tensor, [[[[black] * 3, [1] * 3]]])
