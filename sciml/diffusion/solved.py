"""What runs of posterior sampling share: their slots, and a test in which solvers may take gradients."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from lightning.pytorch import LightningModule

from sciml.diffusion.base import Measurement, Prior, Solver


class Solved(LightningModule, ABC):
    """A module that only tests: it draws posterior samples and says what is to be said of them.

    Args:
        shape: Shape of one field, ``(*grid, channels)``.
        prior: Knows p(x).
        measurement: The forward model.
        solver: Draws the samples.
        samples: Posterior samples for each observation.
        batch_size: Fields in one call of the solver; a call takes at least one whole observation.

    Attributes:
        chunk: Observations in one call of the solver.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        prior: Prior,
        measurement: Measurement,
        solver: Solver,
        samples: int,
        batch_size: int,
    ) -> None:
        super().__init__()
        self.shape, self.prior, self.measurement, self.solver = tuple(shape), prior, measurement, solver
        self.samples, self.chunk = samples, max(1, batch_size // samples)
        self._seed = torch.initial_seed()

    @abstractmethod
    def solve_all(self) -> None:
        """Draw the samples of all observations, and log the metrics; called without gradients."""

    def test_dataloader(self) -> list[int]:
        return [0]

    def test_step(self, batch: int, batch_idx: int) -> None:
        # Inference mode would forbid gradients to the solvers that turn them on.
        with torch.inference_mode(False), torch.no_grad():
            self.solve_all()
