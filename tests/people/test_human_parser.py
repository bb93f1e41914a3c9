"""Tests of the human parser with tiny random networks: shapes, and files that are damaged."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from inference.errors import DamagedDownload, MissingModel, PaintingFailed
from inference.people.human_parser import HumanParser, ParsingNetwork
from inference.people.part_features import CHANNELS, Floats
from inference.people.parts import Part
from inference.runtime.load_lock import MODEL_CONSTRUCTION

CPU = torch.device("cpu")
WIDTHS = (8, 16, 24)


def save(folder: Path, *, widths: tuple[int, ...] = WIDTHS, value: float | None = None) -> Path:
    """A parser's folder with random weights, or with all of them equal to `value`."""
    torch.manual_seed(0)
    weights = {name: one.half() for name, one in ParsingNetwork(widths).state_dict().items()}
    if value is not None:
        weights = {name: torch.full_like(one, value) for name, one in weights.items()}
    (folder / "config.json").write_text(json.dumps({"widths": widths}))
    save_file(weights, folder / "model.safetensors")
    return folder


def features(width: int, height: int) -> Floats:
    return np.random.default_rng(0).normal(size=(CHANNELS, height, width)).astype(np.float32)


@pytest.mark.parametrize("size", [(64, 64), (64, 96), (8, 8)], ids=str)
def test_each_pixel_of_half_the_size_has_probabilities_of_all_parts(
    tmp_path: Path, size: tuple[int, int]
) -> None:
    found = HumanParser.load(save(tmp_path), CPU).parse(features(*size))
    assert found.shape == (len(Part), size[1] // 2, size[0] // 2)
    assert found.dtype == np.float32
    assert (found >= 0).all()
    np.testing.assert_allclose(found.sum(axis=0), 1, atol=1e-5)
    assert found.std() > 1e-3


def test_the_same_input_has_the_same_parts_and_another_one_others(tmp_path: Path) -> None:
    parser = HumanParser.load(save(tmp_path), CPU)
    first = parser.parse(features(64, 64))
    np.testing.assert_array_equal(parser.parse(features(64, 64)), first)
    assert np.abs(parser.parse(-features(64, 64)) - first).max() > 1e-3


def cut(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1000])


def other_widths(folder: Path) -> None:
    (folder / "config.json").write_text('{"widths": [8, 16, 32]}')


DAMAGES: dict[str, Callable[[Path], object]] = {
    "weights cut off": cut,
    "weights empty": lambda folder: (folder / "model.safetensors").write_bytes(b""),
    "weights of another network": other_widths,
    "no JSON": lambda folder: (folder / "config.json").write_text("{"),
    "no text": lambda folder: (folder / "config.json").write_bytes(b"\xff\xfe\xff"),
    "no widths": lambda folder: (folder / "config.json").write_text("{}"),
    "a list": lambda folder: (folder / "config.json").write_text("[1]"),
    "no numbers": lambda folder: (folder / "config.json").write_text('{"widths": ["a", "b"]}'),
    "odd widths": lambda folder: (folder / "config.json").write_text('{"widths": [9, 11]}'),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_refused_in_one_sentence(tmp_path: Path, damage: str) -> None:
    DAMAGES[damage](save(tmp_path))
    with pytest.raises(DamagedDownload, match=r"^The human parser's files are damaged: .*\.$"):
        HumanParser.load(tmp_path, CPU)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    (save(tmp_path) / name).unlink()
    with pytest.raises(MissingModel, match=rf"^The human parser's {name} is missing: .*\.$"):
        HumanParser.load(tmp_path, CPU)


def test_no_parts_are_better_than_wrong_ones(tmp_path: Path) -> None:
    parser = HumanParser.load(save(tmp_path, value=float("nan")), CPU)
    with pytest.raises(PaintingFailed):
        parser.parse(features(64, 64))


def test_it_is_constructed_under_the_lock(tmp_path: Path) -> None:
    save(tmp_path)
    done = threading.Event()

    def load() -> None:
        HumanParser.load(tmp_path, CPU)
        done.set()

    thread = threading.Thread(target=load)
    with MODEL_CONSTRUCTION:
        thread.start()
        assert not done.wait(0.3)
    thread.join(20)
    assert done.is_set()
