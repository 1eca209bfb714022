"""Darcy flow with random coefficients and a constant source.

Li et al., "Fourier neural operator for parametric partial differential equations", ICLR 2021 (arXiv 2010.08895), after
their ``demo.m``, ``GRF.m`` and ``solve_gwf.m``: a Gaussian field with α = 2 and τ = 3, of which the sign chooses
between two coefficients (12, and 4 in the script; 12 and 3 in the paper), or whose exponential is the coefficient.
Solver: :mod:`sciml.equation.darcy`; relative residual below ``rtol``.

Where the coefficient is given: ``sampling: nodes`` evaluates the field at the nodes of the scheme, ends included.
``cells`` evaluates field and law at the centres of as many cells and carries them over to the nodes, as the authors do:
linearly, where they use splines, which over- and undershoot at each interface. What is stored is the coefficient at
the nodes, the one that the equation was solved with.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, final

import numpy as np
import torch
from torch import Tensor

from sciml.data.neumann_field import neumann_fields
from sciml.equation import darcy as equation
from sciml.ranges import Count, NonNegative, Positive, Range
from sciml.simulation.base import Simulation, generators


@final
class Darcy(Simulation):
    """``nu`` (count, x, y), the coefficient, and ``tensor`` (count, 1, x, y), the solution.

    Args:
        points: Nodes a side, both ends included.
        law: ``threshold`` or ``lognormal``.
        low: The coefficient where the field is negative (``threshold``).
        high: The coefficient elsewhere.
        alpha: Smoothness of the field.
        tau: Its inverse length scale.
        modes: Its terms along each axis; for the same modes a seed gives the same field on every grid.
        sampling: ``nodes`` or ``cells``.
        average: ``arithmetic`` or ``harmonic`` mean between two nodes.
        source: The constant right side f.
        rtol: Largest residual, relative to that of u = 0.
    """

    version: ClassVar[int] = 1
    periodic = (False, False)
    chunk = 32

    def __init__(
        self,
        *,
        points: Annotated[int, Range(3)] = 85,
        law: Literal["threshold", "lognormal"] = "threshold",
        low: Positive = 3.0,
        high: Positive = 12.0,
        alpha: Positive = 2.0,
        tau: NonNegative = 3.0,
        modes: Count = 128,
        sampling: Literal["nodes", "cells"] = "nodes",
        average: equation.FaceMean = "arithmetic",
        source: float = 1.0,
        rtol: Positive = 1e-8,
    ) -> None:
        self.points, self.law, self.low, self.high = points, law, low, high
        self.alpha, self.tau, self.modes, self.sampling = alpha, tau, modes, sampling
        self.average, self.source, self.rtol = average, source, rtol
        self._equation = equation.Darcy(average=average)

    def coordinates(self) -> dict[str, np.ndarray]:
        along = np.linspace(0, 1, self.points)
        return {"x-coordinate": along, "y-coordinate": along, "t-coordinate": np.zeros(1)}

    def samples(self, first: int, count: int, seed: int) -> dict[str, np.ndarray]:
        streams = generators(self.name(), seed, first, count)
        law = {"modes": self.modes, "alpha": self.alpha, "tau": self.tau}
        n = self.points
        if self.sampling == "nodes":
            along = torch.linspace(0, 1, n, dtype=torch.float64)
            a = self._coefficient(neumann_fields(streams, along, **law))
        else:
            along = (torch.arange(n, dtype=torch.float64) + 0.5) / n
            a = self._coefficient(neumann_fields(streams, along, **law))
            carry = _to_nodes(n)
            a = carry @ a @ carry.mT
        a = a.float()  # what is stored is what is solved
        return {"nu": a.numpy(), "tensor": self._solution(a).unsqueeze(1).numpy()}

    def advance(self, u: Tensor, dt: float) -> Tensor:
        return self._solution(u.squeeze(-1)).unsqueeze(-1)

    def _solution(self, a: Tensor) -> Tensor:
        f = torch.tensor(self.source, dtype=torch.float64)
        return self._equation.solve(a.double(), f, rtol=self.rtol).u.float()

    def _coefficient(self, field: Tensor) -> Tensor:
        if self.law == "lognormal":
            return field.exp()
        return torch.where(field >= 0, self.high, self.low).double()


def _to_nodes(n: int) -> Tensor:
    """Linear interpolation from the centres of ``n`` cells to ``n`` nodes, constant beyond the outer centres."""
    place = (torch.linspace(0, 1, n, dtype=torch.float64) * n - 0.5).clamp(0, n - 1)
    left = place.floor().clamp(max=n - 2).long()
    share = place - left
    matrix = torch.zeros(n, n, dtype=torch.float64)
    rows = torch.arange(n)
    matrix[rows, left] = 1 - share
    matrix[rows, left + 1] += share
    return matrix
