"""Drawing posterior samples for a batch of observations: what they cost, and how far they are from exact ones."""

from __future__ import annotations

import math
from typing import final

from torch import Generator, Tensor

from sciml.data.stream import normal, stream
from sciml.diffusion.base import Measurement, Prior, Solver
from sciml.diffusion.calibration import mean_square_error, sliced_wasserstein, variance_ratio
from sciml.diffusion.coloured import solve
from sciml.stage import stage

DIRECTIONS = 128  # of the sliced Wasserstein distance


@final
class Drawing:
    """Samples of p(x | y) by one solver.

    Args:
        solver: Draws them.
        measurement: The forward model.
        prior: Knows p(x).
        shape: Of one field, ``(*grid, channels)``.
        samples: For each observation.
        seed: Of the run: of the exact samples that are compared with, the same for every solver.

    Attributes:
        calls: Of the measurement or its adjoint, of the prior, and through it backwards, so far.
    """

    def __init__(
        self,
        solver: Solver,
        measurement: Measurement,
        prior: Prior,
        shape: tuple[int, ...],
        samples: int,
        seed: int,
    ) -> None:
        self.solver, self.measurement, self.prior = solver, measurement, prior
        self.shape, self.samples, self._seed = shape, samples, seed
        self.calls = {"operator_calls": 0, "network_evaluations": 0, "backward_passes": 0}

    def __call__(self, y: Tensor, generator: Generator) -> Tensor:
        """Samples ``(rows, samples, *shape)`` for observations ``(rows, m)``."""
        before = self.measurement.calls, self.prior.evaluations, self.prior.backwards
        shape = (y.shape[0] * self.samples, *self.shape)
        with stage(lambda: f"{shape[0]} samples, {self.prior.evaluations - before[1]} evaluations of the prior"):
            x = solve(self.solver, y.repeat_interleave(self.samples, 0), self.measurement, self.prior, shape, generator)
        self.calls["operator_calls"] += self.measurement.calls - before[0]
        self.calls["network_evaluations"] += self.prior.evaluations - before[1]
        self.calls["backward_passes"] += self.prior.backwards - before[2]
        return x.detach().unflatten(0, (y.shape[0], self.samples))

    def from_exact(self, x: Tensor, y: Tensor) -> dict[str, Tensor]:
        """How far samples are from the exact posterior, ``(rows,)`` each; the mean error is still squared.

        Args:
            x: Samples ``(rows, samples, *shape)``.
            y: What they were given, ``(rows, m)``.

        Returns:
            Nothing for a single sample, or where the posterior has no closed form.
        """
        exact = self.prior.exact(self.measurement, y) if self.samples > 1 else None
        if exact is None:
            return {}
        variance = exact.variance.expand(len(x), *self.shape)
        return {
            "mean_error_sd": mean_square_error(x, exact.mean, variance),
            "variance_ratio": variance_ratio(x, variance),
            "sliced_wasserstein": self._distance(x, y, variance),
        }

    def _distance(self, x: Tensor, y: Tensor, variance: Tensor) -> Tensor:
        """Sliced Wasserstein distance to as many exact samples, in units of the posterior's standard deviation."""
        rows = self.prior.exact(self.measurement, y.repeat_interleave(self.samples, 0))
        assert rows is not None  # the caller has one
        # The same exact samples and directions for every solver, drawn from streams of their own.
        exact = rows.sample(stream("exact", self._seed)).unflatten(0, x.shape[:2])
        scale = variance.sqrt().flatten(1)[:, None]
        scale = scale.where(scale > 0, math.inf)  # what does not vary is left out
        directions = normal((scale.shape[-1], DIRECTIONS), stream("directions", self._seed), x)
        directions = directions / directions.norm(dim=0)
        return sliced_wasserstein(x.flatten(2) / scale, exact.flatten(2) / scale, directions)


def summarised(found: dict[str, Tensor]) -> dict[str, Tensor]:
    """Of what :meth:`Drawing.from_exact` gives for all observations, the metrics."""
    means = {name: values.mean() for name, values in found.items()}
    if "mean_error_sd" in means:
        means["mean_error_sd"] = means["mean_error_sd"].sqrt()  # the root of the mean, not the mean of roots
        means["variance_error"] = (means["variance_ratio"] - 1).abs()
    return means
