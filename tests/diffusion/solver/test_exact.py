from __future__ import annotations

import pytest
import torch

from sciml.data.stream import stream
from sciml.diffusion.base import Measurement
from sciml.diffusion.measurement.points import Points
from sciml.diffusion.prior.gaussian import Gaussian
from sciml.diffusion.solver.exact import Exact
from sciml.errors import RunError

SHAPE = (8, 1)


def test_useless_observations_leave_the_prior() -> None:
    prior, generator = Gaussian(shape=SHAPE), stream("solver", 0)
    y = torch.ones(4, 3, dtype=torch.float64)
    x = Exact()(y, Points(shape=SHAPE, sensors=3, noise_std=1e9), prior, (4, *SHAPE), generator)
    torch.testing.assert_close(x, prior.sample(4, stream("solver", 0)))


def test_precise_observations_everywhere_give_the_truth() -> None:
    prior = Gaussian(shape=SHAPE)
    points = Points(shape=SHAPE, sensors=8, noise_std=1e-7)
    truth = prior.sample(2, stream("truth", 0))
    x = Exact()(points(truth), points, prior, (2, *SHAPE), stream("solver", 0))
    torch.testing.assert_close(x, truth, atol=1e-6, rtol=0)


class Squares(Measurement):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.flatten(1).square()


def test_it_refuses_what_has_no_closed_form() -> None:
    with pytest.raises(RunError, match="prior Gaussian given Squares has none"):
        Exact()(torch.ones(1, 8), Squares(noise_std=0.1), Gaussian(shape=SHAPE), (1, *SHAPE), stream("solver", 0))
