r"""Advection on a periodic interval: :math:`u_t + \beta u_x = 0`, so :math:`u(x, t) = u_0(x - \beta t)` exactly.

.. math:: u_0(x) = \sum_{i=1}^{N} A_i \sin(2\pi k_i x / L + \phi_i), \qquad
          k_i \sim U\{1, \dots, k_{\max}\}, \quad A_i \sim U[0, 1], \quad \phi_i \sim U(0, 2\pi)

After PDEBench (Takamoto et al. 2022, arXiv 2210.07182): ``init_multi`` of its code has N = 2 and k_max = 8, its
advection script k_max = 4, with L = 1, 1024 points and times up to 2. Deviations: the sum is evaluated at the shifted
place, where PDEBench's files come from a finite-volume scheme; the fields that PDEBench replaces by their modulus or
cuts to a window (:func:`sciml.data.sines.pdebench_sines`) are left out, as an exact spectrum is worth more here.
"""

from __future__ import annotations

import math
from typing import final

import numpy as np
import torch

from sciml.ranges import Count, Positive, Several
from sciml.simulation.base import Simulation, generators


@final
class Advection(Simulation):
    """Trajectories: ``tensor`` (n, frames, points), the initial values first.

    Args:
        points: Grid points.
        length: Period L.
        beta: Speed (length over time).
        waves: Sines N in a field.
        k_max: Highest wavenumber; less than half of the points.
        dt: Time between two states.
        frames: States of a trajectory.
    """

    version = 1
    periodic = (True,)
    chunk = 64

    def __init__(
        self, *, points: Count, length: Positive, beta: float, waves: Count, k_max: Count, dt: Positive, frames: Several
    ) -> None:
        self.points, self.length, self.beta = points, length, beta
        self.waves, self.k_max, self.dt, self.frames = waves, k_max, dt, frames
        if points <= 2 * k_max:
            raise ValueError(f"points is {points}; it must be more than 2 * k_max, which is {k_max}")

    def coordinates(self) -> dict[str, np.ndarray]:
        x = self.length * np.arange(self.points) / self.points
        return {"x-coordinate": x, "t-coordinate": self.dt * np.arange(self.frames)}

    def samples(self, first: int, count: int, seed: int) -> dict[str, np.ndarray]:
        k = torch.empty(count, self.waves, dtype=torch.float64)
        amplitude, phase = torch.empty_like(k), torch.empty_like(k)
        for i, generator in enumerate(generators(self.name(), seed, first, count)):
            k[i] = torch.randint(1, self.k_max + 1, (self.waves,), generator=generator)
            amplitude[i].uniform_(generator=generator)
            phase[i].uniform_(0, 2 * math.pi, generator=generator)
        x, t = (torch.from_numpy(self.coordinates()[f"{axis}-coordinate"]) for axis in "xt")
        place = (x - self.beta * t[:, None]) * (2 * math.pi / self.length)  # (frames, points)
        u = torch.zeros(count, self.frames, self.points, dtype=torch.float64)
        for i in range(self.waves):  # one wave at a time: all at once would take N times the memory
            at = k[:, i, None, None] * place + phase[:, i, None, None]
            u += amplitude[:, i, None, None] * at.sin_()
        return {"tensor": u.float().numpy()}
