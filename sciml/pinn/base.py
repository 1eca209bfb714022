"""The contracts of the family: a problem says what must hold, a collocation where, a weighting how much.

To add one: a PDE is a ``sciml.equation.base.Equation`` and a config of :class:`sciml.pinn.problem.box.Box`; a new
kind of boundary is a ``sciml.pinn.condition.Condition``; of unknown or domain, a ``Problem``; a rule that picks points
is a ``Collocation``; a rule that adds up the loss terms is a ``Weighting``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Generator, Tensor, nn

from sciml.pinn.jet import Jet

Points = dict[str, Tensor]


class Problem(ABC):
    """An equation with its conditions, and the truth.

    Attributes:
        in_features: Dimension d of the domain.
        out_features: Number m of unknowns.
        interior: Name of the condition whose points the collocation moves.
        axes: The evaluation grid: float64 coordinates (n_i,) by input name, in the order of the inputs;
            the grid is their product.
        outputs: Names of the unknowns.
        tolerance: What the reference may leave of each residual in float64, as the largest absolute value;
            above rounding only for a reference that is itself computed.
    """

    in_features: int
    out_features: int
    interior: str
    axes: dict[str, Tensor]
    outputs: tuple[str, ...]
    tolerance: float = 1e-10

    def field(self, network: Callable[[int, int], nn.Module]) -> nn.Module:
        """The function that is trained: a network called with its numbers of inputs and outputs.

        Problems that build something into it, such as exact boundary values, wrap the network here.
        """
        return network(self.in_features, self.out_features)

    @abstractmethod
    def place(self, unit: Tensor) -> Tensor:
        """Points (n, d) of the domain for points of the unit cube, so that uniform ones become uniform."""

    def draw(self, n: int, generator: Generator) -> Tensor:
        """Uniform interior points (n, d), float64, on the generator's device."""
        unit = torch.rand(n, self.in_features, generator=generator, dtype=torch.float64, device=generator.device)
        return self.place(unit)

    @abstractmethod
    def sample(self, n: int, generator: Generator) -> Points:
        """Points of every condition.

        Args:
            n: Number of interior points. How many points the others get is the problem's own matter.
            generator: Source of all randomness; its device is where the points are made.

        Returns:
            By condition name, float64 tensors whose first dimension counts the points; interior points are
            uniform in the domain, (n, d).
        """

    @abstractmethod
    def residuals(self, jet: Jet, points: Points) -> dict[str, Tensor]:
        """What each condition leaves, for the conditions in ``points`` only.

        Returns:
            By condition name, (n,) or (n, components) for the n points of that condition; zero for a solution.
        """

    @abstractmethod
    def reference(self, x: Tensor) -> Tensor:
        """The solution (n, m) at points ``x`` (n, d), float64, differentiable in ``x`` by autograd."""


class Collocation(nn.Module, ABC):
    """A rule that picks the interior points of the next step.

    A module, so that what it must remember across an interrupted run can be a buffer; the points themselves
    are kept by the caller.

    Attributes:
        moves: The points of a later step may differ from those of the first.
    """

    moves: ClassVar[bool] = True

    @abstractmethod
    def forward(self, problem: Problem, jet: Jet, points: Tensor, residual: Tensor, generator: Generator) -> Tensor:
        """Choose points after a step's residual is known and before its optimiser step is taken.

        Args:
            problem: Where new points come from: ``problem.draw(n, generator)``.
            jet: The network, for rules that evaluate it elsewhere; such evaluations are counted as cost.
            points: Interior points (n, d) of this step.
            residual: Magnitude (n,) of the interior residual at these points, from the loss's own pass,
                without gradient.
            generator: Source of all randomness, on the device of the points.

        Returns:
            Interior points (n, d) of the next step, dtype and device of ``points``. n must not change.
        """


class Weighting(nn.Module, ABC):
    """A rule that turns the loss terms into the scalar to differentiate.

    A module, so that adaptive weights can be buffers. A rule adapts in training mode only: the held-out loss
    is taken in evaluation mode.
    """

    @abstractmethod
    def forward(self, losses: dict[str, Tensor]) -> Tensor:
        """The scalar loss from the mean squared residual (scalar) of each condition, by name."""
