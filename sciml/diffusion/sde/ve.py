r"""The variance-exploding process, the limit of noise levels in a geometric sequence.

Song et al. (2021), *Score-Based Generative Modeling through Stochastic Differential Equations*, eq. 30 and 31:

.. math:: dx = s(t) \sqrt{2\log\frac{\sigma_{max}}{\sigma_{min}}}\,dw, \qquad
          m = 1, \qquad s(t) = \sigma_{min}\Big(\frac{\sigma_{max}}{\sigma_{min}}\Big)^t .

At time 0 the state has the noise :math:`\sigma_{min}` already: the jump from none to it is not part of the process
(appendix C). The chain that it is the limit of (eq. 8) adds :math:`\sqrt{\sigma_i^2 - \sigma_{i-1}^2}\,z`.
"""

from __future__ import annotations

import math
from typing import final

from sciml.diffusion.process import SDE
from sciml.errors import ConfigError
from sciml.ranges import Positive, ProperFraction


@final
class VE(SDE):
    """Args:
    sigma_min: Noise level at time 0.
    sigma_max: Noise level at time 1, far above the standard deviation of the data.
    t_min: As in :class:`~sciml.diffusion.process.SDE`; as in the authors' code.

    Raises:
        ConfigError: ``sigma_min`` is not below ``sigma_max``.
    """

    def __init__(self, *, sigma_min: Positive = 0.01, sigma_max: Positive = 50.0, t_min: ProperFraction = 1e-5) -> None:
        super().__init__(prior_std=sigma_max, t_min=t_min)
        if sigma_min >= sigma_max:
            raise ConfigError(f"sde.sigma_min is {sigma_min}; it must be below sigma_max, {sigma_max}")
        self.sigma_min, self.ratio = sigma_min, sigma_max / sigma_min

    def coefficients(self, t: float) -> tuple[float, float]:
        return 0.0, self.marginal(t)[1] * math.sqrt(2 * math.log(self.ratio))

    def marginal(self, t: float) -> tuple[float, float]:
        return 1.0, self.sigma_min * self.ratio**t

    def time(self, sigma: float) -> float:
        return math.log(sigma / self.sigma_min) / math.log(self.ratio)

    def chain(self, before: float, t: float) -> tuple[float, float]:
        return 1.0, math.sqrt(self.sigma(t) ** 2 - self.sigma(before) ** 2)
