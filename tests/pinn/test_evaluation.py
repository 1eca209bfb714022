"""The metrics of a solution that is wrong by a known amount, and the order of the evaluation grid."""

from __future__ import annotations

import pytest
import torch
from pinn_problems import convection
from torch import Tensor, nn

from sciml.pinn.evaluation import errors, grid, solution_figures
from sciml.pinn.jet import Jet

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


def test_the_error_panel_shows_the_error() -> None:
    figure = solution_figures(PROBLEM, Jet(Off()), LIKE)["u"]
    panel = next(axes for axes in figure.axes if axes.get_title() == "|error of u|")
    assert (panel.get_xlabel(), panel.get_ylabel()) == ("t", "x")
    shown = torch.as_tensor(panel.images[0].get_array())
    torch.testing.assert_close(shown[0], 0.1 + 0.3 * torch.linspace(0, 1, 11, dtype=torch.float64))
