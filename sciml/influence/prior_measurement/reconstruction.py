r"""The error of a reconstruction with the prior: which training fields did it lean on?

.. math:: m = \Big(\frac1d \|\hat x_\theta - x\|^2\Big)^{1/2}, \qquad
          \hat x_\theta = \frac1K\sum_k S_\theta(y, \xi_k), \qquad y = A(x) + \eta,

the root mean square error of the mean of K samples of a solver S for one observation, an estimate of the posterior
mean, in units of the field. The noise of the observation and the random numbers :math:`\xi_k` of the solver are drawn
once. Over a list of fields the mean square is taken inside the root.

The solver is differentiated with respect to the weights of the denoiser, through all of its steps: of those here
``diffpir`` lets itself; methods that differentiate the denoiser themselves, or write over what they have computed, do
not, and are refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, final

import torch
from torch import Tensor

from sciml.data.stream import stream
from sciml.errors import ConfigError
from sciml.influence.prior_measurement.base import PriorMeasurement
from sciml.ranges import Count, Natural

if TYPE_CHECKING:
    from sciml.diffusion.base import Measurement, Solver
    from sciml.diffusion.training import Denoising


@final
class Reconstruction(PriorMeasurement):
    """Error of a solver's mean.

    Args:
        fields: Numbers in the run's test split, or lists of them.
        measurement: A and the noise of the observation, for fields of the run's shape.
        solver: S.
        draws: K.
    """

    what = "error of the reconstruction"
    y: Tensor

    def __init__(
        self,
        *,
        fields: Sequence[Natural | Sequence[Natural]],
        measurement: Measurement,
        solver: Solver,
        draws: Count = 4,
    ) -> None:
        super().__init__(fields=fields)
        self.measurement, self.solver, self.draws = measurement, solver, draws

    def prepare(self, run: Denoising) -> None:
        """Observe the fields.

        Raises:
            ConfigError: As for every measurement, or the solver cannot be differentiated.
        """
        super().prepare(run)
        clean = self.measurement(self.x)
        noise = [
            torch.randn(clean.shape[1:], generator=stream(f"attribution/observation {i}", 0), dtype=clean.dtype)
            for i in self.numbers
        ]
        self.register_buffer("y", clean + self.measurement.noise_std * torch.stack(noise))
        self._try(run)

    def forward(self, run: Denoising) -> Tensor:
        y = self.y.repeat_interleave(self.draws, dim=0)
        shape = (len(y), *self.x.shape[1:])
        samples = self.solver(y, self.measurement, run.prior(), shape, stream("attribution/solver", 0))
        mean = samples.unflatten(0, (-1, self.draws)).mean(1)
        return (self.shares @ (mean - self.x).square().flatten(1).mean(1)).sqrt()

    def _try(self, run: Denoising) -> None:
        weights = [p.requires_grad for p in run.denoiser.parameters()]
        try:
            run.denoiser.requires_grad_(True)
            with torch.enable_grad():
                found = self(run).sum()
            torch.autograd.grad(found, list(run.denoiser.parameters()), allow_unused=True)
        except RuntimeError as error:
            raise ConfigError(
                f"influence.task.measurement.solver: {type(self.solver).__name__} cannot be differentiated with respect"
                " to the prior's weights; choose /diffusion/solver@influence.task.measurement.solver=diffpir"
            ) from error
        finally:
            for p, kept in zip(run.denoiser.parameters(), weights, strict=True):
                p.requires_grad_(kept)
