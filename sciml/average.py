r"""A moving average of the weights, for testing:

.. math:: \bar\theta_{k} = \lambda \bar\theta_{k-1} + (1 - \lambda)\,\theta_k

after every optimiser step, from :math:`\bar\theta_0 = \theta_0`. Deviation from what some codes do: no warm-up of
:math:`\lambda`; after k steps a share :math:`\lambda^k` of the start remains, so training must be much longer than
:math:`1/(1-\lambda)` steps.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from sciml.ranges import Momentum


class Average(nn.Module):
    """The average of a module's parameters, kept as buffers: saved, moved and loaded with everything else.

    Args:
        module: Whose parameters.
        decay: λ in [0, 1); 0 keeps none, and the weights themselves are what is tested.
    """

    def __init__(self, module: nn.Module, decay: Momentum) -> None:
        super().__init__()
        self.decay = decay
        self._module = [module]  # in a list: it is no part of this one
        if decay:
            for i, p in enumerate(module.parameters()):
                self.register_buffer(f"mean_{i}", p.detach().clone())

    def _parts(self) -> tuple[list[Tensor], list[Tensor]]:
        return list(self.buffers()), [p.data for p in self._module[0].parameters()]

    def follow(self, optimizer: Optimizer) -> None:
        """Update after every step of an optimiser."""
        if self.decay:
            optimizer.register_step_post_hook(lambda *_: self.update())

    @torch.no_grad()
    def update(self) -> None:
        """Take in the present weights."""
        mean, now = self._parts()
        torch._foreach_lerp_(mean, now, 1 - self.decay)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """The module has its average weights while the block runs."""
        if not self.decay:
            yield
            return
        self._exchange()
        try:
            yield
        finally:
            self._exchange()

    @torch.no_grad()
    def _exchange(self) -> None:
        mean, now = self._parts()
        kept = [p.clone() for p in now]
        torch._foreach_copy_(now, mean)
        torch._foreach_copy_(mean, kept)
