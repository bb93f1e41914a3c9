"""Tests of the memory readings: plausible, and a peak belongs to its stretch."""

from __future__ import annotations

import sys

import pytest
import torch

from inference.runtime.process_memory import gpu_memory, gpu_peak, machine_memory, peak, start_peak

BIG = 200_000_000


def test_the_machine_has_memory_of_which_some_is_available() -> None:
    total, available = machine_memory()
    assert 100_000_000 < available <= total


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux forgets a peak")
def test_a_peak_is_that_of_its_own_stretch() -> None:
    start_peak()
    before = peak()
    block = torch.ones(BIG // 4)
    assert peak() - before > 0.9 * BIG
    del block
    start_peak()
    assert peak() - before < 0.5 * BIG


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a card")
def test_without_a_card_there_is_no_memory_of_one() -> None:
    assert gpu_memory() is None
    assert gpu_peak() == 0
