r"""The variance-preserving process, the limit of the Markov chain of DDPM.

Song et al. (2021), *Score-Based Generative Modeling through Stochastic Differential Equations*, eq. 11, 32 and 33, with
:math:`B(t) = \int_0^t \beta`, :math:`\beta(t) = \beta_{min} + t(\beta_{max} - \beta_{min})`:

.. math:: dx = -\tfrac12\beta(t)\,x\,dt + \sqrt{\beta(t)}\,dw, \qquad m = e^{-B/2}, \qquad s^2 = 1 - e^{-B},
          \qquad \sigma^2 = e^{B} - 1 .

The chain that it is the limit of (eq. 10) is :math:`x_i = \sqrt{1 - \beta_i}\,x_{i-1} + \sqrt{\beta_i}\,z`,
:math:`\beta_i = \beta(t_i)\,\Delta t`.
"""

from __future__ import annotations

import math
from typing import final

from sciml.diffusion.process import SDE, LinearBeta
from sciml.errors import ConfigError
from sciml.ranges import Positive


@final
class VP(SDE):
    """For data of a size about 1.

    Args:
        beta_min: Rate at time 0.
        beta_max: Rate at time 1.
        t_min: As in :class:`~sciml.diffusion.process.SDE`; as in the authors' code.

    Raises:
        ConfigError: The rate is not positive or does not grow.
    """

    def __init__(self, *, beta_min: Positive = 0.1, beta_max: Positive = 20.0, t_min: Positive = 1e-3) -> None:
        super().__init__(prior_std=1.0, t_min=t_min)
        self.beta = LinearBeta(beta_min, beta_max).check()

    def coefficients(self, t: float) -> tuple[float, float]:
        beta = self.beta.at(t)
        return -beta / 2, math.sqrt(beta)

    def marginal(self, t: float) -> tuple[float, float]:
        integral = self.beta.integral(t)
        return math.exp(-integral / 2), math.sqrt(-math.expm1(-integral))

    def time(self, sigma: float) -> float:
        return self.beta.time(math.log1p(sigma**2))

    def chain(self, before: float, t: float) -> tuple[float, float]:
        beta = self.beta.at(t) * (t - before)
        if beta > 1:
            raise ConfigError(
                f"sampler.steps is too small: in steps of {t - before:.3g} the chain of sde vp has beta_i = {beta:.3g},"
                " above 1"
            )
        return math.sqrt(1 - beta), math.sqrt(beta)
