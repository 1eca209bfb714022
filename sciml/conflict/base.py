"""The contract of rules that make one step direction of the gradients of several losses.

Such a rule stands where a weighting of the losses does: the gradients of the loss terms are taken one by one, m
backward passes for m terms, and what the rule makes of them takes the place of the gradient of their sum. A family
lists the rules that it offers among its own configs, for instance in ``conf/pinn/weighting``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn


class Direction(nn.Module, ABC):
    """A rule that turns the gradients of named losses into one direction.

    A module, so that what it remembers of earlier steps can be buffers. The optimiser subtracts a multiple of the
    direction, as it would of a gradient.
    """

    def prepare(self, names: Sequence[str], parameters: Sequence[nn.Parameter]) -> None:
        """Make buffers of the sizes that are needed; called once, before any checkpoint is loaded.

        Args:
            names: Of the losses, in the order in which they come.
            parameters: What is optimised: P numbers in all, in the order of the flat gradients.
        """
        return

    def due(self, step: int, names: Sequence[str]) -> tuple[str, ...]:
        """The losses whose gradients step number ``step`` (from 0) needs, in the order of ``names``."""
        return tuple(names)

    @abstractmethod
    def forward(self, gradients: dict[str, Tensor]) -> Tensor:
        """The direction (P,).

        Args:
            gradients: By name, for the losses that are due: flat, (P,), without graph.
        """


def put_direction(rule: Direction, terms: Mapping[str, Tensor], parameters: Sequence[nn.Parameter]) -> None:
    """Put the direction that a rule makes of the gradients of some losses into ``.grad``.

    Args:
        rule: The rule.
        terms: The losses that are due, scalars with graph, which is used up.
        parameters: What is optimised.
    """
    last = [*terms][-1]
    gradients = {
        name: torch.cat(
            [
                g.reshape(-1)
                for g in torch.autograd.grad(term, parameters, retain_graph=name != last, materialize_grads=True)
            ]
        )
        for name, term in terms.items()
    }
    direction = rule(gradients)
    for p, part in zip(parameters, direction.split([p.numel() for p in parameters]), strict=True):
        p.grad = part.view_as(p)
