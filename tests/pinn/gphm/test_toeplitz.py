"""Toeplitz matrices and their gradients against dense automatic differentiation."""

from __future__ import annotations

import torch
from torch import Generator

from sciml.pinn.gphm.toeplitz import solve, sums, toeplitz


def random(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=Generator().manual_seed(len(shape)), dtype=torch.float64)


def test_even_and_odd_matrices() -> None:
    column = random(4)
    for parity in (1, -1):
        matrix = toeplitz(column, parity)
        for i in range(4):
            for j in range(4):
                assert matrix[i, j] == (column[i - j] if i >= j else parity * column[j - i])


def test_sums_are_the_adjoint() -> None:
    column, matrix = random(6), random(6, 6)
    torch.testing.assert_close((toeplitz(column) * matrix).sum(), column @ sums(matrix))


def test_solutions_determinants_and_their_gradients() -> None:
    line = torch.linspace(0, 1, 7, dtype=torch.float64)
    right, direction = random(7, 3), random(3, 7)

    def both(dense: bool) -> list[torch.Tensor]:
        column = (torch.exp(-4 * line.square()) + 0.1 * (line == 0)).requires_grad_()
        b = right.clone().requires_grad_()
        matrix = toeplitz(column)
        if dense:
            solution, logdet = torch.linalg.solve(matrix, b), torch.logdet(matrix)
        else:
            solution, logdet = solve(column, torch.linalg.cholesky(matrix.detach()), b)
        (0.3 * logdet + (direction @ solution).square().sum()).backward()
        assert column.grad is not None
        assert b.grad is not None
        return [solution.detach(), logdet.detach(), column.grad, b.grad]

    for found, expected in zip(both(dense=False), both(dense=True), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)
