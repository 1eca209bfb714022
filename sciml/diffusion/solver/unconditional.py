"""Samples of the prior that ignore y: the floor of every table. Claims nothing about the posterior."""

from __future__ import annotations

from typing import final

from torch import Generator, Tensor

from sciml.diffusion.base import Measurement, Prior, Sampler, Solver


@final
class Unconditional(Solver):
    """Args:
    sampler: What draws from the prior.
    """

    def __init__(self, *, sampler: Sampler) -> None:
        self.sampler = sampler

    def __call__(
        self, y: Tensor, measurement: Measurement, prior: Prior, shape: tuple[int, ...], generator: Generator
    ) -> Tensor:
        return self.sampler(prior, shape, generator)
