r"""Values and directional derivatives of a network in one forward pass.

For an MLP the tangent v = ∂a/∂s along a direction d is propagated with the value,

    z = W a + b,  ż = W v,   a ← φ(z),  v ← φ'(z) ⊙ ż,   v_0 = d,

(forward-mode differentiation; Griewank and Walther, "Evaluating Derivatives", 2nd edition, chapter 3),
with tanh' = 1 − a² from the value at hand. A loss of u and u̇ then needs one ordinary backward pass,
where nested automatic differentiation needs a backward pass of a backward pass.

Value and tangent take a matrix product each: one product of the stacked pair was slower on a CPU (copies
into and out of the stack cost more than the second call). For the first layer v = W d is the same at all
points and stays a single row.

Any other module is differentiated by autograd: one backward pass per output component through all inputs
at once, kept differentiable.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from sciml.network.mlp import MLP


class Jet:
    """A network seen as a field u: R^d -> R^m that can be differentiated along directions.

    Args:
        network: Maps points (n, d) to values (n, m), each row on its own (no batch statistics).

    Attributes:
        evaluations: Points at which the network was evaluated so far, with or without a derivative.
    """

    def __init__(self, network: nn.Module) -> None:
        self.network = network
        self.evaluations = 0

    def __call__(self, x: Tensor) -> Tensor:
        """Values (n, m) at points (n, d)."""
        self.evaluations += x.shape[0]
        return self.network(x)

    def directional(self, x: Tensor, direction: Sequence[float] | Tensor) -> tuple[Tensor, Tensor]:
        """Values and derivatives along a direction.

        Args:
            x: Points (n, d).
            direction: One direction for all points, d numbers or a tensor (d,), or one a point, (n, d).
                Not normalised. Plain numbers need no copy to the device.

        Returns:
            u (n, m) and du/ddirection (n, m), both differentiable with respect to the parameters.
        """
        self.evaluations += x.shape[0]
        if isinstance(self.network, MLP):
            return _propagate(self.network, x, direction)
        return _differentiate(self.network, x, direction)


def _propagate(network: MLP, x: Tensor, direction: Sequence[float] | Tensor) -> tuple[Tensor, Tensor]:
    value, derivative = network.activation.value, network.activation.derivative
    first, *hidden, last = cast("Iterable[nn.Linear]", network.layers)
    z = first(x)
    a = value(z)
    v = derivative(z, a) * _along(first.weight, direction)
    for layer in hidden:
        z, v = layer(a), linear(v, layer.weight)
        a = value(z)
        v = derivative(z, a) * v
    return last(a), linear(v, last.weight)


def _along(weight: Tensor, direction: Sequence[float] | Tensor) -> Tensor:
    if isinstance(direction, Tensor):
        return linear(direction.to(weight.dtype), weight)
    terms = [weight[:, i] * d for i, d in enumerate(direction) if d != 0]
    return sum(terms[1:], start=terms[0]) if terms else torch.zeros_like(weight[:, 0])


def _differentiate(network: nn.Module, x: Tensor, direction: Sequence[float] | Tensor) -> tuple[Tensor, Tensor]:
    if not isinstance(direction, Tensor):
        direction = x.new_tensor(direction)
    keep = torch.is_grad_enabled()
    with torch.enable_grad():
        if not x.requires_grad:
            x = x.detach().requires_grad_()
        u = network(x)
        # Rows do not mix, so the gradient of a component's sum over the points is that component's gradient.
        rows = [torch.autograd.grad(component.sum(), x, create_graph=True)[0] for component in u.unbind(-1)]
        du = torch.stack([(row * direction).sum(-1) for row in rows], dim=-1)
    return (u, du) if keep else (u.detach(), du.detach())
