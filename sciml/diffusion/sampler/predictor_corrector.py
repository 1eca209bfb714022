r"""Predictor and corrector: a step of the reverse process, then Langevin steps at the time that it led to.

Song et al. (2021), *Score-Based Generative Modeling through Stochastic Differential Equations*, Algorithm 1 with the
reverse-diffusion predictor of Algorithms 2 and 3 (see :mod:`sciml.diffusion.sampler.reverse_diffusion`) and the
Langevin corrector of Algorithms 4 and 5:

.. math:: x \leftarrow x + \epsilon\nabla\log p_t(x) + \sqrt{2\epsilon}\,z, \qquad
          \epsilon = 2\alpha\Big(\frac{r\|z\|}{\|\nabla\log p_t(x)\|}\Big)^2 ,

:math:`\alpha = 1` for the variance-exploding process and :math:`1 - \beta_i = a_i^2` for the others. Deviation: their
code corrects before it predicts, and so corrects at time 1 and not after the last step; this is the order of the paper.
"""

from __future__ import annotations

from typing import final

from torch import Generator, Tensor

from sciml.data.stream import normal
from sciml.diffusion.base import Prior
from sciml.diffusion.process import SDE
from sciml.diffusion.reverse import Reverse, langevin
from sciml.ranges import Natural, Positive, Several


@final
class PredictorCorrector(Reverse):
    """``1 + corrections`` evaluations a step, and one at the end.

    Args:
        sde: As in :class:`~sciml.diffusion.reverse.Reverse`.
        steps: As there.
        corrections: Langevin steps at each time.
        snr: r, their signal-to-noise ratio.

    Raises:
        ConfigError: As in that class.
    """

    def __init__(self, *, sde: SDE, steps: Several = 500, corrections: Natural = 1, snr: Positive = 0.16) -> None:
        super().__init__(sde=sde, steps=steps)
        self.corrections, self.snr = corrections, snr

    def kernel(self, before: float, t: float) -> tuple[float, float]:
        return self.sde.chain(before, t)

    def correct(self, prior: Prior, x: Tensor, t: float, length: float, generator: Generator) -> Tensor:
        kept, _ = self.kernel(t - length, t)
        for _ in range(self.corrections):
            score, z = self.sde.score(prior, x, t), normal(tuple(x.shape), generator, x)
            x = langevin(x, score, z, self.snr, kept**2)
        return x
