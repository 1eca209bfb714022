"""Vorticity on the unit torus from Gaussian random fields, forced.

* ``navier_stokes``: Li et al., "Fourier neural operator for parametric partial differential equations", ICLR 2021
  (arXiv 2010.08895), with ν = 1e-3 and 50 units of time, one state a unit; ``navier_stokes_1e-4`` and
  ``navier_stokes_1e-5`` are the same with 30 and 20 units.
* ``navier_stokes_symmetric``: a forcing that is invariant under quarter turns, as in Helwig et al., "Group equivariant
  Fourier neural operators for partial differential equations", ICML 2023 (arXiv 2306.05697).

Those data were made on 256² points by the scheme of Crank and Nicolson with an explicit Euler step for advection,
h = 1e-4, of first order. The solver here (:mod:`sciml.equation.navier_stokes`) is of fourth order. At ν = 1e-3, with
steps of 0.05 on 64² points, states differ from those with half the step on 128² by 6e-9 (relative) after 10 units of
time and 5e-8 after 50. The others take 128² points and steps of 0.01, as velocity and wavenumbers limit the step where
viscosity no longer damps what it makes unstable. At ν = 1e-5 space is what limits: about 0.1 % after 5 units on 128²
points, 1 % on 64². Trajectories part as time goes on.
"""

from __future__ import annotations

import math
from functools import partial
from typing import ClassVar, Literal, final

import numpy as np

from sciml.data.periodic_field2d import periodic_fields2d
from sciml.equation import navier_stokes as equation
from sciml.equation.spectral import highest, widen
from sciml.ranges import Count, NonNegative, Positive
from sciml.simulation.base import Simulation, generators

SIGMA = math.sqrt(2) * 7**1.5  # the authors' for τ = 7, α = 2.5


@final
class NavierStokes(Simulation):
    """``vorticity`` (count, t, x, y), the first state at t = 0.

    Args:
        points: Points a side that are kept: values of the solver's field, not averages.
        resolution: Points a side of the solver, of which a third are wavenumbers.
        nu: Viscosity ν.
        forcing: ``diagonal``, ``symmetric`` or ``none``.
        amplitude: Of the forcing.
        period: Half waves of the symmetric forcing, even.
        modes: Highest wavenumber of an initial field; for the same modes a seed gives the same field on every grid.
        alpha: Smoothness of an initial field.
        tau: Its inverse length scale.
        sigma: Its amplitude; √2 τ^(α − 1) in the first version of the authors' script.
        dt: Time between two states.
        frames: States.
        step: Largest step of the solver.

    Raises:
        ValueError: The period is odd, or there are too many modes for the resolution.
    """

    version: ClassVar[int] = 1
    periodic = (True, True)

    def __init__(
        self,
        *,
        points: Count = 64,
        resolution: Count = 64,
        nu: Positive = 1e-3,
        forcing: Literal["diagonal", "symmetric", "none"] = "diagonal",
        amplitude: NonNegative = 0.1,
        period: Count = 4,
        modes: Count = 21,
        alpha: Positive = 2.5,
        tau: NonNegative = 7.0,
        sigma: Positive = SIGMA,
        dt: Positive = 1.0,
        frames: Count = 51,
        step: Positive = 0.05,
    ) -> None:
        laws = {
            "diagonal": partial(equation.diagonal_forcing, amplitude=amplitude),
            "symmetric": partial(equation.symmetric_forcing, amplitude=amplitude, period=period),
            "none": None,
        }
        if period % 2:
            raise ValueError(f"period is {period}; it must be even, for the forcing to be periodic")
        if modes > highest(resolution):
            raise ValueError(
                f"modes is {modes}; it must be at most {highest(resolution)}, a third of {resolution} points"
            )
        self.points, self.resolution, self.nu = points, resolution, nu
        self.forcing, self.amplitude, self.period = forcing, amplitude, period
        self.modes, self.alpha, self.tau, self.sigma = modes, alpha, tau, sigma
        self.dt, self.frames, self.step = dt, frames, step
        self.chunk = max(1, 16 * 64**2 // resolution**2)
        self._equation = equation.NavierStokes(nu=nu, forcing=laws[forcing])

    def coordinates(self) -> dict[str, np.ndarray]:
        along = np.arange(self.points) / self.points
        return {"x-coordinate": along, "y-coordinate": along, "t-coordinate": self.dt * np.arange(self.frames)}

    def samples(self, first: int, count: int, seed: int) -> dict[str, np.ndarray]:
        streams = generators(self.name(), seed, first, count)
        law = {"modes": self.modes, "alpha": self.alpha, "tau": self.tau, "sigma": self.sigma}
        start = widen(periodic_fields2d(streams, **law), highest(self.resolution), 2)
        time = {"dt": self.dt, "frames": self.frames, "step": self.step}
        found = self._equation.solve(start, resolution=self.resolution, points=self.points, **time)
        return {"vorticity": found.float().numpy()}
