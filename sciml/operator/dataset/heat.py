r"""Heat equation on the unit circle: :math:`u_t = \nu u_{xx}`, from :math:`u(\cdot, t)` to :math:`u(\cdot, t + dt)`.

Initial fields are Gaussian random fields with finitely many modes, every state is exact up to rounding
(:mod:`sciml.equation.heat`), so the best possible error is that of float32.
"""

from __future__ import annotations

from typing import Any, final

import torch
from torch import Tensor

from sciml.data.periodic_field import periodic_field
from sciml.data.stream import stream
from sciml.equation.heat import Heat
from sciml.operator.base import Dataset, Split
from sciml.operator.stored import stored
from sciml.ranges import Count, Natural, NonNegative, Positive


@final
class HeatDataset(Dataset):
    """One step in training and validation; trajectories, also on a grid twice as fine, in the tests.

    Args:
        points: Grid points, more than ``2 * modes``.
        modes: Highest wavenumber of the initial fields.
        alpha: Their smoothness.
        tau: Their inverse length scale.
        nu: Diffusivity, for a circle of length 1.
        dt: Time between two states.
        steps: States of a test trajectory.
        n_train: Examples for training.
        n_val: Examples for validation.
        n_test: Trajectories for each test.
        seed: Of the initial fields; not the run's seed, so that all runs of a table share them.
    """

    def __init__(
        self,
        *,
        points: Count = 64,
        modes: Count = 8,
        alpha: Positive = 1.0,
        tau: NonNegative = 10.0,
        nu: NonNegative = 0.01,
        dt: Positive = 0.05,
        steps: Count = 10,
        n_train: Count = 256,
        n_val: Count = 64,
        n_test: Count = 64,
        seed: Natural = 0,
    ) -> None:
        self.in_channels = self.out_channels = 1
        self.grid, self.periodic = (points,), (True,)
        self.equation, self.dt, self.steps, self.seed = Heat(nu=nu), dt, steps, seed
        self.sizes = {"train": n_train, "val": n_val, "test": n_test}
        self.law = {"modes": modes, "alpha": alpha, "tau": tau}
        time = {"nu": nu, "dt": dt, "steps": steps}
        self._settings: dict[str, Any] = {"points": points, **self.law, **time, "sizes": self.sizes, "seed": seed}

    def splits(self) -> dict[str, Split]:
        return stored("heat", self._settings, self._make, version=1)

    def _make(self) -> dict[str, Split]:
        points = self.grid[0]
        return {
            "train": self._fields("train", points, 1),
            "val": self._fields("val", points, 1),
            "test": self._fields("test", points, self.steps),
            "test_fine": self._fields("test", 2 * points, self.steps),  # the same fields, not others
        }

    def _fields(self, split: str, points: int, steps: int) -> Split:
        generator = stream(f"heat/{split}", self.seed)
        u0 = periodic_field(self.sizes[split], points, **self.law, generator=generator)
        states = [self.equation.solve(u0, (k + 1) * self._settings["dt"]) for k in range(steps)]
        return Split(u0[..., None].float(), torch.stack(states, dim=1)[..., None].float())

    def reference(self, u: Tensor) -> Tensor:
        return self.equation.solve(u.squeeze(-1).double(), self._settings["dt"]).to(u.dtype)[..., None]
