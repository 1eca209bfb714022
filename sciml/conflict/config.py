r"""ConFIG: the direction that makes the same angle with the gradients of all losses, so that no loss is sacrificed.

.. math::
    g_u = \mathcal U\left([\mathcal U(g_1), \dots, \mathcal U(g_m)]^{-\top} 1_m\right), \qquad
    g_{\text{ConFIG}} = \left(\sum_i g_i^\top g_u\right) g_u,

with :math:`\mathcal U(g) = g / |g|` and :math:`M^{-\top}` the pseudoinverse of :math:`M^\top`. Source: Liu, Chu and
Thuerey, "ConFIG: Towards conflict-free training of physics informed neural networks", ICLR 2025 (arXiv 2408.11104),
the equations that define its operator G; authors' code ``conflictfree.grad_operator.ConFIG_update``.

Deviation: the authors solve least squares in the P unknowns; the minimum-norm solution is a combination of the unit
gradients, whose m coefficients solve their m x m Gram matrix, here in float64. A loss without gradient is left out, and
where the gradients cancel each other exactly the direction is zero.
"""

from __future__ import annotations

import torch
from torch import Tensor

from sciml.conflict.base import Direction


class ConFIG(Direction):
    """Equal angles to all gradients."""

    def forward(self, gradients: dict[str, Tensor]) -> Tensor:
        return conflict_free(torch.stack(list(gradients.values())))


def conflict_free(gradients: Tensor) -> Tensor:
    """The direction (P,) of ConFIG for gradients (m, P)."""
    units = _unit(gradients)
    gram = units.double() @ units.double().T
    coefficients = torch.linalg.pinv(gram, hermitian=True).sum(dim=1)
    direction = _unit(coefficients.to(gradients) @ units)
    return (gradients @ direction).sum() * direction


def _unit(vectors: Tensor) -> Tensor:
    """Rows of length 1, and rows of zeros as they are."""
    lengths = torch.linalg.vector_norm(vectors, dim=-1, keepdim=True)
    return vectors / torch.where(lengths > 0, lengths, torch.ones_like(lengths))
