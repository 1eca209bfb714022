"""The profiled values are where the joint has no slope, whichever way they are found."""

from __future__ import annotations

from unittest.mock import patch

import pytest
import torch
from torch import Generator, Tensor

from sciml.equation.advection import Advection
from sciml.equation.allen_cahn1d import AllenCahn1d
from sciml.equation.allen_cahn2d import AllenCahn2d
from sciml.equation.base import Equation
from sciml.equation.poisson1d import Poisson1d
from sciml.pinn.condition import Condition, Dirichlet, Initial
from sciml.pinn.gphm.kernel import SpectralMixture
from sciml.pinn.gphm.likelihood import Covariance, negative_log_joint, observe
from sciml.pinn.gphm.profile import _Axes, _least_squares, _Linear, _OneAxis, most_probable

LOG_TAU = torch.tensor([1.0, -3.0], dtype=torch.float64)


def slope(equation: Equation, steps: int, *, n: int = 9) -> tuple[float, float]:
    """The largest slope of the joint in U after Gauss-Newton steps from zero, and before."""
    conditions: dict[str, Condition] = {"boundary": Dirichlet(n=4)}
    if isinstance(equation, Advection):
        conditions["initial"] = Initial(n=2)
    observations = observe(equation, conditions, dict.fromkeys(equation.inputs, n), weight=3.0)
    kernels = [SpectralMixture(components=4, frequency=2.0) for _ in equation.inputs]
    covariance = Covariance(kernels, observations.axes, observations.top, 1e-2)

    def at(z: Tensor) -> float:
        values = covariance.values(z).requires_grad_()
        terms, _ = negative_log_joint(covariance, observations, values, LOG_TAU)
        (gradient,) = torch.autograd.grad(terms["prior"] + terms["boundary"] + terms["equation"], values)
        return float(gradient.abs().max())

    z = start = torch.zeros(observations.fixed.shape, dtype=torch.float64)
    for _ in range(steps):
        z, _ = most_probable(covariance, observations, [z], LOG_TAU, iterations=400)
    return at(z), at(start)


@pytest.mark.parametrize(
    ("equation", "n"), [(Poisson1d(solution="multi_scale"), 9), (Poisson1d(), 8), (Advection(beta=2.0), 9)]
)
def test_a_linear_equation_is_solved_in_one_step(equation: Equation, n: int) -> None:
    after, before = slope(equation, 1, n=n)
    assert after < 1e-8 * before


@pytest.mark.parametrize("equation", [AllenCahn1d(solution="multi_scale"), AllenCahn2d()])
def test_a_nonlinear_equation_is_solved_in_a_few(equation: Equation) -> None:
    after, before = slope(equation, 40 if len(equation.inputs) == 1 else 12)
    assert after < 1e-7 * before


def test_iterations_beyond_rounding_do_no_harm() -> None:
    """Conjugate gradients lose their conjugacy there, and the usual step length lets the error grow exponentially."""
    observations = observe(AllenCahn2d(), {"boundary": Dirichlet(n=4)}, {"x": 16, "y": 16}, weight=200.0)
    covariance = Covariance(
        [SpectralMixture(components=6, frequency=3.0) for _ in "xy"], observations.axes, (2, 2), 1e-6
    )
    weights = {(2, 0): torch.ones(16, 16, dtype=torch.float64), (0, 2): torch.ones(16, 16, dtype=torch.float64)}
    one, many = torch.ones((), dtype=torch.float64), torch.tensor(30.0, dtype=torch.float64)
    system = _Axes(_Linear(covariance.roots, covariance.matrices, weights, observations.fixed, one, many))
    y = torch.randn(16, 16, generator=Generator().manual_seed(0), dtype=torch.float64)
    right = system.data(y, observations.values)

    def height(z: Tensor) -> Tensor:
        return z.square().sum() + (system.forward(z) - right).square().sum()

    with patch("sciml.pinn.gphm.profile.TOLERANCE", 0.0):
        found = [height(_least_squares(system, right, torch.zeros_like(y), n)[0]) for n in (400, 800)]
    torch.testing.assert_close(found[1], found[0], rtol=1e-9, atol=0)


