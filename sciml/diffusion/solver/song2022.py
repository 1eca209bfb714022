r"""Projection onto noisy observations before every step of an unconditional sampler, for medical images.

Song, Shen, Xing and Ermon (2022), *Solving Inverse Problems in Medical Imaging with Score-Based Generative Models*,
Algorithm 2, eq. 8 to 10: with noisy observations :math:`y_\sigma = y + \sigma A z`

.. math:: x' = \arg\min_u\; (1 - \lambda) \|u - x\|^2 + \lambda \min_{A v = y_\sigma} \|u - v\|^2
             = x + \lambda A^+ (y_\sigma - A x),

in the norm of their transform T, here the plain one (A = P(Λ) T with an orthogonal T), then an ancestral step.
Deviations: variance-exploding coordinates, as the authors' code; noise levels of Karras et al. (2022); the
pseudo-inverse comes from a factorisation of :math:`A A^T`, so that any linear measurement will do. Where A has small
singular values, as a Radon transform does, :math:`A^+` blows noise up; a ``damping`` :math:`\delta > 0` puts
:math:`A^T (A A^T + \delta I)^{-1}` in its place (theirs is the inverse of a filtered back-projection).
"""

from __future__ import annotations

from typing import final

from torch import Generator, Tensor

from sciml.data.stream import normal
from sciml.diffusion.annealed import Annealed, Step
from sciml.diffusion.base import Measurement, Prior
from sciml.diffusion.levels import Levels
from sciml.diffusion.linear import LeastSquares, linear
from sciml.diffusion.sampler.ddim import renoise
from sciml.ranges import Fraction, NonNegative


@final
class Song2022(Annealed):
    r"""One evaluation a step, no backward pass.

    Args:
        weight: λ in [0, 1]: 1 for observations without noise.
        damping: :math:`\delta`, in units of :math:`A A^T`.
        levels: The noise levels.
    """

    def __init__(
        self,
        *,
        levels: Levels,
        weight: Fraction = 1.0,
        damping: NonNegative = 0.0,
    ) -> None:
        super().__init__(levels=levels)
        self.weight, self.damping = weight, damping

    def begin(self, prior: Prior, measurement: Measurement, y: Tensor, generator: Generator) -> Step:
        a = linear(measurement, "solver song2022")
        squares = LeastSquares(a, y)

        def step(x: Tensor, sigma: float, following: float) -> Tensor:
            noisy = y + sigma * a(normal(tuple(x.shape), generator, x))
            x = x + self.weight * (squares.toward(x, noisy, self.damping) - x)
            return renoise(prior.posterior(x, sigma).mean, x, sigma, following, 1.0, generator)

        return step
