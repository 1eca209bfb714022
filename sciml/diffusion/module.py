"""Posterior sampling as a run that only tests: draw problems from the prior, solve them, judge the samples."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from sciml.data.stream import normal, stream
from sciml.diffusion.base import LinearMeasurement, Measurement, Prior, Score, Solver
from sciml.diffusion.calibration import (
    coverage,
    crps,
    ranks,
    spread_skill,
)
from sciml.diffusion.drawing import Drawing, summarised
from sciml.diffusion.figure import calibration_figure, posterior_figure
from sciml.diffusion.solved import Solved
from sciml.metric import relative_l2_each
from sciml.ranges import Count

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LEVELS = (0.5, 0.9)
FEWEST = 19  # samples that have quantiles as far out as the 90 % interval


class Inverse(Solved):
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
        super().__init__(shape, prior, measurement, solver, samples, batch_size)
        self.score, self.problems = score, problems
        self._draw = Drawing(solver, measurement, prior, self.shape, samples, self._seed)
        self._example: dict[str, Tensor] = {}
        self._ranks = torch.zeros(samples + 1, dtype=torch.int64)
        self._comparable = False

    def solve_all(self) -> None:
        truth = self.prior.sample(self.problems, stream("truth", self._seed))
        y = self.measurement(truth)
        y = y + self.measurement.noise_std * normal(tuple(y.shape), stream("noise", self._seed), y)
        generator = stream("solver", self._seed)
        self._draw.calls = dict.fromkeys(self._draw.calls, 0)
        self._ranks.zero_()
        parts = [
            self._judge(truth[i : i + self.chunk], y[i : i + self.chunk], generator)
            for i in range(0, self.problems, self.chunk)
        ]
        found = summarised({name: torch.cat([part[name] for part in parts]) for name in parts[0]})
        self._comparable = "mean_error_sd" in found
        if "spread_skill" in found:  # the root of a ratio of means
            spread, skill = torch.cat([part["spread_skill"] for part in parts]).mean(0)
            found["spread_skill"] = (spread / skill).sqrt()
        self.log_dict(found, batch_size=1)

    def _judge(self, truth: Tensor, y: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        """Metrics of some problems, each ``(problems,)``; the mean error is still squared."""
        x = self._draw(y, generator)
        mean = x.mean(1)
        of_samples = [self._errors(sample, truth) for sample in x.unbind(1)]
        found = {f"{name}_sample": torch.stack([e[name] for e in of_samples]).mean(0) for name in of_samples[0]}
        found |= {f"{name}_mean": error for name, error in self._errors(mean, truth).items()}
        self._ranks += ranks(x, truth).cpu()
        if self.samples > 1:
            found |= {"crps": crps(x, truth), "spread_skill": spread_skill(x, truth)}
        if self.samples >= FEWEST:
            found |= {f"coverage_{round(100 * level)}": coverage(x, truth, level) for level in LEVELS}
        found |= self._draw.from_exact(x, y)
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

    def cost(self) -> dict[str, int | float]:
        """Calls for a batch of problems: of the measurement or its adjoint, of the prior, and through it backwards."""
        calls = -(-self.problems // self.chunk)
        return {name: count / calls for name, count in self._draw.calls.items()}

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
