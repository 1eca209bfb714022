r"""The rows R of a generalised Gauss-Newton matrix :math:`R^T R`, or the matrix itself, whichever is smaller."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from sciml.linalg.woodbury import add_moments


def gathered(blocks: Iterable[Tensor], size: int) -> tuple[Tensor, Tensor | None]:
    """All rows of the blocks, ``(rows, size)``, and None; or, of more rows than columns, none and their moments."""
    parts: list[Tensor] = []
    moments: Tensor | None = None
    for block in blocks:
        parts.append(block)
        if moments is None and sum(map(len, parts)) > size:
            moments = block.new_zeros(size, size)
        if moments is not None:
            for part in parts:
                add_moments(moments, part)
            parts = []
    return (torch.cat(parts), None) if moments is None else (moments.new_empty(0, size), moments)
