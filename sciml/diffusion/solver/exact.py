"""Draws from the exact posterior: the ceiling of every table whose prior and measurement have one."""

from __future__ import annotations

from typing import ClassVar, final

from torch import Generator, Tensor

from sciml.diffusion.base import Measurement, Prior, Solver
from sciml.diffusion.linear import linear
from sciml.errors import RunError


@final
class Exact(Solver):
    """Draws without error; needs a linear measurement and a prior that knows its posterior."""

    claims: ClassVar[frozenset[str]] = frozenset({"mean", "covariance"})

    def __call__(
        self, y: Tensor, measurement: Measurement, prior: Prior, shape: tuple[int, ...], generator: Generator
    ) -> Tensor:
        posterior = prior.exact(linear(measurement, "solver exact"), y)
        if posterior is None:
            raise RunError(f"solver exact needs a prior with an exact posterior; {type(prior).__name__} has none")
        return posterior.sample(generator)
