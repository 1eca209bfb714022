"""Named parameters as one float64 vector and back: what a dense Hessian is a matrix on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from sciml.influence.base import Params  # which needs this module


def flatten(params: Params) -> Tensor:
    """All parameters in the order of their names' insertion, ``(d,)`` in float64."""
    return torch.cat([p.detach().double().flatten() for p in params.values()])


def unflatten(vector: Tensor, like: Params) -> Params:
    """The inverse of :func:`flatten`, with the shapes of ``like``; keeps the dtype of ``vector``."""
    parts = vector.split([p.numel() for p in like.values()])
    return {name: part.reshape(p.shape) for (name, p), part in zip(like.items(), parts, strict=True)}


def double(x: Tensor) -> Tensor:
    """In float64, where it is no index."""
    return x.double() if x.is_floating_point() else x
