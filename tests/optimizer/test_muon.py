"""Muon against torch's own where that applies, and AdamW where it does not."""

from __future__ import annotations

import pytest
import torch
from refusals import accepted
from torch import Tensor, nn

from sciml.numerics import numerics
from sciml.optimizer.muon import NEWTON_SCHULZ, STEPS, Muon, orthogonalised


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


def test_long_matrices_take_the_same_steps() -> None:
    """Against the iteration written out, in the precision of training, with singular values over six decades."""
    a, b, c = NEWTON_SCHULZ
    u, v = (torch.linalg.qr(normal(*shape, seed=seed))[0] for seed, shape in enumerate([(20, 20), (90, 20)]))
    g = u * torch.logspace(0, -6, 20, dtype=torch.float64) @ v.mT
    for matrix in (g, g.mT):
        x = g / g.norm()
        for _ in range(STEPS):
            outer = x @ x.mT
            x = a * x + (b * outer + c * outer @ outer) @ x
        expected = x if matrix is g else x.mT
        torch.testing.assert_close(orthogonalised(matrix), expected, rtol=0, atol=1e-10)
        assert (orthogonalised(matrix.float()) - expected).norm() < 1e-3 * expected.norm()
        stack = torch.stack([matrix, 3 * matrix.flip(0)])
        torch.testing.assert_close(orthogonalised(stack)[1], orthogonalised(stack[1]))


@pytest.mark.parametrize("size", [1e30, 1e-18, 1e-20, 1e-30, 1e-34])
def test_matrices_of_every_size_have_the_same_factor(size: float) -> None:
    """Also where squares of their numbers overflow, or are flushed to zero: what dead units leave behind is small."""
    matrix = normal(8, 30).float()
    expected = orthogonalised(matrix)
    with numerics(1, deterministic=False):
        found = orthogonalised(size * matrix)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-3)


def test_parameters_of_one_shape_move_as_each_alone_would() -> None:
    shapes = [(4, 3, 2), (4, 6), (5,), (5,), (4, 6)]
    together, alone = ([nn.Parameter(normal(*shape, seed=i)) for i, shape in enumerate(shapes)] for _ in range(2))
    one, each = Muon(together, weight_decay=0.1), [Muon([p], weight_decay=0.1) for p in alone]
    for step in range(4):
        for i, (p, q) in enumerate(zip(together, alone, strict=True)):
            # One of them joins later: it counts its own steps.
            p.grad = q.grad = None if i == 3 and step < 2 else normal(*p.shape, seed=10 * step + i)
        one.step()
        for optimizer in each:
            optimizer.step()
    for p, q in zip(together, alone, strict=True):
        torch.testing.assert_close(p, q, rtol=1e-12, atol=1e-12)


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
