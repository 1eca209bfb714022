"""Muon against torch's own where that applies, and AdamW where it does not."""

from __future__ import annotations

import pytest
import torch
from refusals import accepted
from torch import Tensor, nn

from sciml.optimizer.muon import Muon, orthogonalised


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def drive(optimizer: torch.optim.Optimizer, p: nn.Parameter, steps: int) -> None:
    for step in range(steps):
        p.grad = normal(*p.shape, seed=step).to(p) + 0.5 * p.detach()
        optimizer.step()


@pytest.mark.parametrize("shape", [(6, 6), (3, 8), (8, 3)])
def test_singular_values_come_near_one_and_singular_vectors_stay(shape: tuple[int, int]) -> None:
    g = normal(*shape)
    o = orthogonalised(g)
    u, _, vt = torch.linalg.svd(g, full_matrices=False)
    middle = u.T @ o @ vt.T
    torch.testing.assert_close(middle, torch.diag(middle.diagonal()), rtol=0, atol=1e-12)
    assert 0.6 < middle.diagonal().min() <= middle.diagonal().max() < 1.3


@pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="torch has it from 2.9 on")
@pytest.mark.parametrize("shape", [(6, 6), (4, 9)])
def test_on_matrices_it_is_the_one_of_torch(shape: tuple[int, int]) -> None:
    mine, theirs = (nn.Parameter(normal(*shape).float()) for _ in range(2))
    drive(Muon([mine], lr=0.02, momentum=0.9, weight_decay=0.1), mine, 6)
    other = torch.optim.Muon([theirs], lr=0.02, momentum=0.9, weight_decay=0.1, adjust_lr_fn="match_rms_adamw")
    # Torch averages where this sums, which the orthogonalisation does not see, and rounds to eight bits.
    drive(other, theirs, 6)
    moved = (theirs - normal(*shape).float()).norm()
    assert (mine - theirs).norm() < 0.02 * moved


@pytest.mark.parametrize("shape", [(7,), (), (1, 5), (5, 1)])
def test_on_everything_else_it_is_adamw(shape: tuple[int, ...]) -> None:
    mine, theirs = (nn.Parameter(normal(*shape)) for _ in range(2))
    drive(Muon([mine], lr=0.02, weight_decay=0.1), mine, 8)
    drive(torch.optim.AdamW([theirs], lr=0.02, betas=(0.9, 0.95), weight_decay=0.1), theirs, 8)
    torch.testing.assert_close(mine, theirs, rtol=1e-12, atol=1e-12)


def test_a_gradient_of_zeros_moves_nothing() -> None:
    p = nn.Parameter(normal(3, 3))
    before, optimizer = p.detach().clone(), Muon([p])
    p.grad = torch.zeros_like(p)
    optimizer.step()
    assert torch.equal(p.detach(), before)


def test_what_is_out_of_range_is_refused() -> None:
    assert accepted(Muon, momentum=1.0, betas=[-0.1, 0.9], lr=-0.1) == {}
