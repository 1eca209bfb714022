r"""Your own measurement, of which nobody knows the truth: posterior samples, and what can be said of them without it.

Samples of the posterior, averaged over what prior and noise make likely to be measured, miss the measurement by as much
as its noise does,

.. math:: \frac{1}{m} \Big\langle \sum_i \frac{(y - A f)_i^2}{\sigma_i^2} \Big\rangle = 1 ,

because truth and sample have the same joint law with y (Gelman, Meng and Stern 1996, *Posterior Predictive Assessment
of Model Fitness via Realized Discrepancies*). Its standard deviation for n observations is at most
:math:`\sqrt{2 / (m n)}`: what lies far outside says that the noise level, the measurement, the prior or the solver is
not what it should be. (A misfit of one does not say that they are right: where a prior leaves every number of y free,
any noise level is met.)
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, final

import torch
from torch import Tensor

from sciml.data.stream import stream
from sciml.diffusion.base import LinearMeasurement, Measurement, Prior, Solver
from sciml.diffusion.drawing import Drawing, summarised
from sciml.diffusion.figure import fit_figure, observed_figure
from sciml.diffusion.observations import observations
from sciml.diffusion.solved import Solved
from sciml.diffusion.standardised import standardised
from sciml.ranges import Count

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FAR = 4  # standard deviations of the misfit


@final
class Observed(Solved):
    """Draws from p(x | y) for observations y from a file; fields are in the units of the prior's data.

    Metrics, means over observations: ``misfit`` (above), one for samples of the posterior; with two samples or more
    ``rel_sd``, the root mean square of their standard deviation over that of their mean, entries of all channels
    together, in the units that the prior works in: what the samples say of the relative error of their mean; and, where
    prior and measurement allow the exact posterior, ``mean_error_sd``, ``variance_ratio``, ``variance_error`` and
    ``sliced_wasserstein`` as :class:`sciml.diffusion.module.Inverse` has them.

    Arrays, in ``posterior.npz``: ``y`` ``(observations, m)``; ``samples`` ``(observations, samples, *grid, channels)``;
    their ``mean`` and, with two samples or more, ``std``; ``fitted``, A of the samples, their mean
    ``(observations, m)``; ``exact_mean`` and ``exact_std`` where there is an exact posterior.

    Args:
        shape: Shape of one field, ``(*grid, channels)``; slots refer to it.
        prior: Knows p(x).
        measurement: The forward model, of fields in the units of the prior's data.
        solver: Draws the samples.
        path: The file with the observations: ``.npz``, ``.npy``, a folder of these, or HDF5.
        y: Name of their array, ``(m,)`` or any shape of as many numbers, or ``(observations, m)``.
        noise: Name of an array ``(m,)`` with the standard deviation of each number's noise; null: that of the
            measurement for all.
        samples: Posterior samples for each observation.
        batch_size: Fields in one call of the solver; a call takes at least one whole observation.

    Raises:
        UsageError: The file is missing, damaged, or lacks an array; or this has another shape, or a number that is not
            finite; the line says which one is expected.
    """

    def __init__(
        self,
        *,
        shape: tuple[Count, ...],
        prior: Prior,
        measurement: Measurement,
        solver: Solver,
        path: str,
        y: str = "y",
        noise: str | None = None,
        samples: Count = 64,
        batch_size: Count = 2048,
    ) -> None:
        super().__init__(shape, prior, measurement, solver, samples, batch_size)
        self.observations = observations(Path(path), y, noise, measurement, self._any_field())
        self._calls: dict[str, float] = {}
        self._arrays: dict[str, Tensor] = {}
        self._misfit, self._comparable = 1.0, False

    def _any_field(self) -> Tensor:
        """A field ``(1, *shape)`` that the measurement can see: a solution operator does not take every one."""
        if isinstance(self.measurement, LinearMeasurement):
            return torch.zeros(1, *self.shape, dtype=torch.float64)
        return self.prior.units.fields(self.prior.examples(1, stream("example", self._seed)))

    def solve_all(self) -> None:
        y, std = (None if part is None else part.to(self.prior.device) for part in self.observations)
        assert y is not None
        seen, known, weight = standardised(self.measurement, y, self.prior.units, self.shape, std)
        draw = Drawing(self.solver, seen, self.prior, self.shape, self.samples, self._seed)
        generator = stream("solver", self._seed)
        found: list[dict[str, Tensor]] = []
        arrays: list[dict[str, Tensor]] = []
        for rows, given in zip(y.split(self.chunk), known.split(self.chunk), strict=True):
            x = draw(given, generator)
            distances, exact = draw.from_exact(x, given), self.prior.exact(seen, given)
            fit = seen(x.flatten(0, 1)).unflatten(0, x.shape[:2])
            misfit = ((given[:, None] - fit) / seen.noise_std).square().mean((1, 2))
            found.append({"misfit": misfit, **self._spread(x), **distances})
            # What was added to y to make it known, and its weight, are taken back.
            fitted = rows + (fit.mean(1) - given) / weight
            kept = {"y": rows, "fitted": fitted, **self._described(x)}
            if exact is not None:
                kept["exact_mean"] = self.prior.units.fields(exact.mean)
                variance = exact.variance.expand(exact.mean.shape)
                kept["exact_std"] = self.prior.units.size(variance.clamp_min(0).sqrt())
            arrays.append({name: part.cpu() for name, part in kept.items()})
        self._arrays = {name: torch.cat([part[name] for part in arrays]) for name in arrays[0]}
        if isinstance(seen, LinearMeasurement):
            self._arrays["adjoint"] = seen.transpose(known[:1]).cpu()
        self._calls = {name: count / len(found) for name, count in draw.calls.items()}
        metrics = summarised({name: torch.cat([part[name] for part in found]) for name in found[0]})
        self._misfit, self._comparable = float(metrics["misfit"]), "mean_error_sd" in metrics
        self.log_dict(metrics, batch_size=1)

    def _spread(self, x: Tensor) -> dict[str, Tensor]:
        if self.samples == 1:
            return {}
        ratio = x.var(1).flatten(1).mean(1) / x.mean(1).square().flatten(1).mean(1)
        return {"rel_sd": ratio.sqrt()}

    def _described(self, x: Tensor) -> dict[str, Tensor]:
        fields = self.prior.units.fields(x)
        found = {"samples": fields.float(), "mean": fields.mean(1)}
        return found if self.samples == 1 else {**found, "std": fields.std(1)}

    def cost(self) -> dict[str, int | float]:
        """Calls for a batch of observations: of the measurement or its adjoint, the prior, and through it backwards."""
        return dict(self._calls)

    def warnings(self) -> list[str]:
        """What a reader of the row must know."""
        found = [] if self._comparable else ["no exact posterior: mean_error_sd and variance_ratio are missing"]
        spread = math.sqrt(2 / self._arrays["y"].numel())
        if abs(self._misfit - 1) > FAR * spread:
            reason = (
                "samples miss y by more than its noise: is noise_std too small, or prior, measurement or solver wrong?"
                if self._misfit > 1
                else "samples are nearer to y than its noise: is noise_std too large, or does the solver fit the noise?"
            )
            found.append(f"misfit {self._misfit:.3g}, expected 1 ± {spread:.2g}: {reason}")
        return found

    def arrays(self) -> dict[str, dict[str, Tensor]]:
        """The samples and what they say, for a file."""
        return {"posterior": {name: part for name, part in self._arrays.items() if name != "adjoint"}}

    def figures(self) -> dict[str, Figure]:
        """Of the first observation: what was measured, mean, spread and two of the samples; and how they fit y."""
        first = {name: part[0] for name, part in self._arrays.items()}
        y, fitted = first.pop("y"), first.pop("fitted")
        return {"posterior": observed_figure(first, self.prior.names), "fit": fit_figure(y, fitted)}
