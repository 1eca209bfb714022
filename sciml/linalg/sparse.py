"""A constant sparse matrix that multiplies batches of vectors, with derivatives of both modes.

torch's own product has no forward mode, and warns that its compressed rows are in beta state; of them only the product
with a dense matrix is used here. The transpose is kept beside the matrix, so that both directions are that product.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

Product = Callable[[Tensor], Tensor]


class Sparse(nn.Module):
    """A matrix ``(rows, columns)`` in float64.

    Args:
        row: Of each entry ``(entries,)``; entries at the same place are added.
        column: Of each entry.
        value: Of each entry.
        shape: ``(rows, columns)``.
    """

    _forth: Tensor
    _back: Tensor

    def __init__(self, row: Tensor, column: Tensor, value: Tensor, shape: tuple[int, int]) -> None:
        super().__init__()
        self.register_buffer("_forth", _compressed(row, column, value, shape), persistent=False)
        self.register_buffer("_back", _compressed(column, row, value, (shape[1], shape[0])), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """The matrix times each row of ``x`` ``(batch, columns)``: ``(batch, rows)``."""
        return _Product.apply(x, self._forward, self._backward)  # type: ignore[return-value]

    def transpose(self, y: Tensor) -> Tensor:
        """Its transpose times each row of ``y`` ``(batch, rows)``: ``(batch, columns)``."""
        return _Product.apply(y, self._backward, self._forward)  # type: ignore[return-value]

    def _forward(self, x: Tensor) -> Tensor:
        return (self._forth @ x.mT).mT

    def _backward(self, y: Tensor) -> Tensor:
        return (self._back @ y.mT).mT


def _compressed(row: Tensor, column: Tensor, value: Tensor, shape: tuple[int, int]) -> Tensor:
    place, where = torch.unique(row * shape[1] + column, return_inverse=True)  # sorted: by rows, then by columns
    total = torch.zeros(len(place), dtype=torch.float64, device=value.device).index_add_(0, where, value.double())
    start = torch.searchsorted(place, torch.arange(shape[0] + 1, device=place.device) * shape[1])
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta state", UserWarning)
        return torch.sparse_csr_tensor(start, place % shape[1], total, shape, check_invariants=True)


class _Product(torch.autograd.Function):
    """A product with a constant matrix; the matrices are inside functions, as ``torch.func`` takes no sparse tensor."""

    @staticmethod
    def forward(x: Tensor, forth: Product, back: Product) -> Tensor:
        return forth(x)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        _, ctx.forth, ctx.back = inputs

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None, None]:
        return _Product.apply(grad_outputs[0], ctx.back, ctx.forth), None, None  # type: ignore[return-value]

    @staticmethod
    def jvp(ctx: Any, *grad_inputs: Any) -> Tensor:
        return _Product.apply(grad_inputs[0], ctx.forth, ctx.back)  # type: ignore[return-value]
