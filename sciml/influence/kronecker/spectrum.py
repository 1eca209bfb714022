r"""The curvature along each direction of a basis: the second moment of per-example gradients, measured and not assumed.

.. math:: \Lambda_{oi} = \sum_{ki'} \Big(\sum_t \tilde g_{ki'to}\,\tilde a_{i'ti}\Big)^2,

with :math:`\tilde a, \tilde g` in the basis: the diagonal of the GGN there. The eigenvalue correction of George et al.
(2018), *Fast Approximate Natural Gradient Descent in a Kronecker-factored Eigenbasis*, as a sum. The square is
of the sum over tokens, never the sum of squares. With one token per example no gradient is formed: the sum over
examples is one product of the squares, :math:`\Lambda = (\tilde G^{\circ 2})^T \tilde A^{\circ 2}`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from sciml.influence.capture import Record

NUMBERS = 1 << 24  # entries of the gradients that are formed at one time


def second_moment(record: Record) -> Tensor:
    """Lambda of one batch, ``(d_out, d_in)`` in float64."""
    k, n, tokens, d_out = record.grads.shape
    d_in = record.inputs.shape[-1]
    if tokens == 1:
        return (record.grads[:, :, 0].square().sum(0).T @ record.inputs[:, 0].square()).double()
    total = torch.zeros(d_out, d_in, dtype=torch.float64, device=record.inputs.device)
    chunk = max(1, NUMBERS // (k * d_out * d_in))
    for i in range(0, n, chunk):
        part = Record(record.inputs[i : i + chunk], record.grads[:, i : i + chunk], record.tokens[i : i + chunk])
        total += part.gradients().square().sum((0, 1)).double()
    return total
