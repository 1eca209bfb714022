"""Draws of the prior itself: the ceiling of a table of samplers. Of a learned prior, data that it was not fitted to."""

from __future__ import annotations

import math
from typing import final

from torch import Generator, Tensor

from sciml.diffusion.base import Prior, Sampler


@final
class Exact(Sampler):
    """Asks for no score."""

    sigma_max = math.inf

    def __call__(self, prior: Prior, shape: tuple[int, ...], generator: Generator) -> Tensor:
        return prior.sample(shape[0], generator)
