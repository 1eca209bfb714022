"""Samplers that integrate a process in its own time; see :mod:`sciml.diffusion.process`."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from itertools import pairwise
from typing import final

from torch import Generator, Tensor

from sciml.data.stream import normal
from sciml.diffusion.base import Prior, Sampler, start
from sciml.diffusion.process import SDE, times
from sciml.ranges import Several


class Reverse(Sampler, ABC):
    """Even steps of the reverse process from time 1, then the denoiser.

    The authors' code leaves out the noise of its last step instead (appendix G), which for the chain of the
    variance-exploding process is the same.

    Args:
        sde: The process.
        steps: Number of steps N.

    Raises:
        ConfigError: The process has no such step.
    """

    def __init__(self, *, sde: SDE, steps: Several) -> None:
        self.sde, self.sigma_max = sde, sde.sigma(1.0)
        self._steps = [(t, following, *self.kernel(following, t)) for t, following in pairwise(times(sde, steps))]

    @abstractmethod
    def kernel(self, before: float, t: float) -> tuple[float, float]:
        """Factor and standard deviation of the noise of the forward step that is reversed.

        Raises:
            ConfigError: The process has no such step.
        """

    def correct(self, prior: Prior, x: Tensor, t: float, length: float, generator: Generator) -> Tensor:
        """What is done to a state once a step of this length has brought it to time ``t``; by default nothing."""
        return x

    @final
    def __call__(self, prior: Prior, shape: tuple[int, ...], generator: Generator) -> Tensor:
        sde = self.sde
        x = start(prior, shape, sde.prior_std, generator)
        for t, following, factor, std in self._steps:
            x = reversed_step(x, sde.score(prior, x, t), normal(shape, generator, x), factor, std)
            x = self.correct(prior, x, following, t - following, generator)
        return sde.denoise(prior, x, sde.t_min)


def reversed_step(x: Tensor, score: Tensor, z: Tensor, factor: float, std: float) -> Tensor:
    r""":math:`x - (a - 1)\,x + b^2 \nabla\log p(x) + b z` for the forward step :math:`x' = a x + b z` (appendix E)."""
    return (2 - factor) * x + std**2 * score + std * z


def langevin(x: Tensor, score: Tensor, z: Tensor, snr: float, alpha: float) -> Tensor:
    r""":math:`x + \epsilon\nabla\log p(x) + \sqrt{2\epsilon}\,z` with :math:`\epsilon = 2\alpha(r\|z\|/\|\nabla\|)^2`.

    Algorithms 4 and 5. Norms are means over the batch, as in the authors' code.
    """
    ratio = float(z.flatten(1).norm(dim=1).mean() / score.flatten(1).norm(dim=1).mean())
    step = 2 * alpha * (snr * ratio) ** 2
    return x + step * score + math.sqrt(2 * step) * z