@pytest.mark.parametrize("n", [8, 9])
def test_even_and_odd_functions_are_the_same_problem_apart(n: int) -> None:
    observations = observe(Poisson1d(), {"boundary": Dirichlet(n=2)}, {"x": n}, weight=3.0)
    covariance = Covariance([SpectralMixture(components=4, frequency=2.0)], observations.axes, (2,), 1e-2)
    scales, same = (torch.tensor(v, dtype=torch.float64) for v in (1.3, 0.7)), torch.ones(n, dtype=torch.float64)
    linear = _Linear(covariance.roots, covariance.matrices, {(2,): same, (0,): -2 * same}, observations.fixed, *scales)
    system = _OneAxis(linear)
    assert system.halved
    whole = system._whole(linear).jacobian
    z, y, values = (torch.randn(k, generator=Generator().manual_seed(k), dtype=torch.float64) for k in (n, n, 2))
    torch.testing.assert_close(system.forward(z).square().sum(), (whole @ z).square().sum())
    expected = whole.T @ torch.cat([1.3 * y, 0.7 * values])
    torch.testing.assert_close(system.adjoint(system.data(y, values)), expected)
    normal = torch.eye(n, dtype=torch.float64) + whole.T @ whole
    torch.testing.assert_close(normal @ system.precondition(z), z)


@pytest.mark.parametrize(
    ("weights", "fixed"),
    [
        ({(1,): [1.0] * 5}, [True, False, False, False, True]),
        ({(2,): [1.0, 1.0, 2.0, 1.0, 1.0]}, [True, False, False, False, True]),
        ({(2,): [1.0] * 5}, [True, False, False, False, False]),
    ],
)
def test_what_mixes_even_and_odd_functions_is_not_taken_apart(weights: dict, fixed: list[bool]) -> None:
    axis, one = torch.linspace(0, 1, 5, dtype=torch.float64), torch.ones((), dtype=torch.float64)
    covariance = Covariance([SpectralMixture(components=2)], [axis], (2,), 1e-2)
    given = {key: torch.tensor(w, dtype=torch.float64) for key, w in weights.items()}
    system = _OneAxis(_Linear(covariance.roots, covariance.matrices, given, torch.tensor(fixed), one, one))
    assert not system.halved
    assert system.parts[0].jacobian.shape == (5 + sum(fixed), 5)


def test_the_diagonal_is_that_of_the_normal_matrix() -> None:
    equation = AllenCahn2d()
    observations = observe(equation, {"boundary": Dirichlet(n=4)}, {"x": 4, "y": 5}, weight=3.0)
    kernels = [SpectralMixture(components=3, frequency=f) for f in (1.0, 2.0)]
    covariance = Covariance(kernels, observations.axes, observations.top, 1e-2)
    made: list[_Axes] = []

    class Seen(_Axes):
        def __init__(self, linear) -> None:
            super().__init__(linear)
            made.append(self)

    start = torch.randn(4, 5, generator=Generator().manual_seed(0), dtype=torch.float64)
    with patch("sciml.pinn.gphm.profile._Axes", Seen):
        most_probable(covariance, observations, [start], LOG_TAU, iterations=1)
    (system,) = made
    columns = [system.forward(unit.reshape(4, 5)) for unit in torch.eye(20, dtype=torch.float64)]
    normal = 1 + torch.stack([column.square().sum() for column in columns])
    torch.testing.assert_close(system.diagonal.flatten(), normal)
    data = torch.randn(len(columns[0]), generator=Generator().manual_seed(1), dtype=torch.float64)
    torch.testing.assert_close(system.adjoint(data).flatten(), torch.stack(columns) @ data)
