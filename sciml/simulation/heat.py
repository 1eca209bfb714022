r"""Heat equation on the unit circle from random initial values: :math:`u_t = \nu u_{xx}`.

The initial fields are Gaussian random fields with finitely many modes (:mod:`sciml.data.periodic_field`), and every
state is exact up to rounding (:mod:`sciml.equation.heat`). The same seed gives the same fields on every grid.
"""

from __future__ import annotations

from typing import final

import numpy as np
import torch

from sciml.data.periodic_field import periodic_fields
from sciml.equation.heat import Heat as Equation
from sciml.ranges import Count, NonNegative, Positive, Several
from sciml.simulation.base import Simulation, generators


@final
class Heat(Simulation):
    """Trajectories: ``tensor`` (n, frames, points), the initial values first.

    Args:
        points: Grid points, more than ``2 * modes``.
        modes: Highest wavenumber of the initial fields.
        alpha: Their smoothness, larger is smoother.
        tau: Their inverse length scale.
        nu: Diffusivity (length squared over time).
        dt: Time between two states.
        frames: States of a trajectory.
    """

    version = 1
    periodic = (True,)
    chunk = 64

    def __init__(
        self,
        *,
        points: Count,
        modes: Count,
        alpha: Positive,
        tau: NonNegative,
        nu: NonNegative,
        dt: Positive,
        frames: Several,
    ) -> None:
        self.points, self.modes, self.alpha, self.tau = points, modes, alpha, tau
        self.nu, self.dt, self.frames = nu, dt, frames
        if points <= 2 * modes:
            raise ValueError(f"points is {points}; it must be more than 2 * modes, which is {modes}")
        self._equation = Equation(nu=nu)

    def coordinates(self) -> dict[str, np.ndarray]:
        x = np.arange(self.points) / self.points
        return {"x-coordinate": x, "t-coordinate": self.dt * np.arange(self.frames)}

    def samples(self, first: int, count: int, seed: int) -> dict[str, np.ndarray]:
        law = {"modes": self.modes, "alpha": self.alpha, "tau": self.tau, "sigma": self.tau ** (self.alpha - 0.5)}
        u0 = periodic_fields(generators(self.name(), seed, first, count), self.points, **law)
        states = [self._equation.solve(u0, i * self.dt) for i in range(self.frames)]
        return {"tensor": torch.stack(states, dim=1).float().numpy()}
