"""Helmholtz with walls: dense collocation, standing waves, a made-up solution, and convergence on finer grids."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from sciml.data.neumann_field import neumann_fields
from sciml.data.stream import stream
from sciml.equation.helmholtz import Cavity, _between
from sciml.errors import RunError


def grid(points: int) -> tuple[Tensor, Tensor]:
    x = torch.linspace(0, 1, points, dtype=torch.float64)
    return x.unsqueeze(1), x


def squares(points: int, wavenumber: float = 20.0, n: int = 2) -> Tensor:
    streams = [stream(str(i), 0) for i in range(n)]
    g = neumann_fields(streams, grid(points)[1], modes=8, alpha=3.0, tau=5.0)
    return (wavenumber / (1 + 0.2 * torch.tanh(4 * g))).square()


def test_equals_the_dense_collocation() -> None:
    points = 22
    n = points - 1
    square = squares(points)
    f = torch.randn(points, points, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    j = torch.arange(1, n, dtype=torch.float64)
    sines = torch.sin(math.pi / n * torch.outer(j, j))
    second = sines @ torch.diag(-((math.pi * j) ** 2)) @ torch.linalg.inv(sines)
    eye = torch.eye(n - 1, dtype=torch.float64)
    laplacian = torch.kron(second, eye) + torch.kron(eye, second)
    found = Cavity().solve(square, f)
    for k2, u in zip(square, found, strict=True):
        matrix = laplacian + torch.diag(k2[1:-1, 1:-1].flatten())
        exact = torch.linalg.solve(matrix, f[1:-1, 1:-1].flatten()).reshape(n - 1, n - 1)
        assert (u[1:-1, 1:-1] - exact).norm() < 1e-7 * exact.norm()
        assert u[0].abs().max() == 0
    left = Cavity().residual(square, found, f)
    assert (left.norm(dim=(1, 2)) < 1e-8 * f.norm()).all()


def test_the_matrix_between_low_modes_is_that_of_their_sines() -> None:
    square = squares(12)[0, 1:-1, 1:-1]
    low = torch.zeros(10, 10, dtype=torch.bool)
    low[:3, :4] = low[5, 0] = True
    j = torch.arange(1, 11, dtype=torch.float64)
    sines = (2 / 11) ** 0.5 * torch.sin(math.pi / 11 * torch.outer(j, j))
    modes = torch.stack([torch.outer(sines[m], sines[n]) for m, n in low.nonzero()])
    expected = torch.einsum("aij,ij,bij->ab", modes, square, modes)
    torch.testing.assert_close(_between(square, low), expected)


def test_standing_waves_for_a_constant_wave_number() -> None:
    x, y = grid(33)
    k2 = 400.0
    wave = torch.sin(3 * math.pi * x) * torch.sin(7 * math.pi * y)
    found = Cavity().solve(torch.full((1, 33, 33), k2, dtype=torch.float64), wave)
    torch.testing.assert_close(found[0], wave / (k2 - 58 * math.pi**2), rtol=0, atol=1e-11)


def test_a_made_up_solution_for_a_variable_one() -> None:
    x, y = grid(41)
    pi = math.pi
    square = 300 + 80 * torch.cos(pi * x) * torch.cos(2 * pi * y)
    u = torch.sin(2 * pi * x) * torch.sin(3 * pi * y) + torch.sin(6 * pi * x) * torch.sin(pi * y)
    laplacian = -(pi**2) * (
        13 * torch.sin(2 * pi * x) * torch.sin(3 * pi * y) + 37 * torch.sin(6 * pi * x) * torch.sin(pi * y)
    )
    found = Cavity().solve(square.unsqueeze(0), laplacian + square * u)
    torch.testing.assert_close(found[0], u, rtol=0, atol=1e-7)


def test_the_error_in_space_falls_faster_than_any_power() -> None:
    def solve(points: int) -> Tensor:
        x, y = grid(points)
        source = torch.exp(-((x - 0.5) ** 2 + (y - 0.4) ** 2) / (2 * 0.05**2))
        return Cavity().solve(squares(points), source)[:, :: (points - 1) // 24, :: (points - 1) // 24]

    exact = solve(97)
    errors = [float((solve(points) - exact).norm() / exact.norm()) for points in (25, 49)]
    assert errors[0] < 0.1
    assert errors[1] < 1e-3 * errors[0], errors


def test_a_grid_without_enough_points_a_wave_is_refused() -> None:
    with pytest.raises(RunError, match="too few"):
        Cavity().solve(squares(12, wavenumber=40.0), torch.ones(12, 12, dtype=torch.float64))
