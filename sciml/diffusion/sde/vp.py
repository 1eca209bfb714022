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

from sciml.diffusion.process import LinearBeta
from sciml.errors import ConfigError


@final
class VP(LinearBeta):
    """Arguments are those of :class:`~sciml.diffusion.process.LinearBeta`."""

    def coefficients(self, t: float) -> tuple[float, float]:
        beta = self.beta(t)
        return -beta / 2, math.sqrt(beta)

    def marginal(self, t: float) -> tuple[float, float]:
        integral = self.integral(t)
        return math.exp(-integral / 2), math.sqrt(-math.expm1(-integral))

    def time(self, sigma: float) -> float:
        return self.reaches(math.log1p(sigma**2))

    def chain(self, before: float, t: float) -> tuple[float, float]:
        beta = self.beta(t) * (t - before)
        if beta > 1:
            raise ConfigError(
                f"sampler.steps is too small: in steps of {t - before:.3g} the chain of sde vp has beta_i = {beta:.3g},"
                " above 1"
            )
        return math.sqrt(1 - beta), math.sqrt(beta)
