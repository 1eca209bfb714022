r"""Fourier coefficients of fields on boxes, periodic or not.

An axis that does not close is continued evenly over its end points, so that no jump pollutes the high modes: its
coefficients are those of the cosine series, with half-integer wavenumbers. Wavenumbers count waves a box.
"""

from __future__ import annotations

import torch
from torch import Tensor


def extended(u: Tensor, periodic: tuple[bool, ...]) -> Tensor:
    """Fields ``(..., *grid, channels)`` as periodic ones: every axis with ends grows from n to 2n - 2 points."""
    first = u.ndim - 1 - len(periodic)
    for axis, closed in enumerate(periodic, start=first):
        if not closed:
            inner = u.narrow(axis, 1, u.shape[axis] - 2)
            u = torch.cat([u, inner.flip(axis)], dim=axis)
    return u


def coefficients(u: Tensor, periodic: tuple[bool, ...]) -> Tensor:
    r""":math:`\hat u_k` of ``(..., *grid, channels)``; :math:`\sum_k |\hat u_k|^2` is the mean square."""
    whole = extended(u, periodic)
    axes = tuple(range(whole.ndim - 1 - len(periodic), whole.ndim - 1))
    return torch.fft.fftn(whole, dim=axes, norm="forward")


def wavenumbers(grid: tuple[int, ...], periodic: tuple[bool, ...], device: torch.device) -> Tensor:
    r""":math:`|k|` of the coefficients of fields on a grid, shaped like the extended grid."""
    squares = torch.zeros((), device=device)
    for axis, (n, closed) in enumerate(zip(grid, periodic, strict=True)):
        points = n if closed else 2 * n - 2
        k = torch.fft.fftfreq(points, 1 / points, device=device) * (1 if closed else 0.5)
        squares = squares + k.square().reshape([-1 if i == axis else 1 for i in range(len(grid))])
    return squares.sqrt()
