"""Tests of the precision of large models on a CPU: memory is halved, results stay."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from inference.runtime import precision
from inference.runtime.precision import LARGE_BYTES, is_bfloat16_fast, is_large, use_less_memory
from tests.support import tiny_models


def half_unet() -> nn.Module:
    """A tiny UNet as it is after reading in float16."""
    torch.manual_seed(0)
    return tiny_models.unet().half()


def run(model: nn.Module, dtype: torch.dtype) -> torch.Tensor:
    torch.manual_seed(1)
    noisy, words = torch.randn(2, 4, 8, 8), torch.randn(2, 5, tiny_models.WIDTH)
    with torch.inference_mode():
        output: torch.Tensor = model(noisy.to(dtype), torch.tensor(5.0), words.to(dtype)).sample
    return output.float()


def size(model: nn.Module) -> int:
    return sum(one.numel() * one.element_size() for one in model.parameters())


def test_float16_in_memory_computes_exactly_as_float32() -> None:
    model = half_unet()
    expected = run(half_unet().float(), torch.float32)
    before = size(model)
    use_less_memory(model, bfloat16=False)
    torch.testing.assert_close(run(model, torch.float32), expected, rtol=0, atol=0)
    assert model.dtype == torch.float32
    assert before <= size(model) < 1.1 * before, "only norms are larger"
    torch.testing.assert_close(run(model, torch.float32), expected, rtol=0, atol=0)


def test_bfloat16_is_near_float32() -> None:
    model = half_unet()
    expected = run(half_unet().float(), torch.float32)
    use_less_memory(model, bfloat16=True)
    assert model.dtype == torch.bfloat16
    error = (run(model, torch.bfloat16) - expected).abs().mean() / expected.abs().mean()
    assert 0 < error < 0.05


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, False),
        ({"model.safetensors": LARGE_BYTES}, True),
        ({"model.safetensors": LARGE_BYTES - 1}, False),
        ({"a.safetensors": LARGE_BYTES // 2, "b.safetensors": LARGE_BYTES // 2}, True),
        ({"model.bin": LARGE_BYTES}, False),
    ],
    ids=["empty", "large", "small", "in shards", "other files"],
)
def test_which_weights_are_large(files: dict[str, int], expected: bool, tmp_path: Path) -> None:
    for name, length in files.items():
        with (tmp_path / name).open("wb") as file:
            file.truncate(length)  # sparse
    assert is_large(tmp_path) is expected


def test_a_single_file_may_be_large(tmp_path: Path) -> None:
    with (tmp_path / "whole.safetensors").open("wb") as file:
        file.truncate(LARGE_BYTES)
    assert is_large(tmp_path / "whole.safetensors")


@pytest.mark.parametrize(("gain", "expected"), [(1e-6, True), (1e6, False)])
def test_bfloat16_is_used_where_it_is_faster_by_enough(
    gain: float, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "GAIN", gain)
    assert is_bfloat16_fast() is expected
