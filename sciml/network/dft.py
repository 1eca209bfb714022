r"""A few Fourier modes of real fields, by products with small real matrices or by the FFT.

Fields lie grid first, ``(*grid, batch, channels)``. Then every transform along an axis is a matrix product whose other
operand lies in memory as it is, and the modes come out as the batches of a batched product, ``(modes, 2 batch,
channels)``: the real parts of all examples, then the imaginary ones. In two dimensions nothing is copied on the way.

Of the :math:`m_j` modes of axis j out of d, those are kept that the grid of n points represents,

.. math:: k_j = -m_j, \ldots, m_j - 1, \quad -\tfrac n2 \le k_j < \tfrac n2 \quad (j < d), \qquad
    k_d = 0, \ldots, m_d - 1, \quad k_d \le \tfrac n2

(Li et al. 2021, *Fourier Neural Operator for Parametric Partial Differential Equations*, section 4). Back on the grid
the conjugate half of :math:`k_d` is added, as ``irfftn`` does: the imaginary part of what is its own conjugate (on the
last axis 0 and n/2) does not count, so that every spectrum gives a real field, the same by both ways.

Modes come in the order :math:`(k_2, \ldots, k_d, k_1)`, each ascending, which is the order in which they arise.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

Sizes = tuple[int, ...]
_cache: dict[tuple[Sizes, Sizes, torch.dtype, torch.device], tuple[Tensor, ...]] = {}


def kept(grid: Sequence[int], modes: Sequence[int]) -> list[range]:
    """Frequencies that are kept, by axis."""
    whole = [range(-min(m, n // 2), min(m, (n + 1) // 2)) for n, m in zip(grid[:-1], modes[:-1], strict=True)]
    return [*whole, range(min(modes[-1], grid[-1] // 2 + 1))]


def prefers_dft(grid: Sequence[int], modes: Sequence[int]) -> bool:
    """Whether the matrices are the faster way: up to 80 modes an axis, 250 where n has a prime factor above 7.

    Measured there and back with gradients, one core of an AMD EPYC with MKL, 22 November 2026, for grids of one to
    three axes with 16 to 8192 points. Below, the matrices take less by a factor of 1.1 to 6 on grids of small primes,
    of 2 to 12 on 85, 211 and 1021 points; at twice as many modes the FFT takes about half.
    """
    return all(
        len(frequencies) <= (80 if _smooth(n) else 250) * (1 if j == len(grid) - 1 else 2)
        for j, (n, frequencies) in enumerate(zip(grid, kept(grid, modes), strict=True))
    )


def _smooth(n: int) -> bool:
    for prime in (2, 3, 5, 7):
        while n % prime == 0:
            n //= prime
    return n == 1


def to_modes(x: Tensor, modes: Sizes, *, fft: bool = False) -> Tensor:
    """Modes ``(modes, 2 batch, channels)`` of fields ``(*grid, batch, channels)``, divided by the number of points."""
    *grid, batch, channels = x.shape
    if fft:
        return _to_modes_fft(x, kept(grid, modes))
    d, width = len(grid), batch * channels
    matrix = _matrices(tuple(grid), modes, x.dtype, x.device)[:d]
    if d == 1:
        return (matrix[0] @ x.reshape(grid[0], width)).view(-1, 2 * batch, channels)
    x = torch.matmul(matrix[-1], x.reshape(-1, grid[-1], width))  # one product a line
    done = len(matrix[-1]) // 2
    for j in range(d - 2, 0, -1):
        x = torch.matmul(matrix[j], x.reshape(-1, 2 * grid[j], done * width))
        done *= len(matrix[j]) // 2
    x = torch.matmul(matrix[0], x.view(2 * grid[0], done, width).transpose(0, 1))  # one product a mode
    return x.reshape(-1, 2 * batch, channels)


def to_grid(y: Tensor, grid: Sizes, modes: Sizes, *, fft: bool = False) -> Tensor:
    """The fields ``(*grid, batch, channels)`` that have these modes."""
    batch, channels = y.shape[1] // 2, y.shape[2]
    frequencies = kept(grid, modes)
    if fft:
        return _to_grid_fft(y, grid, frequencies)
    d, width = len(grid), batch * channels
    matrix = _matrices(grid, modes, y.dtype, y.device)[d:]
    if d == 1:
        return (matrix[0] @ y.reshape(-1, width)).view(*grid, batch, channels)
    y = torch.matmul(matrix[0], y.reshape(-1, 2 * len(frequencies[0]), width))
    if d == 2:
        y = y.view(-1, grid[0], width).transpose(0, 1)
    else:
        y = y.view(*map(len, frequencies[1:]), 2, grid[0], width).movedim((-2, -3), (0, 1))
        for j in range(1, d - 1):
            points, rest = math.prod(grid[:j]), math.prod(map(len, frequencies[j + 1 :]))
            y = y.reshape(points, 2, len(frequencies[j]), rest * width).transpose(1, 2)
            y = torch.matmul(matrix[j], y.reshape(points, -1, rest * width))
        y = y.reshape(math.prod(grid[:-1]), -1, width)
    return torch.matmul(matrix[-1], y).view(*grid, batch, channels)


def to_modes_along(x: Tensor, modes: int, axis: int, *, fft: bool = False) -> Tensor:
    """Modes of one axis, ``(modes, 2 others, channels)``, where all that lies on the other axes counts as batch."""
    n, channels = x.shape[axis], x.shape[-1]
    if fft:
        return to_modes(x.movedim(axis, 0).reshape(n, -1, channels), (modes,), fft=True)
    matrix = _matrices((n,), (modes,), x.dtype, x.device)[0]
    before = math.prod(x.shape[:axis])
    x = torch.matmul(matrix, x.reshape(before, n, -1)).view(before, len(matrix) // 2, 2, -1)
    return x.permute(1, 2, 0, 3).reshape(len(matrix) // 2, -1, channels)


def to_grid_along(y: Tensor, shape: Sequence[int], modes: int, axis: int, *, fft: bool = False) -> Tensor:
    """The fields of this shape that have these modes along one axis."""
    n, before = shape[axis], math.prod(shape[:axis])
    if fft:
        moved = [n, *shape[:axis], *shape[axis + 1 :]]
        return to_grid(y, (n,), (modes,), fft=True).view(moved).movedim(0, axis)
    matrix = _matrices((n,), (modes,), y.dtype, y.device)[1]
    y = y.view(len(y), 2, before, -1).permute(2, 0, 1, 3).reshape(before, 2 * len(y), -1)
    return torch.matmul(matrix, y).view(*shape)


def _to_modes_fft(x: Tensor, frequencies: list[range]) -> Tensor:
    last = len(frequencies) - 1
    z = torch.fft.rfft(x, dim=last, norm="forward").narrow(last, 0, len(frequencies[last]))
    for j in range(last - 1, -1, -1):
        z = torch.fft.fft(z, dim=j, norm="forward")
        negative, positive = -frequencies[j].start, frequencies[j].stop
        z = torch.cat([z.narrow(j, z.shape[j] - negative, negative), z.narrow(j, 0, positive)], dim=j)
    z = torch.view_as_real(z)  # (k_1, ..., k_d, batch, channels, 2)
    z = z.permute(*range(1, last + 1), 0, last + 3, last + 1, last + 2)
    return z.reshape(-1, 2 * z.shape[-2], z.shape[-1])


def _to_grid_fft(y: Tensor, grid: Sizes, frequencies: list[range]) -> Tensor:
    last, sizes = len(grid) - 1, [len(r) for r in frequencies]
    y = y.reshape(*sizes[1:], sizes[0], 2, y.shape[1] // 2, y.shape[2])
    y = y.permute(last, *range(last), last + 2, last + 3, last + 1)
    z = torch.view_as_complex(y.contiguous())
    for j in range(last):
        negative, positive = -frequencies[j].start, frequencies[j].stop
        gap = z.new_zeros(*z.shape[:j], grid[j] - sizes[j], *z.shape[j + 1 :])
        z = torch.cat([z.narrow(j, negative, positive), gap, z.narrow(j, 0, negative)], dim=j)
        z = torch.fft.ifft(z, dim=j, norm="forward")
    return torch.fft.irfft(z, n=grid[-1], dim=last, norm="forward")


@torch.compiler.assume_constant_result
def _matrices(grid: Sizes, modes: Sizes, dtype: torch.dtype, device: torch.device) -> tuple[Tensor, ...]:
    """Of each axis the matrix to its modes, then of each axis the matrix back.

    Kept for the next call and never part of a module: copies and checkpoints of a network have none of them. Made in
    float64, from phases that are exact fractions of a turn, and then rounded.
    """
    key = grid, modes, dtype, device
    if key not in _cache:
        made = [*_forward(grid, modes), *_back(grid, modes)]
        with torch.inference_mode(False):
            _cache[key] = tuple(torch.from_numpy(np.ascontiguousarray(m)).to(device, dtype) for m in made)
    return _cache[key]


def _turns(frequencies: range, points: int) -> tuple[np.ndarray, np.ndarray]:
    """Cosines and sines of 2π k x / n, by frequency and point."""
    phase = 2 * math.pi * (np.outer(np.array(frequencies), np.arange(points)) % points) / points
    return np.cos(phase), np.sin(phase)


def _rotation(cos: np.ndarray, sin: np.ndarray, rows: str, columns: str) -> np.ndarray:
    """The real matrix of a multiplication with cos + i sin; of part (real, imaginary) and place, which comes first."""
    parts = np.array([[cos, -sin], [sin, cos]])  # (part out, part in, place out, place in)
    axes = ((0, 2) if rows == "part-place" else (2, 0)) + ((1, 3) if columns == "part-place" else (3, 1))
    return parts.transpose(axes).reshape(2 * cos.shape[0], 2 * cos.shape[1])


def _forward(grid: Sizes, modes: Sizes) -> list[np.ndarray]:
    made = []
    for j, (n, frequencies) in enumerate(zip(grid, kept(grid, modes), strict=True)):
        cos, sin = _turns(frequencies, n)
        if j == len(grid) - 1:
            parts = np.stack([cos, -sin], axis=1 if j == 0 else 0)
            made.append(parts.reshape(-1, n) / n)
        else:
            made.append(_rotation(cos, -sin, "place-part" if j == 0 else "part-place", "place-part") / n)
    return made


def _back(grid: Sizes, modes: Sizes) -> list[np.ndarray]:
    made = []
    for j, (n, frequencies) in enumerate(zip(grid, kept(grid, modes), strict=True)):
        cos, sin = (part.T for part in _turns(frequencies, n))
        if j == len(grid) - 1:
            twice = np.array([1.0 if 2 * k % n == 0 else 2.0 for k in frequencies])  # its conjugate is another mode
            parts = np.stack([twice * cos, -twice * sin], axis=1 if j >= 2 else 2)
            made.append(parts.reshape(n, -1))
        else:
            made.append(_rotation(cos, sin, "part-place" if j == 0 else "place-part", "place-part"))
    return made
