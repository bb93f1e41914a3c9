"""Tests of the optimizer Muon."""

from __future__ import annotations

from copy import deepcopy

import pytest
import torch

from tools.training.muon import Muon, orthogonal


@pytest.mark.parametrize("shape", [(3, 16, 64), (2, 64, 16)])
def test_singular_values_become_about_one(shape: tuple[int, ...]) -> None:
    matrices = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    values = torch.linalg.svdvals(orthogonal(matrices))
    assert values.min() > 0.5
    assert values.max() < 1.4


def test_it_fits_matrices_convolutions_and_biases_and_goes_on_where_it_ended() -> None:
    torch.manual_seed(0)
    model = torch.nn.Sequential(
        torch.nn.Conv2d(3, 16, 3), torch.nn.Flatten(), torch.nn.Linear(144, 12)
    )
    x, goal = torch.randn(32, 3, 5, 5), torch.randn(32, 12)
    optimizer = Muon(model.parameters(), 0.01)

    def steps(optimizer: Muon, count: int) -> list[float]:
        losses = []
        for _ in range(count):
            loss = (model(x) - goal).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        return losses

    losses = steps(optimizer, 40)
    assert losses[-1] < 0.5 * losses[0]
    kept, weights = deepcopy(optimizer.state_dict()), deepcopy(model.state_dict())
    first = steps(optimizer, 3)
    model.load_state_dict(weights)
    again = Muon(model.parameters(), 0.01)
    again.load_state_dict(kept)
    assert steps(again, 3) == first
