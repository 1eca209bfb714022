"""A series against the function that it was made of, its derivatives, and a linear equation's exact solution."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from sciml.equation.series import Series, solve

X = torch.rand(50, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def waves(real: bool) -> Series:
    """Decaying, turning modes: û_k' = (−k²/4 + 2ik) û_k from û_k = 1 / (1 + k)."""
    k = np.arange(4) if real else np.arange(-3, 4)
    start = 1 / (1.0 + np.abs(k))
    return solve(
        -(k**2) / 4 + 2j * k, np.zeros_like, start, 2 * math.pi * k, times=[0, 0.3, 1], degree=24, h=0.5, real=real
    )


def exact(x: Tensor, real: bool) -> Tensor:
    t, along = x[:, :1], x[:, 1:]
    k = torch.arange(-3, 4, dtype=torch.float64)
    size, phase = torch.exp(-(k**2) / 4 * t) / (1 + k.abs()), 2 * k * t + 2 * math.pi * k * along
    parts = [(size * torch.cos(phase)).sum(1), (size * torch.sin(phase)).sum(1)]
    return torch.stack(parts[:1] if real else parts, dim=-1)


@pytest.mark.parametrize("real", [True, False])
def test_values_and_mixed_derivatives(real: bool) -> None:
    x = X.clone().requires_grad_()
    found, expected = waves(real)(x), exact(x, real)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-13)
    weight = torch.tensor([1.0, -0.4], dtype=torch.float64)[: found.shape[1]]
    for axis in (0, 1, 1, 0):
        found, expected = (
            torch.autograd.grad((u * weight).sum(), x, create_graph=True)[0][:, axis : axis + 1]
            for u in (found, expected)
        )
        weight = torch.ones(1, dtype=torch.float64)
        torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-8)


def test_modes_that_vanish_are_left_out() -> None:
    k = np.arange(4)
    series = solve(
        -100.0 * k, np.zeros_like, np.ones(4), 1.0 * k, times=[0, 1, 2], degree=40, h=0.5, real=True, cut=1e-9
    )
    assert [len(piece.wavenumbers) for piece in series.pieces] == [4, 1]
