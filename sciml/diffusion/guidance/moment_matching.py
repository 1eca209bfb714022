r"""Moment matching: the posterior denoiser under the prior's own covariance at every noise level.

With the prior's moments :math:`\mu_\sigma, \Sigma_\sigma` of x given :math:`x_\sigma`, taken as those of a normal
distribution,

.. math:: E[x | x_\sigma, y] = \mu_\sigma
          + \Sigma_\sigma A^T (A \Sigma_\sigma A^T + \sigma_y^2 I)^{-1} (y - A \mu_\sigma) .

Rozet et al. (2024), *Learning Diffusion Priors from Observations by Expectation Maximization*, eq. 19 and 20, and
Peng et al. (2024), *Improving Diffusion Models for Inverse Problems Using Optimal Posterior Covariance*. Exact for a
Gaussian prior. Deviation: the covariance is the prior's, which may be known in closed form or fitted; then nothing is
differentiated. Where it is the same for all states of a batch, the system is factored once a noise level, for all
samples and observations; else an iterative method solves it for each: conjugate gradients, or, where the covariance is
the Jacobian of a network and so neither symmetric nor positive, minimal residuals. On such a Jacobian conjugate
gradients, which the paper takes, diverge for some states after three to six iterations; the authors' own library
(azula) has minimal residuals too.
"""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from sciml.diffusion.base import Denoiser, Guidance, Measurement, Prior
from sciml.diffusion.conditioning import Conditioning
from sciml.diffusion.linear import linear
from sciml.errors import RunError
from sciml.linalg.lock_step import conjugate_gradients, minimal_residuals
from sciml.ranges import Count, NonNegative


@final
class MomentMatching(Guidance):
    """Args:
    iterations: Of the iterative method, each a product with the covariance, where that differs between states.
    tolerance: Relative residual at which they end.
    """

    claims: frozenset[str] = frozenset({"mean", "covariance"})

    def __init__(self, *, iterations: Count = 50, tolerance: NonNegative = 1e-6) -> None:
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

            limits, off = {"rtol": self.tolerance, "iterations": self.iterations}, y - a(mean)
            if covariance.symmetric:
                weights, _ = conjugate_gradients(system, torch.clone, off, must_converge=False, **limits)
            else:
                weights, _ = minimal_residuals(system, off, **limits)
            return mean + covariance.matvec(a.adjoint(weights))

        return denoise
