"""Chaotic trajectories of the Kuramoto-Sivashinsky equation from sums of sines.

As Brandstetter, Welling and Worrall, "Lie point symmetry data augmentation for neural PDE solvers", ICML 2022 (arXiv
2202.07643), and, after them, Lippe et al., "PDE-Refiner", NeurIPS 2023 (arXiv 2308.05732): 500 states on 256 points
with L = 64 and 0.2 between two states, both up to a tenth larger or smaller, of which the last 140 are kept. Solver:
:mod:`sciml.equation.kuramoto_sivashinsky`; theirs is an implicit Runge-Kutta method with a tolerance of 1e-9, and does
not avoid aliasing.

With the defaults the states of a trajectory are within about 1e-4 of those with half the step after 30 units of time
(two trajectories part by a factor of ten in 25).
"""

from __future__ import annotations

from typing import ClassVar, final

import numpy as np
import torch
from torch import Tensor

from sciml.data.sines import few_sines
from sciml.equation import kuramoto_sivashinsky as equation
from sciml.equation import spectral
from sciml.errors import RunError
from sciml.ranges import Count, FractionBelowOne, Natural, NonNegative, Positive
from sciml.simulation.base import Simulation, generators


@final
class KuramotoSivashinsky(Simulation):
    """``tensor`` (count, t, x), and ``length`` and ``dt`` (count,) where they vary.

    Args:
        points: Points that are kept.
        resolution: Points of the solver, of which a third are wavenumbers.
        length: Period L.
        length_spread: Largest relative deviation of L, uniform.
        dt: Time between two states.
        dt_spread: Largest relative deviation of dt, uniform.
        frames: States of a trajectory.
        warmup: States left out before them.
        step: Largest step of the solver.
        waves: Sines in an initial state.
        highest: Their highest wavenumber, in periods.
        amplitude: Their largest amplitude.

    Raises:
        ValueError: ``highest`` is too high for the resolution.
    """

    version: ClassVar[int] = 1
    periodic = (True,)
    chunk = 64

    def __init__(
        self,
        *,
        points: Count = 256,
        resolution: Count = 256,
        length: Positive = 64.0,
        length_spread: FractionBelowOne = 0.0,
        dt: Positive = 0.2,
        dt_spread: FractionBelowOne = 0.0,
        frames: Count = 140,
        warmup: Natural = 360,
        step: Positive = 0.05,
        waves: Count = 10,
        highest: Count = 3,
        amplitude: NonNegative = 0.5,
    ) -> None:
        if highest > (resolution - 1) // 3:
            raise ValueError(f"highest is {highest}; it must be below a third of {resolution} points")
        self.points, self.resolution = points, resolution
        self.length, self.length_spread = length, length_spread
        self.dt, self.dt_spread = dt, dt_spread
        self.frames, self.warmup, self.step = frames, warmup, step
        self.waves, self.highest, self.amplitude = waves, highest, amplitude

    def coordinates(self) -> dict[str, np.ndarray]:
        return {
            "x-coordinate": self.length / self.points * np.arange(self.points),
            "t-coordinate": self.dt * np.arange(self.frames),
        }

    def advance(self, u: Tensor, dt: float) -> Tensor:
        modes = spectral.highest(self.resolution)
        if self.points <= 2 * modes or self.length_spread:
            raise RunError(
                f"the solver of kuramoto_sivashinsky has {modes} wavenumbers, of which {self.points} points do not hold"
                " all, or a length that a state does not tell: it has no exact row; resolution should be at most"
                " points * 3 / 2, and length_spread 0"
            )
        u0 = spectral.synthesise(spectral.analyse(u.squeeze(-1).double(), modes, 1), self.resolution, 1)
        solver = equation.KuramotoSivashinsky(length=self.length)
        return solver.solve(u0, dt=dt, frames=2, step=self.step, points=self.points)[:, 1, :, None].to(u.dtype)

    def samples(self, first: int, count: int, seed: int) -> dict[str, np.ndarray]:
        streams = generators(self.name(), seed, first, count)
        law = {"waves": self.waves, "highest": self.highest, "amplitude": self.amplitude}
        u0 = few_sines(streams, self.resolution, **law)
        factor = 2 * torch.stack([torch.rand(2, generator=stream, dtype=torch.float64) for stream in streams]) - 1
        length = self.length * (1 + self.length_spread * factor[:, 0])
        dt = self.dt * (1 + self.dt_spread * factor[:, 1])
        time = {"dt": dt, "frames": self.frames, "step": self.step, "warmup": self.warmup}
        u = equation.KuramotoSivashinsky(length=length).solve(u0, **time, points=self.points)
        found = {"tensor": u.float().numpy()}
        if self.length_spread:
            found["length"] = length.float().numpy()
        if self.dt_spread:
            found["dt"] = dt.float().numpy()
        return found
