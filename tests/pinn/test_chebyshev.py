"""The classical solver: spectral accuracy, and derivatives of the polynomial."""

from __future__ import annotations

import pytest
import torch
from refusals import accepted

from sciml.equation.allen_cahn1d import AllenCahn1d
from sciml.equation.base import Equation
from sciml.equation.operator import partials
from sciml.equation.poisson1d import Poisson1d
from sciml.equation.poisson2d import Poisson2d
from sciml.errors import ConfigError
from sciml.pinn.chebyshev import Chebyshev
from sciml.pinn.condition import Dirichlet
from sciml.pinn.problem.box import Box


def build(equation: Equation, degree: int) -> Chebyshev:
    grid = dict.fromkeys(equation.inputs, 301)
    return Chebyshev(problem=Box(equation=equation, conditions={"boundary": Dirichlet(n=4)}, grid=grid), degree=degree)


@pytest.mark.parametrize("kind", [Poisson1d, AllenCahn1d])
def test_the_error_falls_spectrally(kind: type[Poisson1d] | type[AllenCahn1d]) -> None:
    equation = kind(solution="multi_scale")
    x = torch.linspace(0, 1, 211, dtype=torch.float64).unsqueeze(1)
    few, enough = (float((build(equation, n).solve()(x) - equation.reference(x)).abs().max()) for n in (50, 110))
    assert few > 1e-5
    assert enough < 1e-11


def test_derivatives_are_those_of_the_solution() -> None:
    equation = Poisson1d(solution="multi_scale")
    field = build(equation, 120).solve()
    x = torch.cat([torch.rand(20, dtype=torch.float64), field.x[[0, 7, 120]]]).unsqueeze(1)
    (along,) = partials(1)
    value, slope, second = field.derivatives(x, 2 * along, along**2)
    torch.testing.assert_close(value, equation.reference(x), rtol=0, atol=1e-10)
    expected = 2 * (torch.cos(x) + 2 * torch.cos(20 * x) - 5 * torch.sin(100 * x))
    torch.testing.assert_close(slope, expected, rtol=0, atol=1e-7)
    torch.testing.assert_close(second, equation.u.second(x), rtol=0, atol=1e-4)


def test_only_intervals() -> None:
    with pytest.raises(ConfigError, match="interval"):
        build(Poisson2d(), 20)


def test_what_is_out_of_range_is_refused() -> None:
    assert accepted(Chebyshev, degree=1) == {}
