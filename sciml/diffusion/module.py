"""Posterior sampling as a run that only tests: draw problems from the prior, solve them, judge the samples."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from lightning.pytorch import LightningModule
from torch import Tensor

from sciml.data.stream import normal, stream
from sciml.diffusion.base import ExactPosterior, LinearMeasurement, Measurement, Prior, Score, Solver
from sciml.diffusion.calibration import (
    coverage,
    crps,
    mean_square_error,
    ranks,
    sliced_wasserstein,
    spread_skill,
    variance_ratio,
)
from sciml.diffusion.coloured import solve
from sciml.diffusion.figure import calibration_figure, posterior_figure
from sciml.errors import ConfigError
from sciml.metric import relative_l2_each
from sciml.ranges import Count

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LEVELS = (0.5, 0.9)
FEWEST = 19  # samples that have quantiles as far out as the 90 % interval
DIRECTIONS = 128  # of the sliced Wasserstein distance


class Inverse(LightningModule):
    """Solves the same seeded problems with any solver.

    Truths and noise come from streams of the run's seed that no solver draws from, so every solver
    with that seed sees the same observations.

    Metrics, means over problems: ``rel_l2_sample`` and ``rel_l2_mean`` (relative L2 error of one sample and
    of the mean of the samples), the same of a score under its names; with two samples or more ``crps`` and
    ``spread_skill``, with 19 or more ``coverage_50`` and ``coverage_90``; and, where prior and measurement allow the
    exact posterior and there are two samples, ``mean_error_sd``, ``variance_ratio``, its distance from 1
    ``variance_error``, and ``sliced_wasserstein``, between as many samples of both, entries in units of the
    posterior's standard deviation (see :mod:`sciml.diffusion.calibration`).

    Args:
        shape: Shape of one field, ``(*grid, channels)``; slots refer to it.
        prior: Knows p(x), and draws the truths.
        measurement: The forward model.
        solver: What is judged.
        score: Errors beside those of whole fields.
        problems: Number of truths, each observed once.
        samples: Posterior samples for each observation.
        batch_size: Fields in one call of the solver; a call takes at least one whole problem.
    """

    def __init__(
        self,
        *,
        shape: tuple[Count, ...],
        prior: Prior,
        measurement: Measurement,
        solver: Solver,
        score: Score | None = None,
        problems: Count = 32,
        samples: Count = 64,
        batch_size: Count = 2048,
    ) -> None:
        super().__init__()
        if problems < 1 or samples < 1:
            raise ConfigError(f"diffusion needs problems >= 1 and samples >= 1, not {problems} and {samples}")
        self.shape, self.prior, self.measurement, self.solver = tuple(shape), prior, measurement, solver
        self.score = score
        self.problems, self.samples = problems, samples
        self.chunk = max(1, batch_size // samples)  # problems in one call
        self._seed = torch.initial_seed()
        self._calls = {"operator_calls": 0, "network_evaluations": 0, "backward_passes": 0}
        self._example: dict[str, Tensor] = {}
        self._ranks = torch.zeros(samples + 1, dtype=torch.int64)
        self._comparable = False

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
        self._ranks.zero_()
        parts = [
            self._judge(truth[i : i + self.chunk], y[i : i + self.chunk], generator)
            for i in range(0, self.problems, self.chunk)
        ]
        found = {name: torch.cat([part[name] for part in parts]).mean() for name in parts[0]}
        self._comparable = "mean_error_sd" in found
        if self._comparable:
            found["mean_error_sd"] = found["mean_error_sd"].sqrt()  # the root of the mean, not the mean of roots
            found["variance_error"] = (found["variance_ratio"] - 1).abs()
        if "spread_skill" in found:  # the root of a ratio of means
            spread, skill = torch.cat([part["spread_skill"] for part in parts]).mean(0)
            found["spread_skill"] = (spread / skill).sqrt()
        self.log_dict(found, batch_size=1)

    def _judge(self, truth: Tensor, y: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        """Metrics of some problems, each ``(problems,)``; the mean error is still squared."""
        x = self._solve(y, generator)
        mean = x.mean(1)
        of_samples = [self._errors(sample, truth) for sample in x.unbind(1)]
        found = {f"{name}_sample": torch.stack([e[name] for e in of_samples]).mean(0) for name in of_samples[0]}
        found |= {f"{name}_mean": error for name, error in self._errors(mean, truth).items()}
        self._ranks += ranks(x, truth).cpu()
        if self.samples > 1:
            found |= {"crps": crps(x, truth), "spread_skill": spread_skill(x, truth)}
        if self.samples >= FEWEST:
            found |= {f"coverage_{round(100 * level)}": coverage(x, truth, level) for level in LEVELS}
        exact = self._exact(y) if self.samples > 1 else None
        if exact is not None:
            variance = exact.variance.expand(mean.shape)
            found["mean_error_sd"] = mean_square_error(x, exact.mean, variance)
            found["variance_ratio"] = variance_ratio(x, variance)
            found["sliced_wasserstein"] = self._distance(x, y, variance)
        if not self._example:
            self._example = {
                "truth": truth[0],
                "mean": mean[0],
                "std": x[0].std(0, correction=min(1, self.samples - 1)),
            }
            if isinstance(self.measurement, LinearMeasurement):
                self._example["seen"] = self.measurement.transpose(y[:1])[0]
        return found

    def _errors(self, estimate: Tensor, truth: Tensor) -> dict[str, Tensor]:
        found = {"rel_l2": relative_l2_each(estimate, truth)}
        return found if self.score is None else found | self.score(estimate, truth)

    def _solve(self, y: Tensor, generator: torch.Generator) -> Tensor:
        """Samples ``(problems, samples, *shape)``, with their cost counted."""
        before = self.measurement.calls, self.prior.evaluations, self.prior.backwards
        shape = (y.shape[0] * self.samples, *self.shape)
        x = solve(self.solver, y.repeat_interleave(self.samples, 0), self.measurement, self.prior, shape, generator)
        self._calls["operator_calls"] += self.measurement.calls - before[0]
        self._calls["network_evaluations"] += self.prior.evaluations - before[1]
        self._calls["backward_passes"] += self.prior.backwards - before[2]
        return x.detach().unflatten(0, (y.shape[0], self.samples))

    def _exact(self, y: Tensor) -> ExactPosterior | None:
        """Of each observation, where there is a closed form."""
        return self.prior.exact(self.measurement, y)

    def _distance(self, x: Tensor, y: Tensor, variance: Tensor) -> Tensor:
        """Sliced Wasserstein distance to as many exact samples, in units of the posterior's standard deviation."""
        rows = self._exact(y.repeat_interleave(self.samples, 0))
        assert rows is not None  # the caller has one
        # The same exact samples and directions for every solver, drawn from streams of their own.
        exact = rows.sample(stream("exact", self._seed)).unflatten(0, x.shape[:2])
        scale = variance.sqrt().flatten(1)[:, None]
        scale = scale.where(scale > 0, math.inf)  # what does not vary is left out
        directions = normal((scale.shape[-1], DIRECTIONS), stream("directions", self._seed), x)
        directions = directions / directions.norm(dim=0)
        return sliced_wasserstein(x.flatten(2) / scale, exact.flatten(2) / scale, directions)

    def cost(self) -> dict[str, int | float]:
        """Calls for a batch of problems: of the measurement or its adjoint, of the prior, and through it backwards."""
        calls = -(-self.problems // self.chunk)
        return {name: count / calls for name, count in self._calls.items()}

    def warnings(self) -> list[str]:
        """What a reader of the row must know."""
        return [] if self._comparable else ["no exact posterior: mean_error_sd and variance_ratio are missing"]

    def figures(self) -> dict[str, Figure]:
        """The first problem: truth, what was measured, mean and spread of the samples, error; calibration over all."""
        parts = {name: part.cpu() for name, part in self._example.items()}
        found = {"posterior": posterior_figure(**parts, names=() if self.score is None else self.score.names)}
        # One sample has no interval; samples that all have met the truth exactly have no rank.
        if self.samples > 1 and self._ranks.any():
            found["calibration"] = calibration_figure(self._ranks)
        return found
