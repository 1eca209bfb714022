"""Posterior sampling as a run that only tests: draw problems from the prior, solve them, judge the samples."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from lightning.pytorch import LightningModule
from torch import Tensor

from sciml.data.stream import normal, stream
from sciml.diffusion.base import LinearMeasurement, Measurement, Prior, Solver
from sciml.diffusion.calibration import coverage, mean_square_error, variance_ratio
from sciml.diffusion.conditioning import Conditioning
from sciml.errors import ConfigError
from sciml.linalg.covariance import FactoredCovariance
from sciml.metric import relative_l2_each

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LEVELS = (0.5, 0.9)


class Inverse(LightningModule):
    """Solves the same seeded problems with any solver.

    Truths and noise come from streams of the run's seed that no solver draws from, so every solver
    with that seed sees the same observations.

    Metrics, means over problems: ``rel_l2_sample`` and ``rel_l2_mean`` (relative L2 error of one sample and
    of the mean of the samples), ``coverage_50`` and ``coverage_90``, and, where prior and measurement allow the
    exact posterior, ``mean_error_sd`` and ``variance_ratio`` (see :mod:`sciml.diffusion.calibration`).

    Args:
        shape: Shape of one field, ``(*grid, channels)``; slots refer to it.
        prior: Knows p(x), and draws the truths.
        measurement: The forward model.
        solver: What is judged.
        problems: Number of truths, each observed once.
        samples: Posterior samples for each observation; at least 19, for the 90 % interval.
        batch_size: Fields in one call of the solver; a call takes at least one whole problem.
    """

    def __init__(
        self,
        *,
        shape: tuple[int, ...],
        prior: Prior,
        measurement: Measurement,
        solver: Solver,
        problems: int = 32,
        samples: int = 64,
        batch_size: int = 2048,
    ) -> None:
        super().__init__()
        if problems < 1 or samples < 19:
            raise ConfigError(f"diffusion needs problems >= 1 and samples >= 19, not {problems} and {samples}")
        self.shape, self.prior, self.measurement, self.solver = tuple(shape), prior, measurement, solver
        self.problems, self.samples = problems, samples
        self.chunk = max(1, batch_size // samples)  # problems in one call
        self._seed = torch.initial_seed()
        self._calls = {"operator_calls": 0, "network_evaluations": 0}
        self._example: dict[str, Tensor] = {}

    def test_dataloader(self) -> list[int]:
        return [0]

    def test_step(self, batch: int, batch_idx: int) -> None:
        # Inference mode would forbid gradients to the solvers that turn them on.
        with torch.inference_mode(False), torch.no_grad():
            self._solve_all()

    def _solve_all(self) -> None:
        truth = self.prior.sample(self.problems, stream("truth", self._seed))
        y = self.measurement(truth)
        y = y + self.measurement.noise_std * normal(tuple(y.shape), stream("noise", self._seed), y)
        generator = stream("solver", self._seed)
        self._calls = dict.fromkeys(self._calls, 0)
        parts = [
            self._judge(truth[i : i + self.chunk], y[i : i + self.chunk], generator)
            for i in range(0, self.problems, self.chunk)
        ]
        found = {name: torch.cat([part[name] for part in parts]).mean() for name in parts[0]}
        if "mean_error_sd" in found:
            found["mean_error_sd"] = found["mean_error_sd"].sqrt()  # the root of the mean, not the mean of roots
        self.log_dict(found, batch_size=1)

    def _judge(self, truth: Tensor, y: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        """Metrics of some problems, each ``(problems,)``; the mean error is still squared."""
        x = self._solve(y, generator)
        mean = x.mean(1)
        found = {
            "rel_l2_sample": torch.stack([relative_l2_each(s, truth) for s in x.unbind(1)]).mean(0),
            "rel_l2_mean": relative_l2_each(mean, truth),
        }
        found |= {f"coverage_{round(100 * level)}": coverage(x, truth, level) for level in LEVELS}
        exact = self._exact(y)
        if exact is not None:
            found["mean_error_sd"] = mean_square_error(x, *exact)
            found["variance_ratio"] = variance_ratio(x, exact[1])
        if not self._example:
            self._example = {"truth": truth[0], "mean": mean[0], "std": x[0].std(0)}
        return found

    def _solve(self, y: Tensor, generator: torch.Generator) -> Tensor:
        """Samples ``(problems, samples, *shape)``, with their cost counted."""
        before = self.measurement.calls, self.prior.evaluations
        shape = (y.shape[0] * self.samples, *self.shape)
        x = self.solver(y.repeat_interleave(self.samples, 0), self.measurement, self.prior, shape, generator)
        self._calls["operator_calls"] += self.measurement.calls - before[0]
        self._calls["network_evaluations"] += self.prior.evaluations - before[1]
        return x.detach().unflatten(0, (y.shape[0], self.samples))

    def _exact(self, y: Tensor) -> tuple[Tensor, Tensor] | None:
        """Mean and variance of the exact posterior, where there is a closed form."""
        if not (self.prior.gaussian and isinstance(self.measurement, LinearMeasurement)):
            return None
        mean, covariance = self.prior.posterior(y.new_zeros(y.shape[0], *self.shape), math.inf)
        if not isinstance(covariance, FactoredCovariance):
            return None
        conditioning = Conditioning(covariance, self.measurement, y)
        return conditioning.shift(mean, y), conditioning.variance(covariance)

    def cost(self) -> dict[str, int | float]:
        """Calls for a batch of problems: of the measurement or its adjoint, and of the prior."""
        calls = -(-self.problems // self.chunk)
        return {name: count / calls for name, count in self._calls.items()}

    def warnings(self) -> list[str]:
        """What a reader of the row must know."""
        if self.prior.gaussian and isinstance(self.measurement, LinearMeasurement):
            return []
        return ["no exact posterior: mean_error_sd and variance_ratio are missing"]

    def figures(self) -> dict[str, Figure]:
        """The first problem: truth, mean of the samples, and two standard deviations around it."""
        from matplotlib.figure import Figure

        figure = Figure(figsize=(6, 3.5), layout="constrained")
        axes = figure.add_subplot(xlabel="entry", ylabel="x", title="first problem")
        truth, mean, std = (self._example[name].flatten().cpu() for name in ("truth", "mean", "std"))
        entries = torch.arange(len(truth))
        axes.fill_between(entries, mean - 2 * std, mean + 2 * std, alpha=0.3, label="mean of samples ± 2 sd")
        axes.plot(entries, mean)
        axes.plot(entries, truth, "k--", label="truth")
        axes.legend()
        return {"posterior": figure}
