r"""The basis in which the curvature of a block is taken to be diagonal: eigenvectors of two small matrices.

For a layer with inputs a and output gradients g (:mod:`sciml.influence.capture`), summed over examples i, tokens t and
seeds k (:mod:`sciml.influence.curvature`), of which there are M pairs (i, t) that count,

.. math:: A = \sum_{it} a_{it}a_{it}^T = Q_A S_A Q_A^T, \qquad G = \sum_{kit} g_{kit}g_{kit}^T = Q_G S_G Q_G^T, \qquad
          \text{GGN} \approx \tfrac1M\, G \otimes A,

Martens and Grosse (2015), *Optimizing Neural Networks with Kronecker-factored Approximate Curvature*, for sums.
This is ``expand`` of Eschenhagen et al. (2023), *Kronecker-Factored Approximate Curvature for Modern Neural Network
Architectures*, section 3; with ``reduce`` inputs are averaged and output gradients summed over the tokens of an example
first, and M is the number of examples. With one token the two are the same. Deviation: a side of more than ``most``
features stays as it is, and its matrix is taken to be diagonal.

The matrices are summed, and decomposed, in float64.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from sciml.errors import RunError
from sciml.influence.capture import Record


@dataclass(frozen=True)
class Basis:
    """Of one block.

    Args:
        left: Columns are eigenvectors of G, ``(d_out, d_out)``; None leaves the side as it is. ``right`` of A alike.
        spectrum: Eigenvalues of the Kronecker product, ``(d_out, d_in)`` in float64: of a sum over examples.
    """

    left: Tensor | None
    right: Tensor | None
    spectrum: Tensor

    def rotate(self, record: Record) -> Record:
        """The same record in this basis."""
        inputs = record.inputs if self.right is None else record.inputs @ self.right
        grads = record.grads if self.left is None else record.grads @ self.left
        return Record(inputs, grads, record.tokens)

    def rotate_gradients(self, gradients: Tensor) -> Tensor:
        """Gradients ``(n, d_out, d_in)`` in this basis."""
        right = gradients if self.right is None else gradients @ self.right
        return right if self.left is None else self.left.T @ right


class _Side:
    """A sum of outer products, or only its diagonal."""

    def __init__(self, size: int, most: int) -> None:
        self.sum = torch.zeros((size, size) if size <= most else (size,), dtype=torch.float64)

    def add(self, rows: Tensor) -> None:
        new = rows.T @ rows if self.sum.dim() == 2 else rows.square().sum(0)
        self.sum = self.sum.to(new.device) + new.double()

    def decompose(self, what: str) -> tuple[Tensor | None, Tensor]:
        if not bool(self.sum.isfinite().all()):
            raise RunError(f"{what} are not finite: the network, or its inputs, hold NaN or infinity")
        if self.sum.dim() == 1:
            return None, self.sum
        values, vectors = torch.linalg.eigh(self.sum)
        return vectors, values.clamp(min=0)


def fit(batches: Iterable[dict[str, Record]], *, sharing: str, most: int) -> dict[str, Basis]:
    """Bases of all blocks from one pass over the training examples.

    Args:
        batches: Records with the seeds of the curvature.
        sharing: ``expand`` or ``reduce``.
        most: Features that a side may have to be decomposed.

    Raises:
        RunError: Inputs or gradients of a block are not finite.
    """
    sides: dict[str, tuple[_Side, _Side]] = {}
    pairs: dict[str, float] = {}
    dtypes: dict[str, torch.dtype] = {}
    for batch in batches:
        for name, record in batch.items():
            inputs, grads, count = _shared(record, sharing)
            if name not in sides:
                sides[name] = _Side(grads.shape[-1], most), _Side(inputs.shape[-1], most)
                pairs[name], dtypes[name] = 0.0, inputs.dtype
            sides[name][0].add(grads.flatten(0, -2))
            sides[name][1].add(inputs.flatten(0, -2))
            pairs[name] += count
    bases: dict[str, Basis] = {}
    for name, (left, right) in sides.items():
        q_right, s_right = right.decompose(f"inputs of {name}")  # first: a bad input spoils the gradients too
        q_left, s_left = left.decompose(f"output gradients of {name}")
        bases[name] = Basis(
            None if q_left is None else q_left.to(dtypes[name]),
            None if q_right is None else q_right.to(dtypes[name]),
            torch.outer(s_left, s_right) / max(pairs[name], 1.0),
        )
    return bases


def _shared(record: Record, sharing: str) -> tuple[Tensor, Tensor, float]:
    if sharing == "expand":
        return record.inputs, record.grads, float(record.tokens.sum())
    counts = record.tokens.sum(1).clamp(min=1)
    return record.inputs.sum(1) / counts[:, None], record.grads.sum(2), float(len(record.inputs))
