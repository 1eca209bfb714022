"""Patterns of Gray and Scott that grow out of random spots.

u = 1 − G/2 and v = G/4 with G = 1 − Π (1 − g), a product over Gaussian bumps g at random places and of random widths:
the disturbance of Pearson, "Complex patterns in a simple system", Science 261 (1993), u = 1/2 and v = 1/4, with smooth
edges. Feed and kill rates, and what grows: 0.029, 0.057 mazes (the default); 0.03, 0.062 spots that divide.

Solver: :mod:`sciml.equation.gray_scott`. With the defaults v after 1000 units of time is within 4e-4 (relative) of that
on 288² points; on 128² it is 3e-2 off, as fronts are only 0.01 wide.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, final

import numpy as np
import torch
from torch import Generator, Tensor

from sciml.equation import gray_scott as equation
from sciml.ranges import Count, Natural, NonNegative, Positive, Range
from sciml.simulation.base import Simulation, generators


@final
class GrayScott(Simulation):
    """``u`` and ``v`` (count, t, x, y).

    Args:
        points: Points a side that are kept: values of the solver's field, not averages.
        resolution: Points a side of the solver, of which a quarter are wavenumbers.
        feed: F.
        kill: k.
        d_u: Diffusivity of u.
        d_v: Diffusivity of v.
        length: Side of the periodic square.
        spots: Gaussian bumps in an initial state.
        smallest: Least standard deviation of one.
        largest: Largest standard deviation of one.
        dt: Time between two states.
        frames: States.
        warmup: States left out before them.
        step: Largest step of the solver.

    Raises:
        ValueError: The widths are in the wrong order.
    """

    version: ClassVar[int] = 1
    periodic = (True, True)
    chunk = 4

    def __init__(
        self,
        *,
        points: Count = 64,
        resolution: Annotated[int, Range(8)] = 192,
        feed: NonNegative = 0.029,
        kill: NonNegative = 0.057,
        d_u: NonNegative = 2e-5,
        d_v: NonNegative = 1e-5,
        length: Positive = 1.0,
        spots: Count = 5,
        smallest: Positive = 0.03,
        largest: Positive = 0.08,
        dt: Positive = 20.0,
        frames: Count = 51,
        warmup: Natural = 0,
        step: Positive = 2.5,
    ) -> None:
        if largest < smallest:
            raise ValueError(f"largest is {largest}; it must be at least smallest, {smallest}")
        self.points, self.resolution = points, resolution
        self.feed, self.kill, self.d_u, self.d_v, self.length = feed, kill, d_u, d_v, length
        self.spots, self.smallest, self.largest = spots, smallest, largest
        self.dt, self.frames, self.warmup, self.step = dt, frames, warmup, step
        self._equation = equation.GrayScott(feed=feed, kill=kill, d_u=d_u, d_v=d_v, length=length)

    def coordinates(self) -> dict[str, np.ndarray]:
        along = self.length / self.points * np.arange(self.points)
        return {"x-coordinate": along, "y-coordinate": along, "t-coordinate": self.dt * np.arange(self.frames)}

    def samples(self, first: int, count: int, seed: int) -> dict[str, np.ndarray]:
        start = torch.stack([self._start(stream) for stream in generators(self.name(), seed, first, count)])
        time = {"dt": self.dt, "frames": self.frames, "step": self.step, "warmup": self.warmup}
        u, v = self._equation.solve(start, points=self.points, **time).float().unbind(1)
        return {"u": u.numpy(), "v": v.numpy()}

    def _start(self, stream: Generator) -> Tensor:
        """The initial u and v ``(2, resolution, resolution)``."""
        draw = torch.rand(self.spots, 3, generator=stream, dtype=torch.float64)
        width = (self.smallest + (self.largest - self.smallest) * draw[:, 2:]) / self.length
        x = torch.arange(self.resolution, dtype=torch.float64) / self.resolution
        along_x, along_y = (_bumps(x - draw[:, axis : axis + 1], width) for axis in range(2))
        disturbed = 1 - (1 - along_x.unsqueeze(2) * along_y.unsqueeze(1)).prod(dim=0)
        return torch.stack([1 - disturbed / 2, disturbed / 4])


def _bumps(distance: Tensor, width: Tensor) -> Tensor:
    """Periodic Gaussians: of the nearest image, in units of the period."""
    nearest = distance - torch.round(distance)
    return torch.exp(-nearest.square() / (2 * width.square()))
