r"""The probability flow in even steps of a process's own time.

Song et al. (2021), *Score-Based Generative Modeling through Stochastic Differential Equations*, eq. 13: with the right
side :math:`v(x, t) = f x - \tfrac12 g^2\nabla\log p_t(x)` and steps :math:`h`

.. math:: x' = x - h\,v(x, t), \qquad x \leftarrow x - \tfrac{h}{2}\big(v(x, t) + v(x', t - h)\big),

the second of which only Heun's method has. The denoiser at the end is Euler's step to noise level 0.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, final

from torch import Generator, Tensor

from sciml.diffusion.base import Prior, Sampler, start
from sciml.diffusion.process import SDE, times
from sciml.ranges import Range, Several


@final
class Flow(Sampler):
    """Deterministic, ``order`` evaluations a step and one at the end.

    Args:
        sde: The process.
        steps: Number of steps.
        order: 1 for Euler's method, 2 for Heun's.
    """

    def __init__(self, *, sde: SDE, steps: Several = 100, order: Annotated[int, Range(1, 2)] = 2) -> None:
        self.sde, self.steps, self.sigma_max = sde, steps, sde.sigma(1.0)
        self.order = order  # of the method that was chosen

    def __call__(self, prior: Prior, shape: tuple[int, ...], generator: Generator) -> Tensor:
        sde = self.sde
        x = start(prior, shape, sde.prior_std, generator)
        for t, following in pairwise(times(sde, self.steps)):
            slope = sde.flow(prior, x, t)
            ahead = x + (following - t) * slope
            if self.order == 2:
                ahead = x + (following - t) * (slope + sde.flow(prior, ahead, following)) / 2
            x = ahead
        return sde.denoise(prior, x, sde.t_min)
