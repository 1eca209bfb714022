r"""The networks of Score SDE: they see the state of a process and predict the noise in it.

With the process :math:`\bar x_t = m(t)\,x + s(t)\,\epsilon`, :math:`\sigma = s/m` (:mod:`sciml.diffusion.process`), and
:math:`F \approx \epsilon` or, the scaled score, :math:`F \approx -\epsilon = s\,\nabla\log p_t`

.. math:: c_{skip} = 1, \quad c_{out} = \mp\sigma, \quad c_{in} = m, \quad
          c_{noise} = 999\,t \;\text{or}\; \ln\tfrac{\sigma}{2}, \qquad \lambda = \frac{1}{\sigma^2}, \qquad
          t \sim U(t_{min}, 1) .

Song et al. (2021), *Score-Based Generative Modeling through Stochastic Differential Equations*, eq. 7 and appendix C,
weighted so that all times count by the mean square error of the noise (:math:`\lambda(t) = s^2` there); Karras et al.
(2022), *Elucidating the Design Space of Diffusion-Based Generative Models*, table 1, columns VP and VE. The networks of
VP and sub-VP predict the noise and are told the step of 1000, those of VE the score and are told the level.
"""

from __future__ import annotations

from typing import Literal, final

import torch
from torch import Tensor

from sciml.diffusion.preconditioner.base import Coefficients, Scaling
from sciml.diffusion.process import SDE

LAST_STEP = 999


@final
class ScoreNetwork(Scaling):
    """Args:
    sde: The process.
    predicts: ``noise``, or ``score`` for its negative, the score times the noise's standard deviation.
    condition: ``time`` or ``level``: what the network is told.
    """

    def __init__(
        self,
        *,
        sde: SDE,
        predicts: Literal["noise", "score"] = "noise",
        condition: Literal["time", "level"] = "time",
    ) -> None:
        self.sde, self.sign, self.condition = sde, -1.0 if predicts == "noise" else 1.0, condition

    def coefficients(self, sigma: Tensor) -> Coefficients:
        times = [self.sde.time(level) for level in sigma.flatten().tolist()]
        scale = sigma.new_tensor([self.sde.marginal(t)[0] for t in times]).reshape(sigma.shape)
        step = LAST_STEP * sigma.new_tensor(times).reshape(sigma.shape)
        return Coefficients(
            skip=torch.ones_like(sigma),
            out=self.sign * sigma,
            into=scale,
            noise=step if self.condition == "time" else (sigma / 2).log(),
        )

    def weight(self, sigma: Tensor) -> Tensor:
        return 1 / sigma.square()

    def levels(self, uniform: Tensor) -> Tensor:
        first = self.sde.t_min
        times = (first + (1 - first) * uniform).flatten().tolist()
        return uniform.new_tensor([self.sde.sigma(t) for t in times]).reshape(uniform.shape)
