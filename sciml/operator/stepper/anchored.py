r"""PDE-Refiner whose refinements see, and give, differences from the first prediction in units of the noise.

Steps, noise and sampling are those of :mod:`sciml.operator.stepper.refiner`. What differs is the network's part in a
step :math:`k \geq 1`, with :math:`\sigma_k^2 = (1 - \bar\alpha_k) / \bar\alpha_k` and the normalised change
:math:`\hat y_0` that step 0 predicts:

.. math::
    \hat y_k = \hat y_0 + \sigma_k\,F_\theta\Big(\frac{x_k / \sqrt{\bar\alpha_k} - \hat y_0}{\sigma_k},\ \hat y_0,\ u,\
    k\Big), \qquad \hat y_0 = F_\theta(0, 0, u, 0),

trained on :math:`\sum_k \|\hat y_k - y\|^2` with :math:`\hat y_0` taken as given where it is refined.

Why: for v, a network has to take its own guess of y from what it is shown and to multiply the rest by
:math:`1/\sigma_k`, up to 1600 in the paper's last step; until it can, the loss of these steps stays near 1 and its
gradient hides that of step 0. Here the difference is made for it. This is no published method: it is what PDE-Refiner
needs in order to train in a thousandth of its authors' 896 000 steps.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import final

import torch
from torch import Generator, Tensor, nn

from sciml.data.normalizer import Normalizer
from sciml.operator.base import Dataset, Loss, Rollout
from sciml.operator.stepper.base import NetworkFactory
from sciml.operator.stepper.refiner import Refiner
from sciml.ranges import Count, ProperFraction


@final
class Anchored(Refiner):
    """Predicts, then refines the difference from the prediction.

    Args:
        network: Called with the numbers of channels, and ``conditions=1``.
        dataset: Its inputs hold whole states.
        normalizer: Of states, and of changes.
        positions: Append coordinates to what the network sees.
        refinements: K.
        variance: s, of the last noise, relative to that of a change.
        share: Of a batch that trains step 0; the rest is spread over the refinements at random.

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
        refinements: Count = 1,
        variance: ProperFraction = 1e-3,
        share: ProperFraction = 0.5,
    ) -> None:
        super().__init__(network, dataset, normalizer, positions=positions, refinements=refinements, variance=variance)
        self.share = share

    def build(self, network: NetworkFactory, in_features: int, out_features: int) -> nn.Module:
        return super().build(network, in_features + out_features, out_features)

    def estimate(self, x: Tensor, seen: Tensor, k: int, first: Tensor) -> Tensor:
        return self.estimates(x, seen, torch.full((len(x),), k), first)

    def estimates(self, x: Tensor, seen: Tensor, k: Tensor, first: Tensor) -> Tensor:
        """Changes of examples at steps ``k`` (n,) on the CPU; ``first`` does not count where k is 0."""
        signal, noise = self.shares(k, x)
        refines = (k > 0).view(noise.shape).to(x)
        sigma = torch.where(refines > 0, noise / signal, 1.0)
        anchor = refines * first
        shown = refines * (x / torch.where(refines > 0, signal, 1.0) - anchor) / sigma
        given = self.velocity(torch.cat([shown, anchor], dim=-1), seen, k.to(x.device))
        return anchor + sigma * given

    def loss(self, u: Tensor, target: Tensor, rollout: Rollout, loss: Loss, generator: Generator) -> Tensor:
        """The loss of changes, compared step by step; raises what :meth:`examples` does."""
        u, y = self.examples(u, target, rollout)
        seen, n = self.encode(u), len(u)
        plain = min(max(round(self.share * n), 1), n)  # examples come in random order
        k = torch.zeros(n, dtype=torch.long)
        k[plain:] = torch.randint(1, self.refinements + 1, (n - plain,), generator=generator)
        signal, noisy = self.shares(k, y)
        x = signal * y + noisy * self.noise(y, generator)
        first = torch.zeros_like(y)
        if plain < n:
            with torch.no_grad():
                first[plain:] = self.estimate(x[plain:], seen[plain:], 0, first[plain:])
        return loss(self.estimates(x, seen, k, first)[:, None], y[:, None])
