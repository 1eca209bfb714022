"""What a partial differential equation is to the rest of the package: one file with residual and reference.

Learned methods use the residual, tables and data sets use the reference.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from sciml.equation.classical import chebyshev, on_grid
from sciml.equation.operator import Operator
from sciml.errors import ConfigError


class Field(Protocol):
    """A function u: R^d -> R^m that can be differentiated."""

    def __call__(self, x: Tensor) -> Tensor:
        """Values (n, m) at points (n, d)."""
        ...

    def derivatives(self, x: Tensor, *operators: Operator) -> tuple[Tensor, ...]:
        """Values (n, m) at points (n, d), then each operator applied to the field, (n, m)."""
        ...


class NoReference(ConfigError):
    """Something needs a solution, or values on the boundary, that an equation does not say."""


class Equation(ABC):
    """An equation for u on the box [lower, upper].

    Without a reference it can be solved all the same: a run then reports what its residuals are on new points.

    Attributes:
        inputs: Names of the inputs, for instance ``("x", "y")``; time comes first, and is called ``t``.
        outputs: Names of the unknowns.
        lower: Lower corner of the domain, one number an input.
        upper: Upper corner of the domain.
        tolerance: What the reference may leave of the residual in float64 (largest absolute value); above rounding
            only for a reference that is itself computed.
    """

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    lower: tuple[float, ...]
    upper: tuple[float, ...]
    tolerance: float = 1e-10

    @property
    def space(self) -> tuple[int, ...]:
        """The inputs that are not time."""
        return tuple(i for i, name in enumerate(self.inputs) if name != "t")

    @abstractmethod
    def residual(self, field: Field, x: Tensor) -> Tensor:
        """What the equation leaves at points ``x`` (n, d): (n, number of equations), zero for a solution."""

    @property
    def known(self) -> bool:
        """Whether there is a reference."""
        return type(self).reference is not Equation.reference

    def reference(self, x: Tensor) -> Tensor:
        """The solution (n, m) at points ``x`` (n, d) in float64, differentiable in ``x`` by autograd.

        Raises:
            NoReference: Nobody knows it.
        """
        raise NoReference(f"{type(self).__name__} has no reference solution: it defines no method reference")

    def boundary(self, x: Tensor) -> Tensor:
        """Values (n, m) that are prescribed on the boundary in space, at points ``x`` (n, d); dtype of ``x``.

        Raises:
            NoReference: The equation says neither these nor its solution.
        """
        if not self.known:
            raise NoReference(f"{type(self).__name__} prescribes no boundary values: it defines no method boundary")
        return self.reference(x).to(x.dtype)

    def slope(self, x: Tensor, axis: int) -> Tensor:
        """Derivative along ``axis`` (n, m) that is prescribed on the boundary, at ``x`` (n, d); dtype of ``x``.

        Raises:
            NoReference: The equation says neither these nor its solution.
        """
        if not self.known:
            raise NoReference(f"{type(self).__name__} prescribes no slopes: it defines no method slope")
        with torch.enable_grad():
            points = x.detach().double().requires_grad_()
            columns = self.reference(points).unbind(-1)
            slopes = [torch.autograd.grad(column.sum(), points, retain_graph=True)[0][:, axis] for column in columns]
        return torch.stack(slopes, dim=-1).to(x.dtype)

    def ansatz(self, free: Any, x: Any) -> Any:
        """A field that meets initial and boundary values whatever ``free`` is.

        Args:
            free: What a network says, (n, m), a Tensor or a Taylor.
            x: The points (n, d), of the same type; arithmetic and ``torch`` functions with a rule in
                :mod:`sciml.taylor` only.

        Returns:
            (n, m).

        Raises:
            NotImplementedError: The equation has none.
        """
        raise NotImplementedError(f"{type(self).__name__} has no ansatz that meets its conditions exactly")

    def classical(self, axes: Sequence[Tensor]) -> Tensor:
        """What a textbook method makes of the equation, for comparison with learned ones.

        Args:
            axes: An equidistant grid, one axis (n_i,) an input, in float64; a periodic axis leaves out its upper end.

        Returns:
            (product of the n_i, m), the last axis fastest. Unless an equation says otherwise, a stationary equation is
            solved by polynomials of degree 16 in each input, see :func:`sciml.equation.classical.chebyshev`.

        Raises:
            NotImplementedError: The equation has no such solver.
        """
        if isinstance(self, Evolution):
            raise NotImplementedError(f"{type(self).__name__} has no classical solver")
        return on_grid(chebyshev(self, 16), axes)


class Evolution(Equation):
    """An equation in time, whose first input is ``t``, with initial values."""

    @abstractmethod
    def initial(self, x: Tensor) -> Tensor:
        """Initial values (n, m) at points ``x`` (n, d), whose time is not looked at; dtype of ``x``."""

    def initial_velocity(self, x: Tensor) -> Tensor:
        """Initial time derivative (n, m), of an equation of second order in time; dtype of ``x``.

        Raises:
            NotImplementedError: The equation is of first order in time.
        """
        raise NotImplementedError(f"{type(self).__name__} prescribes no initial velocity")
