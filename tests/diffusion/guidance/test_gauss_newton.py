"""Gauss-Newton guidance beside moment matching, where the equation is linear, and beside the minimum that it seeks."""

from __future__ import annotations

import pytest
import torch
from refusals import accepted
from torch import Tensor

from sciml.data.stream import normal, stream
from sciml.diffusion.base import Posterior, Prior
from sciml.diffusion.coloured import White
from sciml.diffusion.guidance.gauss_newton import SURE, GaussNewton
from sciml.diffusion.guidance.moment_matching import MomentMatching
from sciml.diffusion.measurement.points import Points
from sciml.diffusion.noise.exponential import Exponential
from sciml.diffusion.prior.gaussian import Gaussian
from sciml.diffusion.prior.mixture import Mixture
from sciml.diffusion.solution.darcy import Darcy
from sciml.diffusion.solution.helmholtz import Helmholtz
from sciml.errors import ConfigError, RunError
from sciml.linalg.covariance import FactoredCovariance

N = 5
ONE, SHAPE = (N, N, 1), (N, N, 2)
BOTH = Points(shape=SHAPE, sensors=14, noise_std=0.05)
STATES = torch.zeros(3, *SHAPE, dtype=torch.float64)
POISSON = Helmholtz(shape=ONE, k=0.0, scale=20.0)
DARCY = Darcy(shape=ONE, scale=100.0, rtol=1e-12)
Y = torch.randn(3, 14, dtype=torch.float64, generator=stream("y", 0))


class Matrix(FactoredCovariance):
    """One that may be singular."""

    def __init__(self, matrix: Tensor) -> None:
        self.matrix = matrix

    def matvec(self, x: Tensor) -> Tensor:
        return (x.flatten(1) @ self.matrix).reshape(x.shape)

    def variance(self) -> Tensor:
        return self.matrix.diagonal().reshape(SHAPE)

    def root(self, z: Tensor) -> Tensor:
        raise NotImplementedError


class Known(Prior):
    """Given means and a matrix, whatever the state."""

    has_covariance = True

    def __init__(self, mean: Tensor, matrix: Tensor) -> None:
        super().__init__()
        self.known = Posterior(mean, Matrix(matrix))

    def forward(self, x_t: Tensor, sigma: float) -> Posterior:
        return self.known

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        raise NotImplementedError


def covariance(d: int) -> Tensor:
    factor = normal((d, d), stream("factor", 0), Y)
    return factor @ factor.T / d + 0.1 * torch.eye(d, dtype=torch.float64)


def means() -> Tensor:
    return normal((3, *ONE), stream("mean", 0), Y)


def test_of_a_linear_equation_and_a_normal_law_it_is_moment_matching() -> None:
    d = N * N
    solve = POISSON(torch.eye(d, dtype=torch.float64).reshape(d, *ONE)).reshape(d, d)  # row i: the solution for e_i
    both = torch.stack([torch.eye(d, dtype=torch.float64), solve], dim=-1).reshape(d, -1)
    prior = Known(torch.cat([means(), POISSON(means())], dim=-1), both.T @ covariance(d) @ both)
    found = GaussNewton(solution=POISSON, iterations=2)(prior, BOTH, Y)(STATES, 1.0)
    torch.testing.assert_close(found, MomentMatching()(prior, BOTH, Y)(STATES, 1.0))
    assert GaussNewton(solution=POISSON).claims == MomentMatching.claims


@pytest.mark.parametrize("channels", [(0,), (1,), (0, 1)])
def test_its_steps_end_where_the_density_is_largest(channels: tuple[int, ...]) -> None:
    """There a - mu = Sigma J^T (y - M(a)) / s^2, with the variances of a field of two values on Sigma's diagonal."""
    points = Points(shape=SHAPE, sensors=14, noise_std=0.05, channels=channels)
    joint, low, high = covariance(2 * N * N), -1.0, 1.0
    mean = 0.4 * means().clamp(-1.5, 1.5)
    prior = Known(torch.cat([mean, means()], dim=-1), joint)
    y = points(torch.cat([0.3 * means(), DARCY(0.3 * means())], dim=-1))
    guidance = GaussNewton(solution=DARCY, values=[low, high], iterations=30)
    found = guidance(prior, points, y)(STATES, 1.0)
    a = found[..., :1]
    assert a.abs().max() < 1  # no bound is active: the minimum is a stationary point
    torch.testing.assert_close(found[..., 1:], DARCY(a))

    def seen(a: Tensor) -> Tensor:
        return points(torch.cat([a, DARCY(a)], dim=-1))

    alone = joint.reshape(N * N, 2, N * N, 2)[:, 0, :, 0]
    scale = alone.diagonal().rsqrt()
    correlation = scale[:, None] * alone * scale
    for i in range(3):
        sd = (1 - mean[i].flatten().square()).clamp_min(SURE).sqrt()
        slopes = torch.autograd.functional.jacobian(seen, a[[i]]).reshape(14, -1)
        pull = slopes.T @ (y[i] - seen(a[[i]])[0]) / 0.05**2
        expected = mean[i].flatten() + sd * (correlation @ (sd * pull))
        torch.testing.assert_close(a[i].flatten(), expected, rtol=1e-4, atol=1e-5)
    assert (a - mean).abs().max() > 0.03


def test_states_are_independent_however_many_are_held_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    prior = Known(torch.cat([means(), means()], dim=-1), covariance(2 * N * N))
    guidance = GaussNewton(solution=DARCY, values=[-1.0, 1.0])
    together = guidance(prior, BOTH, Y)(STATES, 1.0)
    monkeypatch.setattr("sciml.diffusion.guidance.gauss_newton.TOGETHER", 1)
    torch.testing.assert_close(guidance(prior, BOTH, Y)(STATES, 1.0), together)


def test_what_it_cannot_be_had_for_is_refused() -> None:
    guidance = GaussNewton(solution=DARCY)
    gaussian = Gaussian(shape=SHAPE)
    with pytest.raises(RunError, match=r"fields of two channels.*, not 1"):
        guidance(gaussian, Points(shape=ONE, sensors=3, noise_std=0.1), Y[:, :3])
    with pytest.raises(RunError, match="needs white noise"):
        guidance(White(gaussian, Exponential(shape=SHAPE)), BOTH, Y)
    mixture = Mixture(shape=SHAPE, components=3)
    with pytest.raises(RunError, match="all states share"):
        guidance(mixture, BOTH, Y)(STATES, 1.0)
    mixture.has_covariance = False
    with pytest.raises(RunError, match="needs a prior with a covariance; Mixture has none"):
        guidance(mixture, BOTH, Y)
    with pytest.raises(ConfigError, match=r"guidance.values are \[1, -1\]; the lower one must come first"):
        GaussNewton(solution=DARCY, values=(1, -1))


def test_what_is_out_of_range_is_refused() -> None:
    assert accepted(GaussNewton, values=[1], iterations=0) == {}
