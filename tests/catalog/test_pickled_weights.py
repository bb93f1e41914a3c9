"""Tests of pickled weights: converted exactly, and nothing of a pickle is ever run."""

from __future__ import annotations

import os
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from inference.catalog.pickled_weights import convert, is_whole
from inference.errors import DamagedDownload, ModelUnavailable

NAME = "weights.bin of someone/old"


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "kept" / "weights.safetensors"


def converted(pickled: Path, target: Path) -> dict[str, torch.Tensor]:
    target.parent.mkdir()
    convert(pickled, target, NAME)
    return load_file(target)


def saved(folder: Path, held: object, *, legacy: bool = False) -> Path:
    torch.save(held, folder / "weights.bin", _use_new_zipfile_serialization=not legacy)
    return folder / "weights.bin"


ROW = torch.arange(12.0)
WEIGHTS: dict[str, dict[str, Any]] = {
    "plain": {"a": torch.ones(3, 2), "b": torch.zeros(4, dtype=torch.float16)},
    "ordered": OrderedDict(a=torch.ones(3), b=torch.arange(5)),
    "bfloat16 and float64": {"a": ROW.bfloat16(), "b": ROW.double()},
    "parameters": {"a": torch.nn.Parameter(torch.ones(2))},
    "one storage": {"a": ROW, "b": ROW[:6], "c": ROW},
    "transposed": {"a": ROW.reshape(3, 4).t()},
    "scalar and empty": {"a": torch.tensor(1.5), "b": torch.zeros(0)},
}


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "before torch 1.6"])
@pytest.mark.parametrize("title", WEIGHTS)
def test_weights_are_kept_as_they_are(
    tmp_path: Path, target: Path, title: str, legacy: bool
) -> None:
    held = WEIGHTS[title]
    kept = converted(saved(tmp_path, held, legacy=legacy), target)
    assert kept.keys() == held.keys()
    for key, value in held.items():
        assert kept[key].dtype == value.dtype
        assert torch.equal(kept[key], value.detach())


def test_nested_parts_get_the_names_that_safetensors_have(tmp_path: Path, target: Path) -> None:
    nested = {"image_proj": {"norm.bias": ROW}, "ip_adapter": {"1.to_k_ip.weight": ROW}}
    kept = converted(saved(tmp_path, nested), target)
    assert set(kept) == {"image_proj.norm.bias", "ip_adapter.1.to_k_ip.weight"}


class Trap:
    """What would create a file when it is unpickled."""

    def __init__(self, sprung: Path) -> None:
        self._sprung = sprung

    def __reduce__(self) -> tuple[Any, ...]:
        return (open, (str(self._sprung), "w"))


