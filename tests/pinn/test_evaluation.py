"""The metrics of a solution that is wrong by a known amount, and the order of the evaluation grid."""

from __future__ import annotations

import pytest
import torch
from pinn_problems import convection
from torch import Tensor, nn

from sciml.equation.base import Equation, Field, NoReference
from sciml.equation.convection import Convection
from sciml.equation.operator import partials
from sciml.errors import ConfigError
from sciml.pinn.baseline import Baseline
from sciml.pinn.condition import Initial
from sciml.pinn.evaluation import check_derivatives, errors, grid, solution_figures
from sciml.pinn.jet import Jet
from sciml.pinn.problem.box import Box

PROBLEM = convection(beta=2.0, n_x=16, n_t=11)
LIKE = torch.zeros((), dtype=torch.float64)


class Off(nn.Module):
    """The reference plus 0.1 + 0.3 t: off by 0.1 to 0.4, with the residual 0.3 everywhere."""

    def forward(self, x: Tensor) -> Tensor:
        return PROBLEM.reference(x) + 0.1 + 0.3 * x[:, :1]


def test_the_grid_is_the_product_of_the_axes() -> None:
    x = grid(PROBLEM).reshape(11, 16, 2)
    assert torch.equal(x[:, 3, 0], PROBLEM.axes["t"])
    assert torch.equal(x[4, :, 1], PROBLEM.axes["x"])


def test_metrics_of_a_known_error() -> None:
    found = errors(PROBLEM, Jet(Off()), LIKE, n=100)
    t = torch.linspace(0, 1, 11, dtype=torch.float64)
    # Over a whole period of an equidistant grid the mean of sin² is 1/2.
    assert found["rel_l2"] == pytest.approx(float(((0.1 + 0.3 * t).square().mean() / 0.5).sqrt()), rel=1e-12)
    assert found["max_error"] == pytest.approx(0.4, rel=1e-12)
    assert found["residual"] == pytest.approx(0.3, rel=1e-12)


class Untold(Convection):
    """Convection of which nobody knows the solution."""

    reference = Equation.reference


def untold() -> Box:
    initial = {"initial": Initial(n=16, random=False)}
    return Box(equation=Untold(beta=2.0), conditions=initial, grid={"t": 11, "x": 16})


def test_without_a_reference_the_row_says_what_the_conditions_leave() -> None:
    found = errors(untold(), Jet(Off()), LIKE, n=100)
    assert set(found) == {"residual", "residual_initial"}
    assert found["residual"] == pytest.approx(0.3, rel=1e-12)
    assert found["residual_initial"] == pytest.approx(0.1, rel=1e-12)


def test_without_a_reference_the_figure_shows_the_residual() -> None:
    figure = solution_figures(untold(), Jet(Off()), LIKE, torch.zeros(1, 2))["u"]
    panels = {axes.get_title(): axes for axes in figure.axes if axes.get_title()}
    assert list(panels) == ["u, network", "|residual|", "collocation points"]
    shown = torch.as_tensor(panels["|residual|"].images[0].get_array())
    torch.testing.assert_close(shown, torch.full_like(shown, 0.3))


def test_what_needs_a_reference_says_that_there_is_none() -> None:
    x = torch.zeros(1, 2)
    equation = Untold(beta=2.0)
    for asked, says in (
        (lambda: equation.reference(x), "Untold has no reference solution"),
        (lambda: equation.boundary(x), "Untold prescribes no boundary values"),
        (lambda: equation.slope(x, 1), "Untold prescribes no slopes"),
        (lambda: Baseline(problem=untold(), predict="mean"), "judged by a reference"),
    ):
        with pytest.raises(NoReference, match=says):
            asked()


def test_the_error_panel_shows_the_error() -> None:
    figure = solution_figures(PROBLEM, Jet(Off()), LIKE)["u"]
    panel = next(axes for axes in figure.axes if axes.get_title() == "|error of u|")
    assert (panel.get_xlabel(), panel.get_ylabel()) == ("t", "x")
    shown = torch.as_tensor(panel.images[0].get_array())
    torch.testing.assert_close(shown[0], 0.1 + 0.3 * torch.linspace(0, 1, 11, dtype=torch.float64))


class Rectified(nn.Module):
    def __init__(self, n: int, m: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(n, 8), nn.ReLU(), nn.Linear(8, m))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


class Curved(Convection):
    """Asks for a second derivative."""

    def residual(self, field: Field, x: Tensor) -> Tensor:
        return field.derivatives(x, partials(2)[1] ** 2)[1]


def test_networks_that_cannot_be_the_solution_are_refused() -> None:
    problem = Box(equation=Curved(), conditions={}, grid={"t": 4, "x": 4})
    points = {"residual": problem.draw(5, torch.Generator().manual_seed(0)).float()}
    check_derivatives(PROBLEM, Rectified(2, 1), points, mode="auto")  # of first order: that it has
    check_derivatives(problem, nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1)), points, mode="auto")
    with pytest.raises(ConfigError, match="zero everywhere for the network Rectified; it needs a smooth activation"):
        check_derivatives(problem, Rectified(2, 1), points, mode="auto")
    with pytest.raises(ConfigError, match=r"Rectified returns \(5, 3\) for 5 points; the problem has 1 unknowns \(u\)"):
        check_derivatives(problem, Rectified(2, 3), points, mode="auto")
    with pytest.raises(ConfigError, match=r"Rectified does not take 2 inputs of torch\.float32: .* same dtype"):
        check_derivatives(problem, Rectified(2, 1).double(), points, mode="auto")
    with pytest.raises(ConfigError, match="cannot be taken of the network Rectified: no Taylor rule for relu"):
        check_derivatives(problem, Rectified(2, 1), points, mode="taylor")
