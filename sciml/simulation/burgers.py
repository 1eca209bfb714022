"""Burgers on the unit circle, from random initial values.

Three published settings, each a config:

* ``burgers``: the text of Li et al., "Fourier neural operator for parametric partial differential equations", ICLR 2021
  (arXiv 2010.08895): initial values from N(0, 625 (−Δ + 25)^−2), ν = 0.1, the state at t = 1.
* ``burgers_fno_script``: what the script does that the authors published with it (``gen_burgers1.m``):
  N(0, 49² (−Δ + 49)^−2.5) and ν = 1e-3, which makes fronts. The two do not agree; with ν = 0.1 little is left at t = 1.
* ``burgers_pdebench``: Takamoto et al., "PDEBench", NeurIPS 2022 (arXiv 2210.07182): sums of sines, whose ν = 0.01 is
  divided by π, 201 states up to t = 2. Fields with kinks and windows are cut off at a third of the resolution.

Solver: :mod:`sciml.equation.burgers`, instead of splitting with steps of 1e-4 (FNO) and of finite volumes (PDEBench).
With half the step and twice the resolution the last states differ by 3e-6 (relative) at most.
"""

from __future__ import annotations

from typing import ClassVar, Literal, final

import numpy as np
from torch import Tensor

from sciml.data.periodic_field import periodic_fields
from sciml.data.sines import pdebench_sines
from sciml.equation.burgers import PeriodicBurgers
from sciml.equation.spectral import analyse, highest, synthesise
from sciml.errors import RunError
from sciml.ranges import Count, NonNegative, Positive
from sciml.simulation.base import Simulation, generators


@final
class Burgers(Simulation):
    """``tensor`` (count, t, x), the first state at t = 0.

    Args:
        points: Points that are kept.
        resolution: Points of the solver, of which a third are wavenumbers.
        nu: Viscosity ν.
        initial: ``gaussian`` or ``sines``.
        modes: Highest wavenumber of a Gaussian field; for the same modes a seed gives the same field on every grid.
        alpha: Smoothness of a Gaussian field.
        tau: Its inverse length scale.
        sigma: Its amplitude.
        dt: Time between two states.
        frames: States.
        step: Largest step of the solver.

    Raises:
        ValueError: There are too many modes for the resolution.
    """

    version: ClassVar[int] = 1
    periodic = (True,)
    chunk = 64

    def __init__(
        self,
        *,
        points: Count = 1024,
        resolution: Count = 1024,
        nu: Positive = 0.1,
        initial: Literal["gaussian", "sines"] = "gaussian",
        modes: Count = 256,
        alpha: Positive = 2.0,
        tau: NonNegative = 5.0,
        sigma: Positive = 25.0,
        dt: Positive = 1.0,
        frames: Count = 2,
        step: Positive = 0.005,
    ) -> None:
        if modes > highest(resolution):
            raise ValueError(
                f"modes is {modes}; it must be at most {highest(resolution)}, a third of {resolution} points"
            )
        self.points, self.resolution, self.nu = points, resolution, nu
        self.initial, self.modes, self.alpha, self.tau, self.sigma = initial, modes, alpha, tau, sigma
        self.dt, self.frames, self.step = dt, frames, step

    def coordinates(self) -> dict[str, np.ndarray]:
        return {
            "x-coordinate": np.arange(self.points) / self.points,
            "t-coordinate": self.dt * np.arange(self.frames),
        }

    def advance(self, u: Tensor, dt: float) -> Tensor:
        modes = highest(self.resolution)
        if self.points <= 2 * modes:
            raise RunError(
                f"the solver of burgers has {modes} wavenumbers, of which {self.points} points do not hold all: it"
                " has no exact row; resolution should be at most points * 3 / 2"
            )
        u0 = synthesise(analyse(u.squeeze(-1).double(), modes, 1), self.resolution, 1)
        solver = PeriodicBurgers(nu=self.nu)
        return solver.solve(u0, dt=dt, frames=2, step=self.step, points=self.points)[:, 1, :, None].to(u.dtype)

    def samples(self, first: int, count: int, seed: int) -> dict[str, np.ndarray]:
        streams = generators(self.name(), seed, first, count)
        if self.initial == "gaussian":
            law = {"modes": self.modes, "alpha": self.alpha, "tau": self.tau, "sigma": self.sigma}
            u0 = periodic_fields(streams, self.resolution, **law)
        else:
            u0 = pdebench_sines(streams, self.resolution)
        time = {"dt": self.dt, "frames": self.frames, "step": self.step}
        u = PeriodicBurgers(nu=self.nu).solve(u0, **time, points=self.points)
        return {"tensor": u.float().numpy()}
