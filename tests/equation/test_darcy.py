"""Dense matrices, sines, a made-up solution with the order of the scheme, and iterations on every grid."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from sciml.data.neumann_field import neumann_fields
from sciml.data.stream import stream
from sciml.equation.darcy import Darcy
from sciml.errors import RunError

ONE = torch.tensor(1.0, dtype=torch.float64)


def grid(points: int) -> tuple[Tensor, Tensor]:
    along = torch.linspace(0, 1, points, dtype=torch.float64)
    return along.unsqueeze(1), along


def field(points: int, n: int = 2) -> Tensor:
    streams = [stream(str(i), 0) for i in range(n)]
    return neumann_fields(streams, torch.linspace(0, 1, points, dtype=torch.float64), modes=32, alpha=2.0, tau=3.0)


def coefficient(points: int, n: int = 2) -> Tensor:
    return torch.where(field(points, n) >= 0, 12.0, 3.0).double()


@pytest.mark.parametrize("average", ["arithmetic", "harmonic"])
def test_equals_the_dense_matrix_of_the_scheme(average: str) -> None:
    n = 7
    a = field(n + 1)[0].exp()
    f = field(n + 1)[1]
    mean = {"arithmetic": lambda p, q: (p + q) / 2, "harmonic": lambda p, q: 2 / (1 / p + 1 / q)}[average]
    inner = [(i, j) for i in range(1, n) for j in range(1, n)]
    matrix = torch.zeros(len(inner), len(inner), dtype=torch.float64)
    for row, (i, j) in enumerate(inner):
        for di, dj in ((1, 0), (-1, 0), (0, 1), (0, -1)):
            face = mean(a[i, j], a[i + di, j + dj]) * n**2
            matrix[row, row] += face
            if (i + di, j + dj) in inner:
                matrix[row, inner.index((i + di, j + dj))] -= face
    exact = torch.linalg.solve(matrix, f[1:-1, 1:-1].flatten()).reshape(n - 1, n - 1)
    found = Darcy(average=average).solve(a.unsqueeze(0), f, rtol=1e-12)
    torch.testing.assert_close(found.u[0, 1:-1, 1:-1], exact, rtol=1e-9, atol=1e-12)
    edge = torch.ones(n + 1, n + 1, dtype=torch.bool)
    edge[1:-1, 1:-1] = False
    assert found.u[0][edge].abs().max() == 0


def test_sines_are_the_solutions_for_a_constant_coefficient() -> None:
    points, c = 24, 2.5
    x, y = grid(points)
    wave = torch.sin(math.pi * x) * torch.sin(2 * math.pi * y)
    h = 1 / (points - 1)
    eigenvalue = 4 / h**2 * (math.sin(math.pi * h / 2) ** 2 + math.sin(math.pi * h) ** 2)
    found = Darcy().solve(torch.full((1, points, points), c), wave, rtol=1e-10)
    torch.testing.assert_close(found.u[0], wave / (c * eigenvalue), rtol=0, atol=1e-11)
    assert found.iterations.item() <= 2


def made_up(points: int, average: str) -> float:
    """Largest error for u = sin πx sin 2πy and a = 2 + cos πx cos πy."""
    x, y = grid(points)
    pi = math.pi
    a = 2 + torch.cos(pi * x) * torch.cos(pi * y)
    u = torch.sin(pi * x) * torch.sin(2 * pi * y)
    a_x, a_y = -pi * torch.sin(pi * x) * torch.cos(pi * y), -pi * torch.cos(pi * x) * torch.sin(pi * y)
    u_x, u_y = pi * torch.cos(pi * x) * torch.sin(2 * pi * y), 2 * pi * torch.sin(pi * x) * torch.cos(2 * pi * y)
    f = 5 * pi**2 * a * u - a_x * u_x - a_y * u_y
    found = Darcy(average=average).solve(a.unsqueeze(0), f, rtol=1e-9)
    return float((found.u[0] - u).abs().max())


@pytest.mark.parametrize("average", ["arithmetic", "harmonic"])
def test_the_order_in_space_is_two(average: str) -> None:
    errors = [made_up(points, average) for points in (17, 33, 65)]
    orders = [math.log2(a / b) for a, b in pairwise(errors)]
    assert orders == pytest.approx([2, 2], abs=0.1), (errors, orders)


def test_iterations_do_not_grow_with_the_grid_and_the_residual_is_as_said() -> None:
    taken = {}
    for points in (33, 85, 137, 34, 200):
        a = coefficient(points)
        found = Darcy().solve(a, ONE)
        left = Darcy().residual(a, found.u, ONE).flatten(1).norm(dim=1) / (points - 2)
        torch.testing.assert_close(found.residual, left)
        assert left.max() < 1e-8
        taken[points] = int(found.iterations.max())
    assert max(taken[points] for points in (85, 137)) <= 14, taken  # with a V-cycle
    assert max(taken.values()) <= 22, taken


def test_sources_of_any_size_and_a_precision_that_cannot_be() -> None:
    a = coefficient(20)
    u = Darcy().solve(a, ONE).u
    torch.testing.assert_close(Darcy().solve(a, 1e-60 * ONE).u * 1e60, u, rtol=1e-6, atol=1e-12)
    assert Darcy().solve(a, 0 * ONE).u.abs().max() == 0
    with pytest.raises(RunError, match=r"iterations|rounding"):
        Darcy().solve(a, ONE, rtol=1e-18)
    with pytest.raises(ValueError, match="harmonic"):
        Darcy(average="geometric")
