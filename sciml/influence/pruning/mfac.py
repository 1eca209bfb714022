r"""Optimal brain surgeon with the inverse of the empirical Fisher matrix of m gradients.

With :math:`\hat F = \lambda I + \tfrac1m\sum_k g_k g_k^T`, whole or in square blocks on its diagonal, the weights with
the least :math:`\rho_i` go, and the others make up for them to second order:

.. math:: \rho_i = \frac{w_i^2}{2\,[\hat F^{-1}]_{ii}}, \qquad
          \delta w = -\sum_{i\ \mathrm{pruned}} \frac{w_i}{[\hat F^{-1}]_{ii}}\,\hat F^{-1} e_i .

Source: Frantar, Kurtic and Alistarh (2021), *M-FAC: Efficient Matrix-Free Approximations of Second-Order
Information*, arXiv:2107.03356, the static algorithm and its use for pruning; defaults as in the authors' code
(``main_prun.py``). The statistic and the change of a single weight are Hassibi and Stork's (1993); their sum over the
pruned weights neglects what these are to each other.

Deviations:

- The paper multiplies the inverse with one gradient after the other, :math:`\hat F_{k-1}^{-1} g_k`, m matrix-vector
  products; here one Gram matrix and one triangular solve give the same inverse (:mod:`sciml.linalg.woodbury`), in
  float64.
- The authors' code leaves the last of its m gradients zero, since its loop ends one batch early; here all m are there.

As there, the gradients of weights that were pruned before are no part of the matrix: pruning in several steps
estimates it anew on the weights that are left.
"""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from sciml.influence.pruning.base import Pruner, Weights, without_lowest
from sciml.linalg.woodbury import BlockWoodbury
from sciml.ranges import Count, Positive


@final
class MFAC(Pruner):
    """M-FAC, the static algorithm.

    Args:
        gradients: m.
        batch_size: Examples of which each gradient is the mean.
        damping: Lambda.
        block_size: Weights in a block of the matrix, consecutive among those that are left; None for one block.
    """

    def __init__(
        self,
        *,
        gradients: Count = 64,
        batch_size: Count = 32,
        damping: Positive = 1e-5,
        block_size: Count | None = 128,
    ) -> None:
        self.gradients, self.batch_size, self.damping, self.block_size = gradients, batch_size, damping, block_size

    def __call__(self, model: Weights, weights: Tensor, mask: Tensor, keep: int) -> tuple[Tensor, Tensor]:
        rows = model.gradients(weights, self.gradients, self.batch_size)[:, mask]
        inverse = BlockWoodbury(rows, self.damping, scale=self.gradients, block_size=self.block_size)
        left, diagonal = weights[mask].double(), inverse.diagonal()
        thinned = without_lowest(left.square() / (2 * diagonal), mask, keep)
        multipliers = torch.where(thinned[mask], 0.0, -left / diagonal)
        changed = torch.zeros_like(weights)
        changed[mask] = (left + inverse.solve(multipliers)).to(weights.dtype)
        return changed * thinned, thinned
