"""The contracts of the family: a problem says what must hold, a collocation where, a weighting how much.

To add one: a PDE is a ``sciml.equation.base.Equation`` and a config of :class:`sciml.pinn.problem.box.Box`; a new
kind of boundary is a ``sciml.pinn.condition.Condition``; of unknown or domain, a ``Problem``; a rule that picks points
is a ``Collocation``; a rule that weighs the loss terms is a ``Weighting``; one that combines their gradients instead is
a ``sciml.conflict.base.Direction``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import ClassVar

import torch
from torch import Generator, Tensor, nn

from sciml.errors import ConfigError
from sciml.pinn.jet import Jet
from sciml.ranges import Count

Points = dict[str, Tensor]


class Problem(ABC):
    """An equation with its conditions, and the truth as far as it is known.

    Attributes:
        in_features: Dimension d of the domain.
        out_features: Number m of unknowns.
        interior: Name of the condition whose points the collocation moves.
        axes: The evaluation grid: float64 coordinates (n_i,) by input name, in the order of the inputs;
            the grid is their product.
        outputs: Names of the unknowns.
        known: There is a reference.
        tolerance: What the reference may leave of each residual in float64, as the largest absolute value;
            above rounding only for a reference that is itself computed.
    """

    in_features: int
    out_features: int
    interior: str
    axes: dict[str, Tensor]
    outputs: tuple[str, ...]
    known: bool = True
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
        """The solution (n, m) at points ``x`` (n, d), float64, differentiable in ``x`` by autograd.

        Raises:
            NoReference: It is not known.
        """


class Collocation(nn.Module, ABC):
    """A rule that picks the interior points of the next step.

    A module, so that what it must remember across an interrupted run can be a buffer; the points themselves
    are kept by the caller.

    Args:
        every: Steps from one call to the next.

    Attributes:
        moves: The points of a later step may differ from those of the first.
        grows: A later step may have more points than the first.
    """

    moves: bool = True
    grows: ClassVar[bool] = False

    def __init__(self, *, every: Count = 1) -> None:
        super().__init__()
        self.every = every

    def start(self, problem: Problem, points: Tensor, generator: Generator) -> Tensor:
        """The interior points of the first step, given uniform ones (n, d); these, unless a rule has its own."""
        return points

    def gate(self, problem: Problem, points: Tensor) -> Tensor | None:
        """Factor (n,) of the interior residual in the training loss at ``points`` (n, d); None where it is 1."""
        return None

    @abstractmethod
    def forward(self, problem: Problem, jet: Jet, points: Tensor, residual: Tensor, generator: Generator) -> Tensor:
        """Choose points after a step's residual is known and before its optimiser step is taken.

        Called in every ``every``-th step only.

        Args:
            problem: Where new points come from: ``problem.draw(n, generator)``.
            jet: The network, for rules that evaluate it elsewhere; such evaluations are counted as cost.
            points: Interior points (n, d) of this step.
            residual: Magnitude (n,) of the interior residual at these points, without gate and without gradient.
            generator: Source of all randomness, on the device of the points.

        Returns:
            Interior points (n, d) of the next step, dtype and device of ``points``. n is that of ``points``, or more
            where the rule ``grows``.
        """


class Weighting(nn.Module, ABC):
    """A rule that weighs the loss: L = Σ_c λ_c L_c, L_c = mean_i |s_ci r_ci|² over the points i of condition c.

    A module, so that adaptive weights can be buffers. A rule adapts in training only: the held-out loss is taken in
    evaluation mode.

    Attributes:
        every: Steps from one call of :meth:`adapt` to the next, the first before the first step; None for never.
        pointwise: :meth:`scale` does something, and needs the residuals of all points.
    """

    every: int | None = None
    pointwise: ClassVar[bool] = False

    def prepare(self, conditions: Sequence[str]) -> None:
        """Learn the names of the conditions; called once, before any checkpoint is loaded. Buffers are made here.

        Raises:
            ConfigError: The rule names a condition that does not exist.
        """
        return

    def scale(self, residuals: dict[str, Tensor], points: Points) -> dict[str, Tensor]:
        """The residuals s_ci r_ci by condition, given r_ci with their graph; s has none. In training mode only."""
        return residuals

    def adapt(self, residuals: Callable[[], dict[str, Tensor]], parameters: Sequence[Tensor]) -> int:
        """Change the weights.

        Args:
            residuals: Evaluates the residuals of the present points at the present parameters, with graph and
                before :meth:`scale`. Its evaluations are counted as cost.
            parameters: What is optimised.

        Returns:
            How many backward passes it took.
        """
        return 0

    @abstractmethod
    def weights(self) -> Mapping[str, float | Tensor]:
        """λ by condition at present: numbers, or scalars without graph; 1 for a condition that is not named."""

    def forward(self, losses: dict[str, Tensor]) -> Tensor:
        """The scalar loss Σ_c λ_c L_c from the L_c (scalars) by condition."""
        weights = self.weights()
        terms = [weights.get(name, 1.0) * loss for name, loss in losses.items()]
        return sum(terms[1:], start=terms[0])


def check_names(key: str, named: Iterable[str], conditions: Sequence[str]) -> None:
    """Refuse names that are no condition.

    Raises:
        ConfigError: Some are not; the message says under which key, and which conditions exist.
    """
    if unknown := sorted(set(named) - set(conditions)):
        remedy = " ".join(f"~pinn.{key}.{name}" for name in unknown) if isinstance(named, Mapping) else ""
        raise ConfigError(
            f"{key} names {', '.join(unknown)}; the conditions are {', '.join(conditions)}"
            + (f": leave out the others with {remedy}" if remedy else "")
        )
