"""Correlation of scores with what they predict.

Definitions: Pearson's r of the centred rows; Spearman's rho is Pearson's r of the ranks, where equal
values share the mean of the ranks they occupy. A row without spread has correlation 0: it orders nothing.
"""

from __future__ import annotations

import torch
from torch import Tensor


def ranks(x: Tensor) -> Tensor:
    """Ranks 1..n along the last dimension, ties averaged; ``(..., n)`` to float64 ``(..., n)``."""
    order = x.sort(dim=-1).values.contiguous()
    x = x.contiguous()
    smaller = torch.searchsorted(order, x)
    not_larger = torch.searchsorted(order, x, right=True)
    return (smaller + 1 + not_larger).double() / 2


def pearson(x: Tensor, y: Tensor) -> Tensor:
    """Pearson's r along the last dimension, ``(..., n)`` and ``(..., n)`` to ``(...)``."""
    x, y = x.double(), y.double()
    # Asked of the values themselves: after centring, a constant row is rounding noise, not zero.
    spread = (x.amax(-1) > x.amin(-1)) & (y.amax(-1) > y.amin(-1))
    x, y = x - x.mean(-1, keepdim=True), y - y.mean(-1, keepdim=True)
    scale = (x.norm(dim=-1) * y.norm(dim=-1)).clamp(min=torch.finfo(torch.float64).tiny)
    return torch.where(spread, (x * y).sum(-1) / scale, torch.zeros_like(scale))


def spearman(x: Tensor, y: Tensor) -> Tensor:
    """Spearman's rho along the last dimension, ``(..., n)`` and ``(..., n)`` to ``(...)``."""
    return pearson(ranks(x), ranks(y))
