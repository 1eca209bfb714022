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

from sciml.conflict.groups import Groups, partition, total


class Direction(nn.Module, ABC):
    """A rule that turns the gradients of named losses into one direction.

    A module, so that what it remembers of earlier steps can be buffers. The optimiser subtracts a multiple of the
    direction, as it would of a gradient.

    Args:
        groups: Names of the loss terms of each group, which then counts as one loss; terms that are not named make a
            group together. By default each term is a loss.
    """

    def __init__(self, *, groups: Groups | None = None) -> None:
        super().__init__()
        self.groups = groups

    def losses(self, names: Sequence[str]) -> dict[str, tuple[str, ...]]:
        """The loss terms of each loss, by its name.

        Args:
            names: Of the loss terms.

        Raises:
            ConfigError: A group names a term that does not exist, or one is in two groups.
        """
        return {" + ".join(group): group for group in partition(names, self.groups, key="pinn.weighting.groups")}

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


def put_direction(
    rule: Direction, terms: Mapping[str, Tensor], parameters: Sequence[nn.Parameter], *, step: int
) -> int:
    """Put the direction that a rule makes of the gradients of the losses that are due into ``.grad``.

    Args:
        rule: The rule.
        terms: All loss terms, scalars with graph, which is used up.
        parameters: What is optimised.
        step: Number of the step, from 0.

    Returns:
        How many backward passes it took.
    """
    losses = rule.losses([*terms])
    due = rule.due(step, [*losses])
    gradients = {
        name: torch.cat(
            [
                g.reshape(-1)
                for g in torch.autograd.grad(
                    total(terms, losses[name]), parameters, retain_graph=name != due[-1], materialize_grads=True
                )
            ]
        )
        for name in due
    }
    direction = rule(gradients)
    for p, part in zip(parameters, direction.split([p.numel() for p in parameters]), strict=True):
        p.grad = part.view_as(p)
    return len(due)
