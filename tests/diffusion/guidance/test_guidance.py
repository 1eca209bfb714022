from __future__ import annotations

import pytest
import torch

from sciml.data.stream import stream
from sciml.diffusion.base import Posterior, Prior
from sciml.diffusion.guidance.moment_matching import MomentMatching
from sciml.diffusion.guidance.pigdm import PiGDM
from sciml.diffusion.measurement.points import Points
from sciml.diffusion.prior.gaussian import Gaussian
from sciml.diffusion.prior.mixture import Mixture
from sciml.errors import RunError
from sciml.linalg.covariance import Covariance
from sciml.linalg.dense_covariance import DenseCovariance

SHAPE = (6, 1)
POINTS = Points(shape=SHAPE, sensors=3, noise_std=0.2)
Y = torch.tensor([[0.3, -0.2, 0.9], [1.0, 0.0, 2.0]], dtype=torch.float64)


def test_pseudo_inverse_guidance_is_exact_for_white_data_of_its_scale() -> None:
    prior = Gaussian(shape=SHAPE, tau=1e6, mean=0.4, std=1.7)  # a spectrum as good as flat
    x = torch.randn(2, *SHAPE, dtype=torch.float64, generator=stream("x", 0))
    for sigma in (0.1, 1.0, 10.0):
        exact = MomentMatching()(prior, POINTS, Y)(x, sigma)
        torch.testing.assert_close(PiGDM(scale=1.7)(prior, POINTS, Y)(x, sigma), exact, rtol=1e-6, atol=1e-8)
        assert (PiGDM(scale=1.0)(prior, POINTS, Y)(x, sigma) - exact).abs().max() > 1e-4
    assert prior.backwards == 6


def test_covariances_that_differ_between_states_give_what_dense_algebra_gives() -> None:
    prior = Mixture(shape=SHAPE, components=3, spacing=2.0)
    x = prior.sample(2, stream("x", 0))
    mean, covariance = prior.posterior(x, 0.8)
    assert covariance is not None
    found = MomentMatching(iterations=20, tolerance=1e-12)(prior, POINTS, Y)(x, 0.8)
    for i in range(2):
        alone = prior.posterior(x[[i]], 0.8).covariance
        assert alone is not None
        dense = alone.dense(x[0])
        a = torch.eye(6, dtype=torch.float64)[POINTS.index]
        gain = dense @ a.T @ torch.linalg.inv(a @ dense @ a.T + 0.04 * torch.eye(3))
        expected = mean[i].flatten() + gain @ (Y[i] - a @ mean[i].flatten())
        torch.testing.assert_close(found[i].flatten(), expected)


def test_a_covariance_that_is_not_symmetric_gives_what_dense_algebra_gives() -> None:
    matrices = torch.randn(2, 6, 6, dtype=torch.float64, generator=stream("matrices", 0))

    class Product(Covariance):
        symmetric = False

        def matvec(self, x: torch.Tensor) -> torch.Tensor:
            return (matrices @ x.flatten(1).unsqueeze(-1)).reshape(x.shape)

    class Skewed(Prior):
        has_covariance = True

        def forward(self, x_t: torch.Tensor, sigma: float) -> Posterior:
            return Posterior(2 * x_t, Product())

        def sample(self, n: int, generator: torch.Generator) -> torch.Tensor:
            raise NotImplementedError

    x = torch.randn(2, *SHAPE, dtype=torch.float64, generator=stream("x", 0))
    found = MomentMatching(iterations=3, tolerance=1e-12)(Skewed(), POINTS, Y)(x, 0.8)
    a = torch.eye(6, dtype=torch.float64)[POINTS.index]
    for i in range(2):
        gain = matrices[i] @ a.T @ torch.linalg.inv(a @ matrices[i] @ a.T + 0.04 * torch.eye(3))
        mean = 2 * x[i].flatten()
        torch.testing.assert_close(found[i].flatten(), mean + gain @ (Y[i] - a @ mean))


def test_a_prior_without_a_covariance_is_refused() -> None:
    class Bare(Prior):
        def forward(self, x_t: torch.Tensor, sigma: float) -> Posterior:
            return Posterior(x_t, None)

        def sample(self, n: int, generator: torch.Generator) -> torch.Tensor:
            raise NotImplementedError

    with pytest.raises(RunError, match="needs a prior with a covariance; Bare has none"):
        MomentMatching()(Bare(), POINTS, Y)


def test_what_is_shared_says_so() -> None:
    assert DenseCovariance.shared
    assert not Covariance.shared
