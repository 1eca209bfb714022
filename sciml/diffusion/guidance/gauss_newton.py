r"""Gauss-Newton guidance: joint fields (a, u) whose equation is known, conditioned through its solution operator.

Where u = S(a) is the solution of a known equation, the coefficient alone is unknown, and an observation of either
channel is one of a: y = A (a, S(a)) + noise. With the prior's moments of a at a noise level,
:math:`a | x_\sigma \sim N(\mu, \Sigma)`, the most probable a is found by Gauss-Newton steps from :math:`\mu`,

.. math:: a_{k+1} = \mu + \Sigma J_k^T (J_k \Sigma J_k^T + \sigma_y^2 I)^{-1}
          \big(y - A(a_k, S(a_k)) + J_k (a_k - \mu)\big), \qquad J_k = \frac{d}{da} A(a, S(a))\Big|_{a_k},

and :math:`E[(a, u) | x_\sigma, y] \approx (a_K, S(a_K))`: the update of the iterated Kalman filter (Bell and Cathey
1993, *The Iterated Kalman Filter Update as a Gauss-Newton Method*) in the place of that of moment matching
(:mod:`sciml.diffusion.guidance.moment_matching`), which this is for a linear S. Huang et al. (2024), *DiffusionPDE*,
use the equation by the gradient of its residual's norm, through the network; here nothing is differentiated but the
equation.

A coefficient of two values, l and h, has with the mean :math:`\mu_i` the variance :math:`(\mu_i - l)(h - \mu_i)` in
each point, whatever else its law is. So its covariance in each state is known but for correlations, for which those of
the prior's covariance :math:`C_\sigma`, the same for all states, are taken:

.. math:: \Sigma = T C_\sigma T, \qquad T = \mathrm{diag}\sqrt{(\mu_i - l)(h - \mu_i) / C_{\sigma,ii}} .

It is large along the interfaces that are still open and nearly zero inside, which no covariance common to all states
can be, and takes no backward pass, which that of a network (``prior.covariance: network``) does.
"""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from sciml.diffusion.base import Denoiser, Guidance, LinearMeasurement, Measurement, Prior
from sciml.diffusion.coloured import White
from sciml.diffusion.linear import linear
from sciml.diffusion.solution.base import Solution
from sciml.errors import ConfigError, RunError
from sciml.linalg.covariance import Covariance, FactoredCovariance
from sciml.ranges import Count

TOGETHER = 2**22  # entries of the Jacobians held at once: what a cache still holds in part
SURE = 2e-3  # least variance, as a part of the largest: a network's mean is wrong by more where it seems certain


@final
class GaussNewton(Guidance):
    """Args:
        solution: S, from fields of one channel, the first, to those of the second.
        values: l and h of the first channel, in its units; None for one that takes any values.
        iterations: Gauss-Newton steps K at each noise level.

    Raises:
        ConfigError: ``values`` do not rise.
    """

    def __init__(self, *, solution: Solution, values: tuple[float, float] | None = None, iterations: Count = 1) -> None:
        if values is not None and values[0] >= values[1]:
            raise ConfigError(f"guidance.values are {list(values)}; the lower one must come first")
        self.solution, self.values, self.iterations = solution, values, iterations
        if values is None:
            self.claims = frozenset({"mean", "covariance"})  # what is normal is linear, too

    def __call__(self, prior: Prior, measurement: Measurement, y: Tensor) -> Denoiser:
        a = linear(measurement, "guidance gauss_newton")
        if not prior.has_covariance:
            raise RunError(f"guidance gauss_newton needs a prior with a covariance; {type(prior).__name__} has none")
        if isinstance(prior, White):
            raise RunError("guidance gauss_newton needs white noise: an equation holds between the fields themselves")
        seen = a.adjoint(torch.eye(y.shape[-1], dtype=y.dtype, device=y.device))
        if seen.shape[-1] != 2:
            raise RunError(
                f"guidance gauss_newton needs fields of two channels, what an equation is given and what it makes of"
                f" it, not {seen.shape[-1]}"
            )
        part = max(1, TOGETHER // seen.numel())

        def denoise(x: Tensor, sigma: float) -> Tensor:
            mean, covariance = prior.posterior(x, sigma)
            mean, spread = self._law(mean[..., :1], covariance)
            assert covariance is not None  # or there is no law
            alone = covariance.marginal(0, 2)
            found = [
                self._updated(mean[i : i + part], spread[i : i + part], alone, a, seen, y[i : i + part])
                for i in range(0, len(mean), part)
            ]
            known = torch.cat(found)
            return torch.cat([known, self.solution(self._within(known))], dim=-1)

        return denoise

    def _within(self, x: Tensor) -> Tensor:
        """Means of the first channel where the equation is asked about them: a linear update may lead beyond."""
        return x if self.values is None else x.clamp(*self.values)

    def _law(self, mean: Tensor, covariance: Covariance | None) -> tuple[Tensor, Tensor]:
        """Means of the first channel ``(batch, *grid, 1)``, and what multiplies its covariance from both sides."""
        if covariance is None or not covariance.shared:
            raise RunError("guidance gauss_newton needs a covariance that all states share, as prior.covariance: data")
        if self.values is None:
            return mean, torch.ones_like(mean)
        if not isinstance(covariance, FactoredCovariance):
            raise RunError("guidance.values need a covariance whose diagonal is known, as prior.covariance: data")
        low, high = self.values
        mean = mean.clamp(low, high)
        variance = ((mean - low) * (high - mean)).clamp_min(SURE * (high - low) ** 2 / 4)
        return mean, (variance / covariance.variance()[..., :1]).sqrt()

    def _updated(
        self, mean: Tensor, spread: Tensor, covariance: Covariance, a: LinearMeasurement, seen: Tensor, y: Tensor
    ) -> Tensor:
        """The first channel given observations; ``seen`` are the rows of A."""
        noise = a.noise_std**2 * torch.eye(len(seen), dtype=y.dtype, device=y.device)
        through = seen[..., 1:].flatten(1).any(1)  # who sees the solution
        x, u = mean, torch.zeros_like(mean)
        for _ in range(self.iterations):
            rows = seen[..., :1].repeat(len(x), *[1] * seen.dim())
            if bool(through.any()):
                u, slopes = self.solution.linearised(self._within(x), seen[through, ..., 1:])
                rows[:, through] += slopes
            off = y - a(torch.cat([x, u], dim=-1)) + torch.einsum("bm...,b...->bm", rows, x - mean)
            rows *= spread[:, None]
            system = covariance.gram(rows)
            weights = torch.cholesky_solve(off[..., None], torch.linalg.cholesky((system + system.mT) / 2 + noise))
            moved = torch.einsum("bm...,bm->b...", rows, weights[..., 0])
            x = mean + spread * covariance.matvec(moved)
        return x
