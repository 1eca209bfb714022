r"""The sub-VP process: the mean of the variance-preserving one, and never more variance.

Song et al. (2021), *Score-Based Generative Modeling through Stochastic Differential Equations*, eq. 12 and 29, with
:math:`B(t) = \int_0^t \beta`, :math:`\beta(t) = \beta_{min} + t(\beta_{max} - \beta_{min})`:

.. math:: dx = -\tfrac12\beta(t)\,x\,dt + \sqrt{\beta(t)\,(1 - e^{-2B})}\,dw, \qquad m = e^{-B/2},
          \qquad s = 1 - e^{-B}, \qquad \sigma = 2\sinh(B/2) .
"""

from __future__ import annotations

import math
from typing import final

from sciml.diffusion.process import SDE, LinearBeta
from sciml.ranges import Positive


@final
class SubVP(SDE):
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
        return -beta / 2, math.sqrt(-beta * math.expm1(-2 * self.beta.integral(t)))

    def marginal(self, t: float) -> tuple[float, float]:
        integral = self.beta.integral(t)
        return math.exp(-integral / 2), -math.expm1(-integral)

    def time(self, sigma: float) -> float:
        return self.beta.time(2 * math.asinh(sigma / 2))
