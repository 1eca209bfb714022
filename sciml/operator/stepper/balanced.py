r"""PDE-Refiner whose steps all count alike, whatever their loss: what training too short for its own loss needs.

Steps, noise, network and sampling are those of :mod:`sciml.operator.stepper.refiner`. With :math:`L_k` the loss of v
over the examples of a batch that are at step k, as many as of every other step, training minimises

.. math:: \frac{1}{K + 1} \sum_{k=0}^{K} \log L_k, \qquad
    \text{in place of} \quad \frac{1}{K + 1} \sum_{k=0}^{K} L_k

whose gradient is the mean of :math:`\nabla L_k / L_k`. It is the likelihood of Kendall, Gal and Cipolla (2018),
*Multi-Task Learning Using Uncertainty to Weigh Losses for Scene Geometry and Semantics*, section 3.2, with each step's
variance at its best.

Why: the network sees y under the noise :math:`\sigma_k` and has to find the rest, of size 1 in v. Until it knows y to
within :math:`\sigma_k` that loss stays near 1, while the error of step 0 has long been a hundredth of it: the sum
hardly asks for a better first prediction, and where that is off by more than :math:`\sigma_1` no later step helps.

``conserved``: where the equation keeps the mean over the grid, as that of Kuramoto and Sivashinsky does, the change has
none, and noise that has one hides it in a mode which a network of local convolutions can hardly see: its error there
outweighed all others. The noise is then made free of its mean. This is no published method.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import final

import torch
from torch import Generator, Tensor

from sciml.data.normalizer import Normalizer
from sciml.errors import ConfigError
from sciml.operator.base import Dataset, Loss, Rollout
from sciml.operator.stepper.base import NetworkFactory
from sciml.operator.stepper.refiner import Refiner
from sciml.ranges import Count, ProperFraction


@final
class Balanced(Refiner):
    """Predicts, then refines; a logarithm of each step's loss.

    Args:
        network: Called with the numbers of channels, and ``conditions=1``.
        dataset: Its inputs hold whole states.
        normalizer: Of states, and of changes.
        positions: Append coordinates to what the network sees.
        refinements: K.
        variance: s, of the last noise, relative to that of a change.
        conserved: The mean over the grid does not change: noise has none.

    Raises:
        ConfigError: As :class:`Refiner`.
    """

    def __init__(
        self,
        network: NetworkFactory,
        dataset: Dataset,
        normalizer: Callable[[int, tuple[int, ...]], Normalizer],
        *,
        positions: bool = False,
        refinements: Count = 2,
        variance: ProperFraction = 3.6e-5,
        conserved: bool = False,
    ) -> None:
        super().__init__(network, dataset, normalizer, positions=positions, refinements=refinements, variance=variance)
        self.conserved = conserved

    def noise(self, like: Tensor, generator: Generator) -> Tensor:
        noise = super().noise(like, generator)
        grid = tuple(range(1, like.dim() - 1))
        return noise - noise.mean(grid, keepdim=True) if self.conserved else noise

    def loss(self, u: Tensor, target: Tensor, rollout: Rollout, loss: Loss, generator: Generator) -> Tensor:
        """The mean logarithm of the losses of v.

        Raises:
            ConfigError: What :meth:`examples` raises, or fewer examples than steps.
        """
        u, y = self.examples(u, target, rollout)
        steps = self.refinements + 1
        if len(u) < steps:
            raise ConfigError(
                f"operator.batch_size: {len(u)} examples; operator.stepper balanced needs one at least for each of the"
                f" {steps} steps that operator.stepper.refinements={self.refinements} asks for"
            )
        k = torch.arange(len(u)) % steps  # examples come in random order
        found, v = self.velocities(u, y, k, generator)
        each = torch.stack([loss(found[i::steps, None], v[i::steps, None]) for i in range(steps)])
        return each.clamp_min(torch.finfo(each.dtype).tiny).log().mean()
