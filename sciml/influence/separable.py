r"""Scores of all pairs from an inverse spectrum that is taken apart, without forming gradients.

.. math:: D \approx \sum_{k=1}^r u_k v_k^T + \sum_{(o,j)\in\Omega} E_{oj}\,e_o e_j^T, \qquad
          s_{qi} \approx \sum_{ktt'} \big((u_k\circ\tilde g_{qt})^T\tilde g_{it'}\big)
          \big((v_k\circ\tilde a_{qt})^T\tilde a_{it'}\big) + \sum_{(o,j)\in\Omega} E_{oj}\,P_{q,oj}\,P_{i,oj},

with the names of :mod:`sciml.influence.score`: r outer products and single entries, the same for every pair. An outer
product costs :math:`d_{out} + d_{in}` multiplications for a pair with one token, an entry one; there are
:math:`r(d_{out} + d_{in})` entries, so that they double the cost. Outer products alone need four times as many for the
same error: where the curvature was measured from few examples, some entries of D fit no pattern.

A score is a sum over coordinates of products of D with two gradients, so an error E of D adds about
:math:`\sum_{oj} W_{oj} E_{oj}^2` to its square, where W is the product of the mean squares of the two. Examples are to
be told apart, the many with small gradients too, so these are mean squares of gradients of norm 1 (:func:`moments`).
With W from raw gradients, or from the spectrum, the few examples with large ones are served and the order of the others
is lost. For the outer products, rows and columns of D are scaled by the roots of the means of W, and the singular value
decomposition is cut off; the entries are those whose error, with its own W, is largest then; and once more, with these
entries left to the second sum: the first algorithm of Zhou and Tao (2011), *GoDec: Randomized Low-rank & Sparse Matrix
Decomposition in Noisy Case*, weighted.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from sciml.influence.score import TILE, Examples, pairs


@dataclass(frozen=True)
class Separable:
    """D taken apart.

    Args:
        u: ``(r, d_out)``, and v ``(r, d_in)``: the outer products.
        outs: Rows of the entries, ``(m,)``, and ins their columns.
        left: E there, ``(m,)``: what the outer products lack.
    """

    u: Tensor
    v: Tensor
    outs: Tensor
    ins: Tensor
    left: Tensor

    def matrix(self) -> Tensor:
        """What stands for D, ``(d_out, d_in)``."""
        found = self.u.T @ self.v
        found[self.outs, self.ins] += self.left
        return found

    def cost(self, query: Examples, train: Examples) -> int:
        """Multiplications for a pair."""
        return len(self.u) * query.inputs.shape[1] * train.inputs.shape[1] * sum(train.sizes) + len(self.left)

    def scores(self, query: Examples, train: list[Examples], precision: torch.dtype) -> Tensor:
        """Scores ``(q, n)`` of examples given as factors; the products in ``precision``."""
        assert query.grads is not None
        dtype = query.inputs.dtype
        u, v, left = (x.to(query.inputs) for x in (self.u, self.v, self.left))
        grads, inputs = (x[:, None] * w[:, None] for x, w in ((query.grads, u), (query.inputs, v)))
        repeated = Examples(inputs.flatten(1, 2), grads.flatten(1, 2))
        entries = (self._entries(query) * left[:, None]).T.to(precision)
        parts: list[Tensor] = []
        for part in train:
            scores = pairs(repeated, part, precision)
            pieces = 1 + len(part) * len(left) // TILE
            size = -(-len(part) // pieces)
            for i in range(0, len(part), size):
                rows = slice(i, i + size)
                scores[:, rows] += (entries @ self._entries(part[rows]).to(precision)).to(dtype)
            parts.append(scores)
        return torch.cat(parts, dim=1)

    def _entries(self, examples: Examples) -> Tensor:
        """Those of the gradients, ``(m, n)``."""
        assert examples.grads is not None
        # Whole rows of transposed factors are picked several times faster than columns.
        grads, inputs = (x.permute(1, 2, 0).contiguous() for x in (examples.grads, examples.inputs))
        found = grads[0][self.outs].mul_(inputs[0][self.ins])
        for g, a in zip(grads[1:], inputs[1:], strict=True):
            found.addcmul_(g[self.outs], a[self.ins])
        return found


def take_apart(inverse: Tensor, rank: int, weights: Tensor) -> Separable:
    """The above for D.

    Args:
        inverse: D, ``(d_out, d_in)`` in float64.
        rank: r, positive.
        weights: W, of the same shape, not negative.
    """
    weights = weights / weights.max().clamp(min=torch.finfo(weights.dtype).tiny)
    rows, columns = (weights.clamp(min=1e-14).mean(dim).sqrt() for dim in (1, 0))
    entries = min(rank * sum(inverse.shape), inverse.numel())

    def once(patterned: Tensor) -> Separable:
        scaled = rows[:, None] * patterned * columns
        left = torch.linalg.eigh(scaled @ scaled.T).eigenvectors[:, -rank:].T  # faster than singular values
        u, v = left / rows, left @ scaled / columns
        error = inverse - u.T @ v
        worst = (weights * error.square()).flatten().topk(entries).indices
        outs, ins = worst // inverse.shape[1], worst % inverse.shape[1]
        return Separable(u, v, outs, ins, error[outs, ins])

    first = once(inverse)
    patterned = inverse.clone()
    patterned[first.outs, first.ins] -= first.left
    return once(patterned)  # a third time would take off a twentieth of the error


def moments(examples: Examples) -> Tensor:
    """Sum over examples of the squares of their gradients, each divided by its norm: ``(d_out, d_in)`` in float64."""
    norms = examples.square_norms().clamp(min=torch.finfo(examples.inputs.dtype).tiny)
    if examples.grads is not None and examples.grads.shape[1] == 1:
        scaled = examples.grads[:, 0].square() / norms[:, None]
        return (scaled.T @ examples.inputs[:, 0].square()).double()
    total = torch.zeros(examples.sizes, dtype=torch.float64, device=norms.device)
    rows = max(1, TILE // total.numel())
    for i in range(0, len(examples), rows):
        part = slice(i, i + rows)
        total += (examples[part].gradients().square() / norms[part, None, None]).sum(0).double()
    return total