class Shell(Trap):
    """What would start a shell when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.system, (f"touch {self._sprung}",))


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "before torch 1.6"])
@pytest.mark.parametrize("kind", [Trap, Shell])
@pytest.mark.parametrize(
    "wrap",
    [
        lambda trap: {"a": torch.ones(2), "b": trap},
        lambda trap: trap,
        lambda trap: {"a": [torch.ones(2), {"deep": (trap,)}]},
    ],
    ids=["among weights", "alone", "deep"],
)
def test_code_in_a_pickle_is_refused_and_does_not_run(
    tmp_path: Path,
    target: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: type[Trap],
    wrap: Callable[[Trap], object],
    legacy: bool,
) -> None:
    # Even a user who has switched torch's own protection off is protected here.
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    sprung = tmp_path / "sprung"
    pickled = saved(tmp_path, wrap(kind(sprung)), legacy=legacy)
    with pytest.raises(ModelUnavailable, match="was refused, because it holds something else"):
        converted(pickled, target)
    assert not sprung.exists()
    assert not list(target.parent.iterdir())

    torch.load(pickled, weights_only=False)  # the trap is a real one
    assert sprung.exists()


def test_a_plain_pickle_is_refused_and_does_not_run(tmp_path: Path, target: Path) -> None:
    sprung = tmp_path / "sprung"
    (tmp_path / "weights.bin").write_bytes(pickle.dumps(Trap(sprung)))
    with pytest.raises(ModelUnavailable):
        converted(tmp_path / "weights.bin", target)
    assert not sprung.exists()


@pytest.mark.parametrize(
    "held",
    [
        {"a": torch.ones(2), "epoch": 3},
        {"a": torch.ones(2), "note": "trained"},
        {1: torch.ones(2)},
        [torch.ones(2)],
        torch.ones(2),
        {},
        {"a": torch.ones(2, dtype=torch.complex64)},
        {"a": torch.ones(2, 2).to_sparse()},
        {"a": torch.ones(2, device="meta")},
        {"a": torch.ones(1).expand(1 << 20)},
    ],
    ids=[
        "number", "text", "key", "list", "bare tensor", "empty", "complex", "sparse", "meta",
        "one number as many",
    ],
)  # fmt: skip
def test_what_is_not_weights_is_refused(tmp_path: Path, target: Path, held: object) -> None:
    with pytest.raises(ModelUnavailable, match="was refused") as caught:
        converted(saved(tmp_path, held), target)
    assert NAME in str(caught.value)
    assert not list(target.parent.iterdir())


def test_a_dictionary_within_itself_is_refused(tmp_path: Path, target: Path) -> None:
    held: dict[str, Any] = {"a": ROW}
    held |= {f"b{k}": held for k in range(100)}
    with pytest.raises(ModelUnavailable, match="was refused"):
        converted(saved(tmp_path, held), target)


def test_a_compressed_bomb_is_refused_before_it_is_unpacked(tmp_path: Path, target: Path) -> None:
    pickled = saved(tmp_path, {"a": torch.zeros(1 << 22)})
    bomb = tmp_path / "bomb.bin"
    with zipfile.ZipFile(pickled) as old, zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as new:
        for one in old.infolist():
            new.writestr(one.filename, old.read(one))
    assert bomb.stat().st_size * 100 < pickled.stat().st_size
    with pytest.raises(ModelUnavailable, match="was refused"):
        converted(bomb, target)


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "before torch 1.6"])
@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 0.98])
def test_a_truncated_file_is_called_damaged_or_is_refused(
    tmp_path: Path, target: Path, share: float, legacy: bool
) -> None:
    pickled = saved(tmp_path, {"a": torch.ones(5000), "b": torch.ones(500)}, legacy=legacy)
    pickled.write_bytes(pickled.read_bytes()[: int(share * pickled.stat().st_size)])
    with pytest.raises(ModelUnavailable) as caught:
        converted(pickled, target)
    assert isinstance(caught.value, DamagedDownload) or "was refused" in str(caught.value)
    assert not list(target.parent.iterdir())


@pytest.mark.parametrize("data", [b"<html>Welcome</html>", b"\x80", bytes(4096), b"PK\x03\x04"])
def test_what_is_no_pickle_at_all_is_a_sentence(tmp_path: Path, target: Path, data: bytes) -> None:
    (tmp_path / "weights.bin").write_bytes(data)
    with pytest.raises(ModelUnavailable):
        converted(tmp_path / "weights.bin", target)


def test_a_conversion_replaces_a_file_as_a_whole(tmp_path: Path, target: Path) -> None:
    target.parent.mkdir()
    target.write_bytes(b"old")
    convert(saved(tmp_path, {"a": ROW}), target, NAME)
    assert torch.equal(load_file(target)["a"], ROW)
    assert list(target.parent.iterdir()) == [target]


def test_where_nothing_can_be_written_the_folder_is_named(tmp_path: Path, target: Path) -> None:
    pickled = saved(tmp_path, {"a": ROW})
    with pytest.raises(ModelUnavailable, match=f"make room in {target.parent}"):
        convert(pickled, target, NAME)  # the folder is not there


@pytest.mark.parametrize(("length", "whole"), [(None, True), (-1, False), (8, False), (0, False)])
def test_a_whole_file_is_told_from_a_part(
    tmp_path: Path, target: Path, length: int | None, whole: bool
) -> None:
    converted(saved(tmp_path, {"a": ROW}), target)
    target.write_bytes(target.read_bytes()[:length])
    assert is_whole(target) == whole
    assert not is_whole(target.with_name("absent"))
