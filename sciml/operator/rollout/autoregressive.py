"""Train as is tested: every predicted state is fed back in, and gradients pass through all steps.

For targets of one state it is the network itself.
"""

from __future__ import annotations

from typing import final

from torch import Tensor

from sciml.operator.base import FieldMap, Rollout


@final
class Autoregressive(Rollout):
    """Unrolls as many states as the targets have."""

    def train(self, network: FieldMap, u0: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        return self(network, u0, target.shape[1]), target
