r"""Diffusion processes in their own time, and what they are in noise levels.

Song et al. (2021), *Score-Based Generative Modeling through Stochastic Differential Equations*, eq. 5, with a drift
that is linear, as all of theirs are:

.. math:: dx = f(t)\,x\,dt + g(t)\,dw, \qquad 0 \le t \le 1, \qquad x_t = m(t)\,x_0 + s(t)\,\epsilon .

The moments follow :math:`m' = f m` and :math:`(s^2)' = 2 f s^2 + g^2` (Särkkä and Solin 2019, eq. 5.50 and 5.51). With
the state divided by m such a process is :math:`x_\sigma = x_0 + \sigma\epsilon`, the coordinates of priors here:

.. math:: x_\sigma = \frac{x_t}{m(t)}, \qquad \sigma = \frac{s(t)}{m(t)}, \qquad
          \nabla \log p_t(x_t) = \frac{1}{m(t)} \nabla \log p_\sigma(x_\sigma)
          = \frac{m(t)\,E[x_0 | x_\sigma] - x_t}{s(t)^2} .

Time runs backwards along (eq. 6 and 13)

.. math:: dx = \big(f x - g^2 \nabla\log p_t(x)\big)\,dt + g\,d\bar w, \qquad
          \frac{dx}{dt} = f x - \tfrac12 g^2 \nabla\log p_t(x) .
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import final

import torch
from torch import Tensor

from sciml.diffusion.base import Prior
from sciml.errors import ConfigError
from sciml.ranges import Positive, ProperFraction


class SDE(ABC):
    """A process whose drift is linear, the same for all entries.

    Args:
        prior_std: Standard deviation of the normal distribution that stands for the law at time 1.
        t_min: Where integrations end instead of at time 0, at which a score may not exist.
    """

    def __init__(self, *, prior_std: Positive, t_min: ProperFraction) -> None:
        self.prior_std, self.t_min = prior_std, t_min

    @abstractmethod
    def coefficients(self, t: float) -> tuple[float, float]:
        """Of drift and noise, f and g."""

    @abstractmethod
    def marginal(self, t: float) -> tuple[float, float]:
        """Factor and standard deviation of noise, m and s."""

    @abstractmethod
    def time(self, sigma: float) -> float:
        """When the noise level in coordinates of priors is ``sigma``."""

    @final
    def sigma(self, t: float) -> float:
        """Noise level at time ``t`` in coordinates of priors."""
        mean, std = self.marginal(t)
        return std / mean

    @final
    def to_levels(self, x: Tensor, t: float) -> tuple[Tensor, float]:
        """State and noise level in coordinates of priors from a state at time ``t``."""
        return x / self.marginal(t)[0], self.sigma(t)

    @final
    def from_levels(self, x: Tensor, sigma: float) -> tuple[Tensor, float]:
        """State and time from a state at a noise level in coordinates of priors."""
        t = self.time(sigma)
        return x * self.marginal(t)[0], t

    @final
    def denoise(self, prior: Prior, x: Tensor, t: float) -> Tensor:
        """E[x_0 | x_t = x]: Tweedie's formula, which removes the noise left at the end of a sampler (appendix G)."""
        return prior.posterior(*self.to_levels(x, t)).mean

    @final
    def score(self, prior: Prior, x: Tensor, t: float) -> Tensor:
        """Gradient of the log density of states ``x`` ``(batch, *grid, channels)`` at time ``t``."""
        mean, std = self.marginal(t)
        return (mean * self.denoise(prior, x, t) - x) / std**2

    @final
    def flow(self, prior: Prior, x: Tensor, t: float) -> Tensor:
        """Right side of the probability flow (eq. 13)."""
        drift, diffusion = self.coefficients(t)
        return drift * x - diffusion**2 / 2 * self.score(prior, x, t)

    @final
    def euler(self, before: float, t: float) -> tuple[float, float]:
        """Factor and standard deviation of noise of one step of Euler and Maruyama from ``before`` to ``t``.

        Both coefficients are taken at the later time, the one at which a sampler knows the state.
        """
        drift, diffusion = self.coefficients(t)
        return 1 + drift * (t - before), diffusion * math.sqrt(t - before)

    def chain(self, before: float, t: float) -> tuple[float, float]:
        """The same of the Markov chain that the process is the limit of; that of Euler where there is no other."""
        return self.euler(before, t)


def times(sde: SDE, steps: int) -> list[float]:
    """``steps + 1`` even times from 1 down to ``sde.t_min``."""
    return torch.linspace(1, sde.t_min, steps + 1, dtype=torch.float64).tolist()


class LinearBeta(SDE, ABC):
    r"""One for data of a size about 1, its rate :math:`\beta(t) = \beta_{min} + t(\beta_{max} - \beta_{min})` that of
    Ho et al. (2020), *Denoising Diffusion Probabilistic Models*, in continuous time.

    Args:
        beta_min: Rate at time 0.
        beta_max: Rate at time 1.
        t_min: As in :class:`SDE`; as in the code of Song et al.

    Raises:
        ConfigError: The rate does not grow.
    """

    def __init__(self, *, beta_min: Positive = 0.1, beta_max: Positive = 20.0, t_min: ProperFraction = 1e-3) -> None:
        super().__init__(prior_std=1.0, t_min=t_min)
        if beta_min >= beta_max:
            raise ConfigError(f"sde.beta_min is {beta_min}; it must be below beta_max, {beta_max}")
        self.first, self.growth = beta_min, beta_max - beta_min

    @final
    def beta(self, t: float) -> float:
        """At time ``t``."""
        return self.first + t * self.growth

    @final
    def integral(self, t: float) -> float:
        """From 0 to ``t``."""
        return t * self.first + t**2 / 2 * self.growth

    @final
    def reaches(self, integral: float) -> float:
        """When the integral has this value: the positive root, in the form that does not cancel."""
        return 2 * integral / (self.first + math.sqrt(self.first**2 + 2 * integral * self.growth))
