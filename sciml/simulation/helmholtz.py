"""Waves in a square with walls, from the speed of sound to the field of a fixed source.

    Δu + (κ / c)² u = f ,   c = 1 + contrast · tanh(gain · g) ,   f = exp(−|x − s|² / 2w²) ,   u = 0 on the boundary,

with a smooth Gaussian field g of vanishing normal derivative (:mod:`sciml.data.neumann_field`). The law of the speed is
after the Helmholtz problem of de Hoop, Huang, Qian and Stuart, "The cost-accuracy trade-off in operator learning with
neural networks" (arXiv 2203.13181); walls, source and numbers are not theirs. Without loss a square resonates: the size
of u varies, by a factor of about three with the defaults.

Solver: :mod:`sciml.equation.helmholtz`, residual below 1e-9; on 65² points the solutions are within 2e-6 (relative) of
those on 257².
"""

from __future__ import annotations

from typing import Annotated, ClassVar, final

import numpy as np
import torch

from sciml.data.neumann_field import neumann_fields
from sciml.equation.helmholtz import Cavity
from sciml.ranges import Count, Fraction, FractionBelowOne, NonNegative, Positive, Range
from sciml.simulation.base import Simulation, generators


@final
class Helmholtz(Simulation):
    """``nu`` (count, x, y), the speed c, and ``tensor`` (count, 1, x, y), the field u.

    Args:
        points: Nodes a side, both ends included; four a wavelength 2π/κ at least.
        wavenumber: The wave number κ of c = 1, on a side of length 1.
        contrast: Largest deviation of c, below 1.
        gain: How soon it is reached; the standard deviation of g is 0.23 for the other defaults.
        alpha: Smoothness of g.
        tau: Its inverse length scale.
        modes: Its terms along each axis.
        source_x: Centre of the source.
        source_y: Centre of the source.
        width: Its standard deviation w.
    """

    version: ClassVar[int] = 1
    periodic = (False, False)
    chunk = 32

    def __init__(
        self,
        *,
        points: Annotated[int, Range(5)] = 65,
        wavenumber: Positive = 30.0,
        contrast: FractionBelowOne = 0.2,
        gain: Positive = 4.0,
        alpha: Positive = 3.0,
        tau: NonNegative = 5.0,
        modes: Count = 12,
        source_x: Fraction = 0.5,
        source_y: Fraction = 0.25,
        width: Positive = 0.04,
    ) -> None:
        self.points, self.wavenumber, self.contrast, self.gain = points, wavenumber, contrast, gain
        self.alpha, self.tau, self.modes = alpha, tau, modes
        self.source_x, self.source_y, self.width = source_x, source_y, width

    def coordinates(self) -> dict[str, np.ndarray]:
        along = np.linspace(0, 1, self.points)
        return {"x-coordinate": along, "y-coordinate": along, "t-coordinate": np.zeros(1)}

    def samples(self, first: int, count: int, seed: int) -> dict[str, np.ndarray]:
        x = torch.linspace(0, 1, self.points, dtype=torch.float64)
        law = {"modes": self.modes, "alpha": self.alpha, "tau": self.tau}
        g = neumann_fields(generators(self.name(), seed, first, count), x, **law)
        c = (1 + self.contrast * torch.tanh(self.gain * g)).float()  # what is stored is what is solved
        distance = (x.unsqueeze(1) - self.source_x).square() + (x - self.source_y).square()
        f = torch.exp(-distance / (2 * self.width**2))
        u = Cavity().solve((self.wavenumber / c.double()).square(), f)
        return {"nu": c.numpy(), "tensor": u.float().unsqueeze(1).numpy()}
