r"""Decoupled annealing: a clean guess by the probability flow, its posterior under a normal law, noise again.

Zhang et al. (2024), *Improving Diffusion Inverse Problem Solving with Decoupled Noise Annealing*, Algorithm 1: at every
level :math:`\hat x_0(x_\sigma)` comes from a few Euler steps of the probability flow, :math:`x_0` is drawn from

.. math:: p(x_0 | x_\sigma, y) \propto N(x_0; \hat x_0, r_\sigma^2 I)\,p(y | x_0), \qquad r_\sigma = \sigma,

and :math:`x_{\sigma'} = x_0 + \sigma' z`. Deviation: the paper draws :math:`x_0` by Langevin steps; for a linear
measurement that law is normal and is drawn exactly, which is the limit of infinitely many steps and has no step size.
"""

from __future__ import annotations

from itertools import pairwise
from typing import final

from torch import Generator, Tensor

from sciml.data.stream import normal
from sciml.diffusion.annealed import Annealed, Step
from sciml.diffusion.base import Measurement, Prior
from sciml.diffusion.levels import Levels
from sciml.diffusion.linear import LeastSquares, linear
from sciml.ranges import Count


@final
class DAPS(Annealed):
    """``ode_steps`` evaluations a level, no backward pass.

    Args:
        ode_steps: Euler steps from a level to 0.
        levels: The noise levels.
    """

    def __init__(
        self,
        *,
        levels: Levels,
        ode_steps: Count = 5,
    ) -> None:
        super().__init__(levels=levels)
        self.ode_steps = ode_steps

    def begin(self, prior: Prior, measurement: Measurement, y: Tensor, generator: Generator) -> Step:
        a = linear(measurement, "solver daps")
        squares = LeastSquares(a, y)

        def step(x: Tensor, sigma: float, following: float) -> Tensor:
            guess = self._flow(prior, x, sigma)
            # A draw of the normal law: its prior's, moved to agree with observations that have noise of their own.
            drawn = guess + sigma * normal(tuple(x.shape), generator, x)
            noisy = y - a.noise_std * normal(tuple(y.shape), generator, y)
            x = squares.toward(drawn, noisy, (a.noise_std / sigma) ** 2)
            return x + following * normal(tuple(x.shape), generator, x) if following else x

        return step

    def _flow(self, prior: Prior, x: Tensor, sigma: float) -> Tensor:
        bottom = min(self.levels.sigma_min, sigma / 2)
        for here, following in pairwise([*self.levels.between(sigma, bottom, self.ode_steps), 0.0]):
            mean = prior.posterior(x, here).mean
            x = mean + (following / here) * (x - mean)
        return x
