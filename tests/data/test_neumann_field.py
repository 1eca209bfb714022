from __future__ import annotations

import math

import torch

from sciml.data.neumann_field import neumann_fields
from sciml.data.stream import stream

LAW = {"modes": 6, "alpha": 2.0, "tau": 3.0}


def draw(n: int, along: torch.Tensor) -> torch.Tensor:
    return neumann_fields([stream(str(i), 0) for i in range(n)], along, **LAW)


def test_every_cosine_has_the_declared_variance() -> None:
    cells = (torch.arange(12, dtype=torch.float64) + 0.5) / 12
    k = torch.arange(12, dtype=torch.float64)
    basis = torch.cos(math.pi * torch.outer(cells, k)) * torch.where(k > 0, math.sqrt(2 / 12), math.sqrt(1 / 12))
    torch.testing.assert_close(basis.mT @ basis, torch.eye(12, dtype=torch.float64))
    coefficients = basis.mT @ draw(4000, cells) @ basis / 12
    variance = coefficients.square().mean(0)
    assert variance[0, 0] < 1e-25
    assert variance[6:].max() < 1e-25
    k = k[:6]
    expected = 9 / (math.pi**2 * (k.unsqueeze(1) ** 2 + k**2) + 9) ** 2
    expected[0, 0] = 0
    torch.testing.assert_close(variance[:6, :6], expected, rtol=5 * (2 / 4000) ** 0.5, atol=1e-25)


def test_one_seed_gives_the_same_fields_on_every_grid() -> None:
    fine = torch.linspace(0, 1, 21, dtype=torch.float64)
    torch.testing.assert_close(draw(2, fine)[:, ::4, ::4], draw(2, fine[::4]))
