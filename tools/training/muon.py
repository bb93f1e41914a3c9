"""The optimizer Muon: momentum whose matrices are made orthogonal; Adam for all other weights.

K. Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/. A convolution counts as a matrix
with a row for each output channel. Steps are scaled to those of Adam (Liu et al. 2025,
arXiv:2502.16982), so that learning rates are of its size.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

MOMENTUM, DECAY = 0.95, 0.01
BETAS, EPSILON = (0.9, 0.99), 1e-8
THIN = 8  # a matrix with a side up to this is left to Adam
_ROUNDS = 5
_A, _B, _C = 3.4445, -4.775, 2.0315  # the quintic's coefficients that Jordan tuned


class Muon(torch.optim.Optimizer):
    """Muon for matrices and convolutions, Adam for the rest, with one learning rate for both."""

    def __init__(self, weights: Iterable[Tensor], lr: float) -> None:
        """Optimize `weights`; the ones of a shape are updated together."""
        groups: dict[tuple[int, ...], list[Tensor]] = defaultdict(list)
        for weight in weights:
            groups[_matrix_shape(weight)].append(weight)
        members = [{"params": members, "matrix": bool(shape)} for shape, members in groups.items()]
        super().__init__(members, {"lr": lr})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]  # noqa: ARG002
        """Update every weight that has a gradient."""
        for group in self.param_groups:
            weights = [weight for weight in group["params"] if weight.grad is not None]
            if weights:
                (self._turn if group["matrix"] else self._adapt)(weights, group["lr"])

    def _turn(self, weights: list[Tensor], lr: float) -> None:
        """Step along the orthogonal part of the momentum."""
        grads = [weight.grad for weight in weights if weight.grad is not None]
        kept = [self._kept(weight, "momentum") for weight in weights]
        torch._foreach_mul_(kept, MOMENTUM)
        torch._foreach_add_(kept, grads)
        ahead = torch._foreach_add(grads, kept, alpha=MOMENTUM)
        rows = weights[0].shape[0]
        turned = orthogonal(torch.stack([one.reshape(rows, -1) for one in ahead]))
        size = 0.2 * max(turned.shape[1:]) ** 0.5
        torch._foreach_mul_(weights, 1 - lr * DECAY)
        for weight, step in zip(weights, turned, strict=True):
            weight.add_(step.reshape(weight.shape).to(weight.dtype), alpha=-lr * size)

    def _adapt(self, weights: list[Tensor], lr: float) -> None:
        """A step of Adam."""
        grads = [weight.grad for weight in weights if weight.grad is not None]
        first = [self._kept(weight, "first") for weight in weights]
        second = [self._kept(weight, "second") for weight in weights]
        torch._foreach_lerp_(first, grads, 1 - BETAS[0])
        torch._foreach_mul_(second, BETAS[1])
        torch._foreach_addcmul_(second, grads, grads, 1 - BETAS[1])
        for weight, mean, square in zip(weights, first, second, strict=True):
            state = self.state[weight]
            state["count"] = count = state.get("count", 0) + 1
            size = (square / (1 - BETAS[1] ** count)).sqrt_().add_(EPSILON)
            weight.addcdiv_(mean, size, value=-lr / (1 - BETAS[0] ** count))

    def _kept(self, weight: Tensor, name: str) -> Tensor:
        state: dict[str, Any] = self.state[weight]
        if name not in state:
            state[name] = torch.zeros_like(weight)
        kept: Tensor = state[name]
        return kept


def orthogonal(matrices: Tensor) -> Tensor:
    """The nearest orthogonal matrices, about, by Newton-Schulz in bfloat16; (n, rows, columns)."""
    tall = matrices.shape[1] > matrices.shape[2]
    x = (matrices.mT if tall else matrices).bfloat16()
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(_ROUNDS):
        square = x @ x.mT
        x = _A * x + (_B * square + _C * square @ square) @ x
    return (x.mT if tall else x).float()


def _matrix_shape(weight: Tensor) -> tuple[int, ...]:
    """The shape of a weight that Muon takes; empty for others."""
    if weight.ndim < 2:
        return ()
    rows, columns = weight.shape[0], weight[0].numel()
    return tuple(weight.shape) if min(rows, columns) > THIN else ()
