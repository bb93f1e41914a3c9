"""Tests of long model calls: progress, interruption between layers, errors."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator
from contextlib import closing
from typing import TypeVar

import pytest
import torch
from torch import nn

from inference.runtime import long_call
from inference.runtime.long_call import LARGE, LongCalls, takes_long

LAYERS, PAUSE = 40, 0.05
Value = TypeVar("Value")


class Slow(nn.Module):
    """A chain of linear layers that pauses after each of them."""

    def __init__(self, pause: float = PAUSE) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(2, 2) for _ in range(LAYERS))
        self.pause, self.ran = pause, 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.layers:
            x = layer(x)
            self.ran += 1
            time.sleep(self.pause)
        return x


def finish(running: Generator[float, None, Value]) -> tuple[list[float], Value]:
    """All shares and the value of a call."""
    shares: list[float] = []
    while True:
        try:
            shares.append(next(running))
        except StopIteration as ended:
            value: Value = ended.value
            return shares, value


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Report often, so that the tests are short."""
    monkeypatch.setattr(long_call, "BEAT_SECONDS", 0.01)


def test_shares_rise_and_the_value_comes_last() -> None:
    model = Slow()
    calls = LongCalls.watching(model)
    shares, value = finish(calls.run(lambda: model(torch.ones(2)), float, [model]))
    assert value.shape == (2,)
    assert not value.requires_grad
    assert shares == sorted(shares)
    assert len(set(shares)) > 5
    assert 0 <= shares[0] < 0.5 < shares[-1] <= 1


def test_of_two_runs_the_first_is_half() -> None:
    model = Slow(0.0)
    calls = LongCalls.watching(model)
    hold = threading.Event()

    def first_of_two() -> None:
        model(torch.ones(2))
        hold.wait(30)

    with closing(calls.run(first_of_two, float, [model, model])) as running:
        assert next(share for share in running if share > 0) <= 0.5
        while (share := next(running)) < 0.5:
            pass
        assert share == 0.5
        hold.set()


def test_closing_stops_at_the_next_layer_and_the_model_can_be_used_again() -> None:
    model = Slow()
    calls = LongCalls.watching(model)
    with closing(calls.run(lambda: model(torch.ones(2)), float)) as running:
        next(running)
    assert 0 < model.ran < LAYERS
    assert not [one for one in threading.enumerate() if one.name.startswith("long call")]
    model.pause = 0
    assert model(torch.ones(2)).shape == (2,)
    assert finish(calls.run(lambda: model(torch.ones(2)), float))[1].shape == (2,)
    assert model(torch.ones(2)).shape == (2,), "also outside of long calls"


def test_an_error_comes_out_as_it_was_raised() -> None:
    error = ValueError("bad")

    def fail() -> None:
        raise error

    with pytest.raises(ValueError, match="bad") as caught:
        list(LongCalls().run(fail, float))
    assert caught.value is error


@pytest.mark.parametrize(
    ("device", "size", "expected"),
    [("cpu", LARGE, True), ("cpu", LARGE - 1, False), ("meta", LARGE, False)],
)
def test_which_models_take_long(device: str, size: int, expected: bool) -> None:
    model = nn.Linear(size, 1, bias=False, device="meta")
    assert takes_long(model, torch.device(device)) is expected
