from __future__ import annotations

import torch

from sciml.data.stream import stream
from sciml.diffusion.base import LinearMeasurement
from sciml.diffusion.measurement.points import Points
from sciml.diffusion.measurement.solution import solution
from sciml.diffusion.solution.darcy import Darcy
from sciml.diffusion.solution.helmholtz import Helmholtz

SHAPE = (5, 5, 1)


def test_sensors_see_the_solution() -> None:
    points, poisson = Points(shape=SHAPE, sensors=6, noise_std=0.3), Helmholtz(shape=SHAPE, k=0.0)
    composed = solution(solution=poisson, seen=points)
    x = torch.randn(2, *SHAPE, dtype=torch.float64, generator=stream("x", 0))
    torch.testing.assert_close(composed(x), poisson(x).flatten(1)[:, points.index])
    assert composed.noise_std == 0.3
    assert isinstance(composed, LinearMeasurement)
    y = torch.randn(2, 6, dtype=torch.float64, generator=stream("y", 0))
    torch.testing.assert_close((composed(x) * y).sum(), (composed.adjoint(y) * x).sum())


def test_it_is_linear_only_if_both_parts_are() -> None:
    points = Points(shape=SHAPE, sensors=6, noise_std=0.3)
    composed = solution(solution=Darcy(shape=SHAPE), seen=points)
    assert not isinstance(composed, LinearMeasurement)
