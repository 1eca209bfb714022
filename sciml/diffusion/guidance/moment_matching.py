r"""Moment matching: the posterior denoiser under the prior's own covariance at every noise level.

With the prior's moments :math:`\mu_\sigma, \Sigma_\sigma` of x given :math:`x_\sigma`, taken as those of a normal
distribution,

.. math:: E[x | x_\sigma, y] = \mu_\sigma
          + \Sigma_\sigma A^T (A \Sigma_\sigma A^T + \sigma_y^2 I)^{-1} (y - A \mu_\sigma) .

Rozet et al. (2024), *Learning Diffusion Priors from Observations by Expectation Maximization*, eq. 19 and 20, and
Peng et al. (2024), *Improving Diffusion Models for Inverse Problems Using Optimal Posterior Covariance*. Exact for a
Gaussian prior. Deviation: the covariance is the prior's, known in closed form or fitted, and not a Jacobian of a
network, so that nothing is differentiated. Where it is the same for all states of a batch, the system is factored once
a noise level, for all samples and observations; else conjugate gradients solve it for each.
"""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from sciml.diffusion.base import Denoiser, Guidance, Measurement, Prior
from sciml.diffusion.conditioning import Conditioning
from sciml.diffusion.linear import linear
from sciml.errors import RunError
from sciml.linalg.lock_step import conjugate_gradients


@final
class MomentMatching(Guidance):
    """Args:
    iterations: Of conjugate gradients, where the covariance differs between states.
    tolerance: Relative residual at which they end.
    """

    claims: frozenset[str] = frozenset({"mean", "covariance"})

    def __init__(self, *, iterations: int = 50, tolerance: float = 1e-6) -> None:
        self.iterations, self.tolerance = iterations, tolerance

    def __call__(self, prior: Prior, measurement: Measurement, y: Tensor) -> Denoiser:
        a = linear(measurement, "guidance moment_matching")
        if not prior.has_covariance:
            raise RunError(f"guidance moment_matching needs a prior with a covariance; {type(prior).__name__} has none")
        newest: tuple[float, Conditioning | None] = (0.0, None)  # of the last level: a sampler comes back to it

        def denoise(x: Tensor, sigma: float) -> Tensor:
            nonlocal newest
            mean, covariance = prior.posterior(x, sigma)
            assert covariance is not None  # it has one
            if covariance.shared:
                level, gain = newest
                if gain is None or level != sigma:
                    gain = Conditioning(covariance, a, y, before=gain)
                    newest = sigma, gain
                return gain.shift(mean, y)

            def system(w: Tensor) -> Tensor:
                return a(covariance.matvec(a.adjoint(w))) + a.noise_std**2 * w

            limits = {"rtol": self.tolerance, "iterations": self.iterations, "must_converge": False}
            weights, _ = conjugate_gradients(system, torch.clone, y - a(mean), **limits)
            return mean + covariance.matvec(a.adjoint(weights))

        return denoise
