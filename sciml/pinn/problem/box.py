"""An equation on its box, with the conditions that a config names.

The interior points are uniform in the box, moved by the collocation; each condition draws its own points once. What
a field must satisfy anyway can be built into it instead: an embedding of periodic inputs, and an ansatz that
meets initial and boundary values exactly (Dong and Ni, doi:10.1016/j.jcp.2021.110242; Lagaris, Likas and Fotiadis,
doi:10.1109/72.712178). Such a condition is then left out of ``conditions``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Generator, Tensor, nn

from sciml.equation.base import Equation
from sciml.errors import ConfigError
from sciml.network.inputs import Inputs
from sciml.pinn.base import Points, Problem
from sciml.pinn.condition import Condition, Periodic
from sciml.pinn.jet import Jet
from sciml.ranges import Count, Several
from sciml.taylor import Taylor


class Box(Problem):
    """An equation with conditions.

    Args:
        equation: Equation, domain, prescribed values and, where it is known, reference.
        conditions: What must hold beside the equation, by the name of its loss term.
        grid: Points of the evaluation grid along each input; a periodic axis leaves out its upper end.
        periodic: Inputs that enter the network as sines and cosines of this many harmonics of their period.
        scale: Map the other inputs to [-1, 1] before the network.
        ansatz: Use the equation's ansatz, which meets its initial and boundary values exactly.

    Raises:
        ConfigError: A domain without extent, or an input or an ansatz that the equation does not have.
    """

    interior = "residual"

    def __init__(
        self,
        *,
        equation: Equation,
        conditions: Mapping[str, Condition],
        grid: Mapping[str, Several],
        periodic: Mapping[str, Count] | None = None,
        scale: bool = False,
        ansatz: bool = False,
    ) -> None:
        self.equation, self.conditions = equation, dict(conditions)
        self.outputs, self.tolerance, self.known = equation.outputs, equation.tolerance, equation.known
        self.in_features, self.out_features = len(equation.inputs), len(equation.outputs)
        self.scale, self.ansatz = scale, ansatz
        for name, low, high in zip(equation.inputs, equation.lower, equation.upper, strict=True):
            if not low < high:
                raise ConfigError(
                    f"domain of {name} is [{low:g}, {high:g}]; the upper end must lie above the lower one"
                )
        if self.interior in self.conditions:
            raise ConfigError(f"'{self.interior}' is the equation itself; a condition needs another name")
        for name, condition in self.conditions.items():
            if condition.n < condition.least(equation):
                raise ConfigError(
                    f"condition '{name}' received {'no' if condition.n < 1 else 'too few'} points (n is {condition.n});"
                    f" it needs at least {condition.least(equation)}"
                )
        self.harmonics = {self._axis("periodic", name): number for name, number in (periodic or {}).items()}
        if ansatz and type(equation).ansatz is Equation.ansatz:
            raise ConfigError(f"ansatz: {type(equation).__name__} has none that meets its conditions exactly")
        around = {c.axis for c in self.conditions.values() if isinstance(c, Periodic)} | set(self.harmonics)
        self.axes: dict[str, Tensor] = {}
        if set(grid) != set(equation.inputs):
            raise ConfigError(f"grid names {', '.join(grid)}; the inputs are {', '.join(equation.inputs)}")
        for axis, name in enumerate(equation.inputs):
            open_end = axis in around
            line = torch.linspace(
                equation.lower[axis], equation.upper[axis], grid[name] + open_end, dtype=torch.float64
            )
            self.axes[name] = line[:-1] if open_end else line

    def _axis(self, key: str, name: str) -> int:
        if name not in self.equation.inputs:
            raise ConfigError(f"{key}: no input '{name}'; the inputs are {', '.join(self.equation.inputs)}")
        return self.equation.inputs.index(name)

    def field(self, network: Callable[[int, int], nn.Module]) -> nn.Module:
        """A network behind its embedding and within its ansatz."""
        inside: nn.Module
        if self.harmonics or self.scale:
            inside = Inputs(
                network,
                self.out_features,
                lower=self.equation.lower,
                upper=self.equation.upper,
                harmonics=self.harmonics,
                scale=self.scale,
            )
        else:
            inside = network(self.in_features, self.out_features)
        return Imposed(inside, self.equation) if self.ansatz else inside

    def place(self, unit: Tensor) -> Tensor:
        """Lower + (upper − lower) unit."""
        lower, upper = (unit.new_tensor(corner) for corner in (self.equation.lower, self.equation.upper))
        return lower + (upper - lower) * unit

    def sample(self, n: int, generator: Generator) -> Points:
        """``residual`` (n, d) uniform in the box, and the points of each condition."""
        interior = self.draw(n, generator)
        return {self.interior: interior, **{k: c.sample(self.equation, generator) for k, c in self.conditions.items()}}

    def residuals(self, jet: Jet, points: Points) -> dict[str, Tensor]:
        """The residual of each condition in ``points``."""
        found: dict[str, Tensor] = {}
        if self.interior in points:
            found[self.interior] = self.equation.residual(jet, points[self.interior])
        # Conditions that need the same derivatives are evaluated in one pass.
        groups: dict[tuple, list[str]] = {}
        for name in points:
            if name != self.interior:
                groups.setdefault(self.conditions[name].operators(self.equation), []).append(name)
        for operators, names in groups.items():
            # Of points that belong together the first ones come first, then the second ones: rows that an optimiser
            # can tell apart, see sciml.rowtape.
            ordered = [points[name].movedim(-2, 0) for name in names]
            flat = [x.flatten(0, -2) for x in ordered]
            whole = torch.cat(flat) if len(flat) > 1 else flat[0]
            fields = jet.derivatives(whole, *operators) if operators else (jet(whole),)
            shares = zip(*(a.split([len(x) for x in flat]) for a in fields), strict=True)
            for name, x, share in zip(names, ordered, shares, strict=True):
                found[name] = self.conditions[name].residual(
                    self.equation,
                    points[name],
                    *(a.reshape(*x.shape[:-1], a.shape[-1]).movedim(0, -2) for a in share),
                )
        return {name: found[name] for name in points}

    def reference(self, x: Tensor) -> Tensor:
        """The equation's solution."""
        return self.equation.reference(x)


class Imposed(nn.Module):
    """A network within an equation's ansatz."""

    pointwise = True

    def __init__(self, network: nn.Module, equation: Equation) -> None:
        super().__init__()
        self.network, self.equation = network, equation

    def forward(self, x: Tensor | Taylor) -> Tensor | Taylor:
        return self.equation.ansatz(self.network(x), x)
