"""Toeplitz matrices, their square roots and their gradients against dense automatic differentiation."""

from __future__ import annotations

import pytest
import torch
from torch import Generator, Tensor

from sciml.pinn.gphm.toeplitz import Root, Toeplitz, halves, reflect, solve, sums, toeplitz, unreflect

SIZES = [2, 3, 6, 7]


def random(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=Generator().manual_seed(len(shape)), dtype=torch.float64)


def covariance(n: int) -> Tensor:
    line = torch.linspace(0, 1, n, dtype=torch.float64)
    return torch.exp(-4 * line.square()) * torch.cos(9 * line) + 0.1 * (line == 0)


def test_even_and_odd_matrices() -> None:
    column = random(4)
    for parity in (1, -1):
        matrix = toeplitz(column, parity)
        for i in range(4):
            for j in range(4):
                assert matrix[i, j] == (column[i - j] if i >= j else parity * column[j - i])


@pytest.mark.parametrize("parity", [1, -1])
@pytest.mark.parametrize("n", SIZES)
def test_sums_are_the_adjoint(n: int, parity: int) -> None:
    column, a, b = random(n), random(n, 3), random(3, n).T
    expected = (toeplitz(column, parity) * (a @ b.T)).sum()
    torch.testing.assert_close(column @ sums(a, b, parity), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("parity", [1, -1])
@pytest.mark.parametrize("shape", [(6,), (7, 3)])
def test_products_have_the_gradients_of_the_matrix(shape: tuple[int, ...], parity: int) -> None:
    def both(dense: bool) -> list[Tensor]:
        column, x = random(shape[0]).requires_grad_(), (2 * random(*shape)).requires_grad_()
        found = (toeplitz(column, parity) if dense else Toeplitz(column, parity)) @ x
        found.square().sum().backward()
        assert column.grad is not None
        assert x.grad is not None
        return [found.detach(), column.grad, x.grad]

    for found, expected in zip(both(dense=False), both(dense=True), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("n", SIZES)
def test_even_and_odd_vectors_take_a_symmetric_matrix_apart(n: int) -> None:
    column, unit = random(n), torch.eye(n, dtype=torch.float64)
    rotation = torch.cat(reflect(unit))
    torch.testing.assert_close(rotation @ rotation.T, unit)
    torch.testing.assert_close(unreflect(*reflect(random(n, 2))), random(n, 2))
    torch.testing.assert_close(torch.block_diag(*halves(column)), rotation @ toeplitz(column) @ rotation.T)


@pytest.mark.parametrize("n", SIZES)
def test_a_root_is_a_root(n: int) -> None:
    column, unit, right = covariance(n), torch.eye(n, dtype=torch.float64), random(n, 3)
    matrix, root = toeplitz(column), Root(column)
    half = root.colour(unit)
    torch.testing.assert_close(half @ half.T, matrix)
    torch.testing.assert_close(root.whiten(half @ right), right)
    torch.testing.assert_close(half.T @ root.adjoint(right), right)
    torch.testing.assert_close(matrix @ root.solve(right), right)
    torch.testing.assert_close(root.logdet, torch.logdet(matrix))
    inverse = torch.linalg.inv(matrix)
    expected = [inverse.diagonal(k).sum() * (2 if k else 1) for k in range(n)]
    torch.testing.assert_close(root.inverse_sums(), torch.stack(expected))


def test_what_is_not_positive_definite_has_no_root() -> None:
    with pytest.raises(torch.linalg.LinAlgError):
        Root(torch.tensor([1.0, 2.0, 0.0], dtype=torch.float64))


def test_solutions_determinants_and_their_gradients() -> None:
    right, direction = random(7, 3), random(3, 7)

    def both(dense: bool) -> list[Tensor]:
        column, b = covariance(7).requires_grad_(), right.clone().requires_grad_()
        matrix = toeplitz(column)
        if dense:
            solution, logdet = torch.linalg.solve(matrix, b), torch.logdet(matrix)
        else:
            solution, logdet = solve(column, Root(column), b)
        (0.3 * logdet + (direction @ solution).square().sum()).backward()
        assert column.grad is not None
        assert b.grad is not None
        return [solution.detach(), logdet.detach(), column.grad, b.grad]

    for found, expected in zip(both(dense=False), both(dense=True), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)
