"""Conditions on the boundary of space-time: initial values and velocities, boundaries with values, slopes, or periodic.

Each condition has points of its own, drawn once. What a condition prescribes is the equation's matter.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Generator, Tensor

from sciml.equation.base import Equation, Evolution
from sciml.equation.operator import Operator, partials
from sciml.errors import ConfigError
from sciml.ranges import Count, Natural


class Condition(ABC):
    """A condition beside the equation itself.

    Args:
        n: Number of its points, at least 1.
        random: Draw the points; else they are equidistant (a condition on a line only).
    """

    def __init__(self, *, n: Count, random: bool = True) -> None:
        self.n, self.random = n, random

    @abstractmethod
    def sample(self, equation: Equation, generator: Generator) -> Tensor:
        """Points (n, d), or (n, k, d) where k points belong together, float64, on the generator's device."""

    def least(self, equation: Equation) -> int:
        """The smallest number of points that leaves no part of the condition out."""
        return 1

    def operators(self, equation: Equation) -> tuple[Operator, ...]:
        """The derivatives that the condition is about, beside the values."""
        return ()

    @abstractmethod
    def residual(self, equation: Equation, x: Tensor, u: Tensor, *derivatives: Tensor) -> Tensor:
        """What the condition leaves, (n, components).

        Args:
            equation: What prescribes values.
            x: The points, as :meth:`sample` has drawn them.
            u: Values of the field there, (n, m) or (n, k, m).
            derivatives: One an operator, shaped like ``u``.
        """

    def _box(self, equation: Equation, generator: Generator, axes: tuple[int, ...], *, end: bool = True) -> Tensor:
        """Points (n, d) that fill the box along ``axes``; elsewhere the lower corner."""
        lower, upper = (torch.tensor(c, dtype=torch.float64, device=generator.device) for c in _corners(equation))
        x = lower.repeat(self.n, 1)
        if self.random:
            unit = torch.rand(self.n, len(axes), generator=generator, dtype=torch.float64, device=generator.device)
        elif len(axes) == 1:
            intervals = max(self.n - 1, 1) if end else self.n
            unit = torch.arange(self.n, dtype=torch.float64, device=generator.device).unsqueeze(1) / intervals
        else:
            raise ConfigError(f"{type(self).__name__.lower()} condition: random=false is for points on a line")
        for column, axis in enumerate(axes):
            x[:, axis] += (upper - lower)[axis] * unit[:, column]
        return x


class Initial(Condition):
    """u(t_0, x) = u_0(x)."""

    def sample(self, equation: Equation, generator: Generator) -> Tensor:
        # The right end is left out: where space is periodic it is the left one.
        return self._box(equation, generator, equation.space, end=False)

    def residual(self, equation: Equation, x: Tensor, u: Tensor, *derivatives: Tensor) -> Tensor:
        return u - _evolution(equation).initial(x)


class InitialVelocity(Initial):
    """∂u/∂t(t_0, x) = v_0(x)."""

    def operators(self, equation: Equation) -> tuple[Operator, ...]:
        return (partials(1)[0],)

    def residual(self, equation: Equation, x: Tensor, u: Tensor, *derivatives: Tensor) -> Tensor:
        return derivatives[0] - _evolution(equation).initial_velocity(x)


class Dirichlet(Condition):
    """u = g on the boundary in space; the points are shared out equally among the faces.

    Args:
        n: Number of points of all faces together.
        random: Draw the points, uniform on each face; else they are equidistant, which needs a face that is a line.
    """

    def sample(self, equation: Equation, generator: Generator) -> Tensor:
        x = self._box_of_faces(equation, generator)
        lower, upper = _corners(equation)
        faces = [(axis, end[axis]) for axis in equation.space for end in (lower, upper)]
        for i, (axis, value) in enumerate(faces):
            x[i :: len(faces), axis] = value
        return x

    def least(self, equation: Equation) -> int:
        """One on each face."""
        return 2 * len(equation.space)

    def _box_of_faces(self, equation: Equation, generator: Generator) -> Tensor:
        axes = tuple(range(len(equation.inputs)))
        if self.random:
            return self._box(equation, generator, axes)
        faces = 2 * len(equation.space)
        if len(axes) != 2:
            raise ConfigError("dirichlet condition: random=false is for points on a line")
        lower, upper = (torch.tensor(c, dtype=torch.float64, device=generator.device) for c in _corners(equation))
        # Point i of its face: equidistant along the one axis that remains, corners on one of their two faces.
        place = torch.arange(self.n, device=generator.device) // faces
        count = max(-(-self.n // faces) - 1, 1)
        return lower + (upper - lower) * (place.double() / count).unsqueeze(1)

    def residual(self, equation: Equation, x: Tensor, u: Tensor, *derivatives: Tensor) -> Tensor:
        return u - equation.boundary(x)


class Slope(Condition):
    """∂u/∂x_axis = g at the upper end of one axis.

    Args:
        n: Number of points.
        random: Draw the points; else they are equidistant, which needs a face that is a line.
        axis: The axis, by its number among the inputs.
    """

    def __init__(self, *, n: Count, random: bool = True, axis: Natural = 1) -> None:
        super().__init__(n=n, random=random)
        self.axis = axis

    def sample(self, equation: Equation, generator: Generator) -> Tensor:
        upper = _corners(equation)[1]
        x = self._box(equation, generator, tuple(i for i in range(len(upper)) if i != self.axis))
        x[:, self.axis] = upper[self.axis]
        return x

    def operators(self, equation: Equation) -> tuple[Operator, ...]:
        return (partials(len(equation.inputs))[self.axis],)

    def residual(self, equation: Equation, x: Tensor, u: Tensor, *derivatives: Tensor) -> Tensor:
        return derivatives[0] - equation.slope(x, self.axis)


class Periodic(Condition):
    """The values, and derivatives along x up to an order, agree at both ends of the space axis.

    Args:
        n: Number of pairs of points.
        random: Draw the times; else they are equidistant, both ends included.
        order: Highest derivative that must agree.
        axis: The axis, by its number among the inputs.
    """

    def __init__(self, *, n: Count, random: bool = True, order: Natural = 0, axis: Natural = 1) -> None:
        super().__init__(n=n, random=random)
        self.order, self.axis = order, axis

    def sample(self, equation: Equation, generator: Generator) -> Tensor:
        """Pairs (n, 2, d): lower end, upper end."""
        lower, upper = _corners(equation)
        others = tuple(i for i in range(len(lower)) if i != self.axis)
        x = self._box(equation, generator, others)
        ends = [x.clone(), x]
        for points, end in zip(ends, (lower, upper), strict=True):
            points[:, self.axis] = end[self.axis]
        return torch.stack(ends, dim=1)

    def operators(self, equation: Equation) -> tuple[Operator, ...]:
        along = partials(len(equation.inputs))[self.axis]
        return tuple(along**k for k in range(1, self.order + 1))

    def residual(self, equation: Equation, x: Tensor, u: Tensor, *derivatives: Tensor) -> Tensor:
        return torch.cat([a[:, 0] - a[:, 1] for a in (u, *derivatives)], dim=-1)


def _corners(equation: Equation) -> tuple[tuple[float, ...], tuple[float, ...]]:
    return equation.lower, equation.upper


def _evolution(equation: Equation) -> Evolution:
    if not isinstance(equation, Evolution):
        raise ConfigError(f"{type(equation).__name__} has no time, so no initial condition")
    return equation
