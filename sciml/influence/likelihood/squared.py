r"""Half the squared distance, the negative log-likelihood of a normal law with the identity for covariance.

.. math:: \ell(z, y) = \tfrac12 \|z - y\|^2, \qquad \nabla_z\ell = z - y, \qquad \nabla_z^2\ell = I,

up to a constant. Summed over everything that belongs to an example, outputs and tokens; never averaged. A mean
squared error over C outputs is 2/C times this.
"""

from __future__ import annotations

from typing import final

import torch
from torch import Generator, Tensor

from sciml.data.stream import normal
from sciml.influence.base import Likelihood


@final
class Squared(Likelihood):
    """Outputs and targets have the same shape ``(n, ..., C)``."""

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return (outputs - targets.reshape(outputs.shape)).square().flatten(1).sum(1) / 2

    def factors(self, outputs: Tensor) -> Tensor:
        size = outputs[0].numel()
        columns = torch.eye(size, dtype=outputs.dtype, device=outputs.device).reshape(size, 1, *outputs.shape[1:])
        return columns.expand(size, *outputs.shape)

    def sample(self, outputs: Tensor, k: int, generator: Generator) -> Tensor:
        return normal((k, *outputs.shape), generator, outputs)
