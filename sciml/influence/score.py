r"""Scores of all pairs of query and training example for one block.

.. math:: s_{qi} = \sum_{oj} P_{q,oj}\, D_{oj}\, P_{i,oj}, \qquad P = \sum_t \tilde g_t \tilde a_t^T, \qquad
          D = \frac{1}{\Lambda + \lambda},

with per-example gradients P in a basis where the curvature is diagonal. Two ways to the same number:

- :func:`dense` forms the gradients, a tile of them at a time, and multiplies;
- :func:`pairs` takes the query's gradient, times D, as a sum of r outer products :math:`u_k v_k^T` and never forms any
  gradient: :math:`s_{qi} = \sum_{kt} (u_{qk}^T\tilde g_{it})(v_{qk}^T\tilde a_{it})`, which costs r(d_out + d_in)
  instead of d_out d_in for a pair.

Where D is 1, the query's own tokens are the r outer products. Else they come from

- :mod:`sciml.influence.separable`: D is replaced by a sum of outer products and single entries, the same for every
  query;
- :func:`compress`: each query's gradient, times D, is replaced by its best approximation of rank r: query batching of
  Grosse et al. (2023), *Studying Large Language Model Generalization with Influence Functions*, section 3.2.2.

With ``bfloat16`` the factors are rounded to 8 bits of mantissa, products are summed in float32.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from sciml.data.stream import normal

TILE = 1 << 22  # entries of a tile of gradients
NEGLIGIBLE = 1e-7  # of the root mean square of the scores


@dataclass(frozen=True)
class Examples:
    """Gradients of n examples for one block, as factors or whole.

    Args:
        inputs: ``(n, T, d_in)``; without ``grads`` the gradients themselves, ``(n, d_out, d_in)``.
        grads: ``(n, T, d_out)``.
    """

    inputs: Tensor
    grads: Tensor | None

    @property
    def sizes(self) -> tuple[int, int]:
        """d_out and d_in."""
        side = self.inputs.shape[1] if self.grads is None else self.grads.shape[-1]
        return side, self.inputs.shape[-1]

    def __len__(self) -> int:
        return len(self.inputs)

    def __getitem__(self, rows: slice | Tensor) -> Examples:
        return Examples(self.inputs[rows], None if self.grads is None else self.grads[rows])

    def to(self, dtype: torch.dtype) -> Examples:
        """Rounded to another precision."""
        return Examples(self.inputs.to(dtype), None if self.grads is None else self.grads.to(dtype))

    def gradients(self, out: slice = slice(None)) -> Tensor:
        """``(n, outs, d_in)`` for some of the outputs."""
        if self.grads is None:
            return self.inputs[:, out]
        if self.grads.shape[1] == 1:
            return self.grads[:, 0, out, None] * self.inputs
        return self.grads[:, :, out].mT @ self.inputs

    def smaller(self) -> Examples:
        """Whole instead of as factors, where that is less to keep."""
        d_out, d_in = self.sizes
        if self.grads is None or self.inputs.shape[1] * (d_out + d_in) <= d_out * d_in:
            return self
        return Examples(self.gradients(), None)

    def square_norms(self) -> Tensor:
        """Of the gradients, ``(n,)``."""
        if self.grads is None:
            return self.inputs.square().sum((1, 2))
        return ((self.grads @ self.grads.mT) * (self.inputs @ self.inputs.mT)).sum((1, 2))


def dense(query: Examples, train: Examples, inverse: Tensor, precision: torch.dtype) -> Tensor:
    """Scores ``(q, n)`` with D ``(d_out, d_in)``, by forming gradients; the products in ``precision``."""
    query, train, inverse = _alive(query, train, inverse)
    d_out, d_in = train.sizes
    dtype = inverse.dtype
    scores = torch.zeros(len(query), len(train), dtype=dtype, device=inverse.device)
    if inverse.numel() == 0:  # these queries, or these examples, have no gradients here
        return scores
    train = train.to(precision)
    width = max(1, min(d_out, 4096 // d_in))
    rows = max(1, TILE // (width * d_in))
    for o in range(0, d_out, width):
        out = slice(o, o + width)
        left = (query.gradients(out) * inverse[out]).flatten(1).to(precision)
        for i in range(0, len(train), rows):
            right = train[slice(i, i + rows)].gradients(out).flatten(1)
            scores[:, i : i + rows] += (left @ right.T).to(dtype)
    return scores


def _alive(query: Examples, train: Examples, inverse: Tensor) -> tuple[Examples, Examples, Tensor]:
    """Without the features that add less than rounding errors: pixels that are always black, units that are dead."""
    if query.grads is None or train.grads is None or query.grads.shape[1] > 1 or train.grads.shape[1] > 1:
        return query, train, inverse
    energy = inverse.square().double()
    for grads, inputs in ((query.grads, query.inputs), (train.grads, train.inputs)):
        energy = energy * (grads[:, 0].square().T @ inputs[:, 0].square()).double()
    keep: list[Tensor] = []
    for share in (energy.sum(1), energy.sum(0)):
        ordered = share.sort()
        small = ordered.values.cumsum(0) <= NEGLIGIBLE**2 * share.sum()
        keep.append(ordered.indices[~small].sort().values)
    out, into = keep
    return (
        Examples(query.inputs[..., into], query.grads[..., out]),
        Examples(train.inputs[..., into], train.grads[..., out]),
        inverse[out][:, into],
    )


def pairs(query: Examples, train: Examples, precision: torch.dtype) -> Tensor:
    """Scores ``(q, n)`` for D = 1, or with D in the factors of the query already."""
    if query.grads is None or train.grads is None:
        return dense(query, train, torch.ones(train.sizes).to(query.inputs), precision)
    dtype = query.inputs.dtype
    query, train = query.to(precision), train.to(precision)
    assert query.grads is not None
    assert train.grads is not None
    n, tokens = train.inputs.shape[:2]
    r = query.inputs.shape[1]
    g, a = train.grads.flatten(0, 1).T, train.inputs.flatten(0, 1).T
    scores = torch.empty(len(query), n, dtype=dtype, device=query.inputs.device)
    rows = max(1, TILE // max(1, r * n * tokens))
    for q in range(0, len(query), rows):
        product = (query.grads[q : q + rows].flatten(0, 1) @ g).mul_(query.inputs[q : q + rows].flatten(0, 1) @ a)
        scores[q : q + rows] = product.reshape(-1, r, n, tokens).to(dtype).sum((1, 3))
    return scores


def compress(query: Examples, inverse: Tensor, rank: int, generator: Generator) -> Examples:
    """The r largest singular triples of each query's gradient times D.

    By subspace iteration from a random start (Halko, Martinsson and Tropp 2011, *Finding Structure with Randomness*,
    algorithm 4.4, two iterations, eight vectors more than asked for).
    """
    d_out, d_in = query.sizes
    if rank >= min(d_out, d_in):
        return Examples(query.gradients() * inverse, None)
    grads: list[Tensor] = []
    inputs: list[Tensor] = []
    rows = max(1, TILE // (d_out * d_in))
    start = normal((d_in, min(rank + 8, d_out, d_in)), generator, inverse)
    for q in range(0, len(query), rows):
        matrix = query[slice(q, q + rows)].gradients() * inverse
        basis = torch.linalg.qr(matrix @ start).Q
        for _ in range(2):
            basis = torch.linalg.qr(matrix @ torch.linalg.qr(matrix.mT @ basis).Q).Q
        u, s, vh = torch.linalg.svd(basis.mT @ matrix, full_matrices=False)
        grads.append(((basis @ u[..., :rank]) * s[..., None, :rank]).mT)
        inputs.append(vh[..., :rank, :])
    return Examples(torch.cat(inputs), torch.cat(grads))
