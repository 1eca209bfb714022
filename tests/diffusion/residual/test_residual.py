"""Zero on what dense solvers of the same equations find, not zero near it, and right in its units."""

from __future__ import annotations

import math

import pytest
import torch
from refusals import accepted
from torch import Tensor

from sciml.data.stream import stream
from sciml.diffusion.joint import Residual
from sciml.diffusion.prior.source_solution import SourceSolution
from sciml.diffusion.residual.darcy import Darcy
from sciml.diffusion.residual.helmholtz import Helmholtz
from sciml.equation.darcy import Darcy as Solver
from sciml.errors import ConfigError

SCALE, OFFSET = (2.0, 0.03), (0.5, -0.01)


def joint(a: Tensor, u: Tensor) -> Tensor:
    """The channels that physical fields are."""
    return torch.stack([(a - OFFSET[0]) / SCALE[0], (u - OFFSET[1]) / SCALE[1]], -1)


def laplacian(n: int) -> Tensor:
    """Second differences of n nodes from 0 to 1 at the inner ones, ``(n - 2, n)``."""
    rows = torch.zeros(n - 2, n, dtype=torch.float64)
    for i in range(n - 2):
        rows[i, i : i + 3] = torch.tensor([1.0, -2.0, 1.0])
    return rows * (n - 1) ** 2


@pytest.mark.parametrize("k", [0.0, 1.0, 7.0])
def test_helmholtz_vanishes_on_the_dense_solution(k: float) -> None:
    nx, ny = 7, 9
    a = torch.randn(2, nx, ny, dtype=torch.float64, generator=stream("a", 0))
    x, y = laplacian(nx)[:, 1:-1], laplacian(ny)[:, 1:-1]
    eye_x, eye_y = (torch.eye(n - 2, dtype=torch.float64) for n in (nx, ny))
    matrix = torch.kron(x, eye_y) + torch.kron(eye_x, y) + k**2 * torch.kron(eye_x, eye_y)
    inner = torch.linalg.solve(matrix, a[:, 1:-1, 1:-1].flatten(1).T).T.reshape(2, nx - 2, ny - 2)
    u = torch.nn.functional.pad(inner, (1, 1, 1, 1))
    residual = Helmholtz(k=k, scale=SCALE, offset=OFFSET)
    assert residual(joint(a, u)).shape == (2, nx - 2, ny - 2)
    assert residual(joint(a, u)).abs().max() < 1e-10
    u[0, 3, 4] += 0.01
    changed = residual(joint(a, u))
    assert changed[1].abs().max() < 1e-10
    # One value moves its own row by the diagonal, and four neighbours.
    assert changed[0, 2, 3].item() == pytest.approx(0.01 * (k**2 - 2 * (nx - 1) ** 2 - 2 * (ny - 1) ** 2))
    assert changed[0, 3, 3].item() == pytest.approx(0.01 * (nx - 1) ** 2)
    assert changed[0, 2, 4].item() == pytest.approx(0.01 * (ny - 1) ** 2)


def test_helmholtz_converges_at_second_order_to_the_equation() -> None:
    k, errors = 3.0, []
    for n in (17, 33):
        x = torch.linspace(0, 1, n, dtype=torch.float64)
        u = torch.outer(torch.sin(math.pi * x), torch.sin(2 * math.pi * x))[None]
        a = (k**2 - 5 * math.pi**2) * u
        errors.append(Helmholtz(k=k, scale=SCALE, offset=OFFSET)(joint(a, u)).abs().max().item())
    assert math.log2(errors[0] / errors[1]) == pytest.approx(2, abs=0.05)


@pytest.mark.parametrize("average", ["arithmetic", "harmonic"])
def test_darcy_vanishes_on_the_solver_s_pairs_of_two_valued_coefficients(average: str) -> None:
    signs = torch.where(torch.randn(2, 12, 12, generator=stream("a", 0)) < 0, -1.0, 1.0).double()
    u = Solver(average=average).solve(7.5 + 4.5 * signs, 2 * torch.ones_like(signs), rtol=1e-12).u
    residual = Darcy(source=2.0, average=average, scale=(4.5, 0.02), offset=(7.5, 0.0))
    x = torch.stack([signs, u / 0.02], -1)
    assert residual(x).abs().max() < 1e-9
    x[0, 5, 5, 0] *= -1
    assert residual(x)[0].abs().max() > 0.1
    assert residual(x)[1].abs().max() < 1e-9


@pytest.mark.parametrize("residual", [Helmholtz(k=1.0, scale=SCALE), Darcy(scale=SCALE, offset=(3.0, 0.0))])
def test_a_residual_is_differentiable_in_both_fields(residual: Residual) -> None:
    x = torch.randn(1, 4, 4, 2, dtype=torch.float64, generator=stream("x", 0)).requires_grad_()
    assert torch.autograd.gradcheck(residual, x)


def test_what_is_no_joint_field_is_named() -> None:
    with pytest.raises(ConfigError, match=r"not \(6, 1\)"):
        Helmholtz(k=0.0, scale=SCALE)(torch.zeros(1, 6, 1))
    with pytest.raises(ConfigError, match="square grid"):
        Darcy(scale=SCALE)(torch.zeros(1, 4, 5, 2))


@pytest.mark.parametrize(("k", "zero_edges"), [(0.0, False), (1.0, True)])
def test_pairs_drawn_from_the_exact_prior_solve_the_equation(k: float, zero_edges: bool) -> None:
    scale = (0.3, 0.004)
    x = SourceSolution(shape=(8, 8, 2), k=k, zero_edges=zero_edges, scale=scale).sample(3, stream("x", 0))
    assert x.abs().max() > 0.5
    residual = Helmholtz(k=k, scale=scale)
    assert residual(x).abs().max() < 1e-10
    assert residual(x * torch.tensor([1.0, 1.01], dtype=torch.float64)).abs().max() > 1e-3


def test_what_is_out_of_range_is_refused() -> None:
    assert accepted(Darcy, average="mean", scale=[1.0], offset=[0.0]) == {}
    assert accepted(Helmholtz, scale=[1.0, 0.0]) == {}
