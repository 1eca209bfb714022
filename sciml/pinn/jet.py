"""A network as a field: its values, and linear differential operators of it.

What is asked for comes out of one forward pass in Taylor mode (:mod:`sciml.taylor`) where the network consists of
functions that have a rule there, as all of ``sciml/network`` do. Any other module is differentiated by nested
automatic differentiation, all points at once: one backward pass for each partial derivative that leads to a new one.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from sciml.equation.operator import Index, Operator
from sciml.taylor import Channel, Taylor, Unsupported, seeds
from sciml.taylor_plan import MAX_ORDER, Plan

log = logging.getLogger("sciml")


class Jet:
    """A network seen as a field u: R^d -> R^m that can be differentiated.

    Args:
        network: Maps points (n, d) to values (n, m), each row on its own (no batch statistics).
        mode: ``auto``; or ``taylor``, which raises where ``auto`` falls back; or ``nested``.

    Attributes:
        evaluations: Points at which the network was evaluated so far, with or without derivatives.
    """

    def __init__(self, network: nn.Module, *, mode: str = "auto") -> None:
        self.network = network
        self.mode = mode
        self.evaluations = 0
        self._plans: dict[tuple[Operator, ...], Plan] = {}
        self._seeds: dict[tuple[Plan, torch.device, torch.dtype], list[Channel]] = {}

    def __call__(self, x: Tensor) -> Tensor:
        """Values (n, m) at points (n, d)."""
        self.evaluations += x.shape[0]
        return self.network(x)

    def derivatives(self, x: Tensor, *operators: Operator) -> tuple[Tensor, ...]:
        """Values and derivatives at points.

        Args:
            x: Points (n, d).
            operators: What to apply to the network, each without constant term; above order 4 autograd always does it.

        Returns:
            u (n, m), then L u (n, m) for each operator L, all differentiable with respect to the parameters.
        """
        self.evaluations += x.shape[0]
        if self.mode != "nested":
            try:
                return self._taylor(x, operators)
            except Unsupported as error:
                if self.mode == "taylor":
                    raise
                log.debug("%s: nested differentiation, as there is %s", type(self.network).__name__, error)
                self.mode = "nested"
        return _nested(self.network, x, operators)

    @property
    def channels(self) -> int:
        """The most channels that any evaluation has carried beside the value; 0 before the first."""
        return max((len(plan.channels) for plan in self._plans.values()), default=0)

    def _taylor(self, x: Tensor, operators: tuple[Operator, ...]) -> tuple[Tensor, ...]:
        plan = self._plans.get(operators)
        if plan is None:
            if max(operator.order for operator in operators) > MAX_ORDER:
                raise Unsupported(f"no Taylor rule above order {MAX_ORDER}")
            plan = self._plans[operators] = Plan(operators)
        key = (plan, x.device, x.dtype)
        rows = self._seeds.get(key)
        if rows is None:  # kept, so that a step on a GPU copies nothing
            rows = self._seeds[key] = seeds(plan, x)
        u = self.network(Taylor.inputs(plan, x, rows))
        if not isinstance(u, Taylor):  # a network that does not look at its input
            return u, *[torch.zeros_like(u)] * len(operators)
        return u.value, *u.outputs()


def _nested(network: nn.Module, x: Tensor, operators: Sequence[Operator]) -> tuple[Tensor, ...]:
    keep = torch.is_grad_enabled()
    with torch.enable_grad():
        if not x.requires_grad:
            x = x.detach().requires_grad_()
        u = network(x)
        columns = [_component(component, x, operators) for component in u.unbind(-1)]
        found = [u, *(torch.stack(parts, dim=-1) for parts in zip(*columns, strict=True))]
    return tuple(found if keep else [a.detach() for a in found])


def _component(u: Tensor, x: Tensor, operators: Sequence[Operator]) -> list[Tensor]:
    """The operators applied to one component (n,)."""
    values: dict[Index, Tensor] = {(): u}
    gradients: dict[Index, Tensor] = {}

    def partial(axes: Index) -> Tensor:
        if axes not in values:
            stem = axes[:-1]
            if stem not in gradients:
                below = partial(stem)
                # Rows do not mix, so the gradient of the sum over the points holds every point's own gradient.
                gradients[stem] = (
                    torch.autograd.grad(below.sum(), x, create_graph=True, materialize_grads=True)[0]
                    if below.requires_grad
                    else torch.zeros_like(x)
                )
            values[axes] = gradients[stem][:, axes[-1]]
        return values[axes]

    return [
        sum((c * partial(axes) for axes, c in operator.terms.items()), start=torch.zeros_like(u))
        for operator in operators
    ]
