r"""The sub-VP process: the mean of the variance-preserving one, and never more variance.

Song et al. (2021), *Score-Based Generative Modeling through Stochastic Differential Equations*, eq. 12 and 29, with
:math:`B(t) = \int_0^t \beta`, :math:`\beta(t) = \beta_{min} + t(\beta_{max} - \beta_{min})`:

.. math:: dx = -\tfrac12\beta(t)\,x\,dt + \sqrt{\beta(t)\,(1 - e^{-2B})}\,dw, \qquad m = e^{-B/2},
          \qquad s = 1 - e^{-B}, \qquad \sigma = 2\sinh(B/2) .
"""

from __future__ import annotations

import math
from typing import final

from sciml.diffusion.process import LinearBeta


@final
class SubVP(LinearBeta):
    """Arguments are those of :class:`~sciml.diffusion.process.LinearBeta`."""

    def coefficients(self, t: float) -> tuple[float, float]:
        beta = self.beta(t)
        return -beta / 2, math.sqrt(-beta * math.expm1(-2 * self.integral(t)))

    def marginal(self, t: float) -> tuple[float, float]:
        integral = self.integral(t)
        return math.exp(-integral / 2), -math.expm1(-integral)

    def time(self, sigma: float) -> float:
        return self.reaches(2 * math.asinh(sigma / 2))
