"""The profiled values are where the joint has no slope, whichever way they are found."""

from __future__ import annotations

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
from sciml.pinn.gphm.profile import _Axes, most_probable

LOG_TAU = torch.tensor([1.0, -3.0], dtype=torch.float64)


def slope(equation: Equation, steps: int, *, spectrum: str = "student_t") -> tuple[float, float]:
    """The largest slope of the joint in U after Gauss-Newton steps from zero, and before."""
    conditions: dict[str, Condition] = {"boundary": Dirichlet(n=4)}
    if isinstance(equation, Advection):
        conditions["initial"] = Initial(n=2)
    observations = observe(equation, conditions, dict.fromkeys(equation.inputs, 9), weight=3.0)
    kernels = [SpectralMixture(spectrum=spectrum, components=4, frequency=2.0) for _ in equation.inputs]
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


@pytest.mark.parametrize("equation", [Poisson1d(solution="multi_scale"), Advection(beta=2.0)])
def test_a_linear_equation_is_solved_in_one_step(equation: Equation) -> None:
    after, before = slope(equation, 1)
    assert after < 1e-8 * before


@pytest.mark.parametrize("equation", [AllenCahn1d(solution="multi_scale"), AllenCahn2d()])
def test_a_nonlinear_equation_is_solved_in_a_few(equation: Equation) -> None:
    after, before = slope(equation, 40 if len(equation.inputs) == 1 else 12)
    assert after < 1e-7 * before


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

    from unittest.mock import patch

    start = torch.randn(4, 5, generator=Generator().manual_seed(0), dtype=torch.float64)
    with patch("sciml.pinn.gphm.profile._Axes", Seen):
        most_probable(covariance, observations, [start], LOG_TAU, iterations=1)
    (system,) = made
    columns = [system.forward(unit.reshape(4, 5)) for unit in torch.eye(20, dtype=torch.float64)]
    normal = 1 + torch.stack([column.square().sum() for column in columns])
    torch.testing.assert_close(system.diagonal.flatten(), normal)
    data = torch.randn(len(columns[0]), generator=Generator().manual_seed(1), dtype=torch.float64)
    torch.testing.assert_close(system.adjoint(data).flatten(), torch.stack(columns) @ data)
