r"""The contract of a pruner, and the network that it sees: a loss of one long vector.

Pruned are the weights, all parameters with two dimensions or more; biases stay. A pruner makes one step, from the
weights that are left to fewer of them. Pruning in n steps asks it n times, each time with the weights that the step
before left (:func:`schedule`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor, nn

from sciml.data.batches import Batches
from sciml.data.labelled import Examples


class Weights:
    """The prunable weights of a classifier as one vector, and what its training data say about them.

    Args:
        network: In evaluation mode; it is not changed.
        train: What it was trained on.
        generator: Which examples a gradient is taken over.
    """

    def __init__(self, network: nn.Module, train: Examples, generator: torch.Generator) -> None:
        params = {name: p.detach() for name, p in network.named_parameters()}
        self._network, self._train, self._generator = network, train, generator
        self._names = [name for name, p in params.items() if p.dim() > 1]
        self._sizes = [params[name].numel() for name in self._names]
        self._params = params
        self.gradients_taken = 0

    def flat(self) -> Tensor:
        """The weights of the network, ``(d,)``."""
        return torch.cat([self._params[name].flatten() for name in self._names])

    def outputs(self, weights: Tensor, x: Tensor) -> Tensor:
        """What the network says with these weights ``(d,)`` of inputs ``(n, features)``: ``(n, classes)``."""
        parts = zip(self._names, weights.split(self._sizes), strict=True)
        own = {name: part.view_as(self._params[name]) for name, part in parts}
        return torch.func.functional_call(self._network, {**self._params, **own}, (x,))

    def loss(self, weights: Tensor, x: Tensor, y: Tensor) -> Tensor:
        """Mean cross-entropy."""
        return nn.functional.cross_entropy(self.outputs(weights, x), y)

    def gradients(self, weights: Tensor, m: int, batch_size: int) -> Tensor:
        """Gradients of the loss of ``m`` batches of training examples, ``(m, d)``.

        Raises:
            ConfigError: ``batch_size`` is not between 1 and the number of training examples.
        """
        batches = Batches(len(self._train.y), batch_size, self._generator)
        index = torch.stack([batches.next() for _ in range(m)]).to(weights.device)
        gradient = torch.func.vmap(torch.func.grad(self.loss), in_dims=(None, 0, 0), chunk_size=64)
        self.gradients_taken += m
        return gradient(weights, self._train.x[index], self._train.y[index])


class Pruner(ABC):
    """Chooses which weights go, and what the others become.

    Attributes:
        prunes: As many go as are asked for.
    """

    prunes: ClassVar[bool] = True

    @abstractmethod
    def __call__(self, model: Weights, weights: Tensor, mask: Tensor, keep: int) -> tuple[Tensor, Tensor]:
        """Prune down to ``keep`` weights.

        Args:
            model: Gives losses and gradients at any weights.
            weights: Now, ``(d,)``, zero where they were pruned before.
            mask: Which are left, ``(d,)``; no other one may become different from zero.
            keep: How many shall be left, at most as many as are.

        Returns:
            New weights and mask.
        """


def without_lowest(scores: Tensor, mask: Tensor, keep: int) -> Tensor:
    """The mask with only the ``keep`` highest of its weights; of equal scores the later ones stay.

    Args:
        scores: One for each weight that is left, in their order, ``(mask.sum(),)``.
        mask: Which are left, ``(d,)``.
        keep: How many shall be left.
    """
    left = mask.nonzero()[:, 0]
    thinned = mask.clone()
    thinned[left[scores.argsort(stable=True)[: len(left) - keep]]] = False
    return thinned


def schedule(d: int, sparsity: float, steps: int) -> list[int]:
    r"""How many of ``d`` weights are left after each step: :math:`d\,(1-s)^{j/n}`, the same share goes in each.

    Frantar, Kurtic and Alistarh (2021), the authors' code, ``main_prun.py``.
    """
    return [round(d * (1 - sparsity) ** (j / steps)) for j in range(1, steps + 1)]
