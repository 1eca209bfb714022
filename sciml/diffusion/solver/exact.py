"""Draws from the exact posterior: the ceiling of every table whose prior and measurement have one."""

from __future__ import annotations

from typing import final

from torch import Generator, Tensor

from sciml.diffusion.base import Measurement, Prior, Solver
from sciml.errors import RunError


@final
class Exact(Solver):
    """Draws without error; needs a prior that knows its posterior given the measurement."""

    claims: frozenset[str] = frozenset({"mean", "covariance"})

    def __call__(
        self, y: Tensor, measurement: Measurement, prior: Prior, shape: tuple[int, ...], generator: Generator
    ) -> Tensor:
        posterior = prior.exact(measurement, y)
        if posterior is None:
            names = f"{type(prior).__name__} given {type(measurement).__name__}"
            raise RunError(f"solver exact needs a posterior in closed form; prior {names} has none")
        return posterior.sample(generator)
