r"""Exact posterior of a Gaussian prior under a linear measurement: the ceiling of every table.

Matheron's rule: with :math:`x' \sim p(x)` and :math:`y' = A x' + \eta'`,

.. math:: x = x' + \Sigma A^T (A\Sigma A^T + \sigma_y^2 I)^{-1} (y - y')

is a draw from p(x | y). Journel and Huijbregts (1978); Wilson et al. (2020), *Efficiently Sampling
Functions from Gaussian Process Posteriors*, eq. 10. One solve, no iterations.
"""

from __future__ import annotations

import math
from typing import ClassVar, final

from torch import Generator, Tensor

from sciml.data.stream import normal
from sciml.diffusion.base import LinearMeasurement, Measurement, Prior, Solver
from sciml.diffusion.conditioning import Conditioning
from sciml.errors import RunError


@final
class Exact(Solver):
    """Draws without error; needs a Gaussian prior and a linear measurement."""

    claims: ClassVar[frozenset[str]] = frozenset({"mean", "covariance"})

    def __call__(
        self, y: Tensor, measurement: Measurement, prior: Prior, shape: tuple[int, ...], generator: Generator
    ) -> Tensor:
        if not prior.gaussian or not isinstance(measurement, LinearMeasurement):
            raise RunError(
                "solver exact needs a Gaussian prior and a linear measurement,"
                f" not {type(prior).__name__} and {type(measurement).__name__}"
            )
        x = prior.sample(shape[0], generator)
        covariance = prior.posterior(x, math.inf).covariance
        assert covariance is not None  # a Gaussian prior has one
        noise = measurement.noise_std * normal(tuple(y.shape), generator, y)
        return Conditioning(covariance, measurement, y).shift(x, y - noise)
