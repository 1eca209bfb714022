r"""A function of (t, x), periodic in x: a Fourier series whose coefficients are piecewise Chebyshev series in t.

    u(t, x) = Σ_k Σ_m c_km T_m(s(t)) e^{iκ_k x} ,   s(t) ∈ [−1, 1] on each piece of the time axis.

A spectral solver gives it, and it is then known everywhere with all its derivatives, which autograd asks for one order
at a time: ∂/∂t differentiates the Chebyshev series, ∂/∂x multiplies by iκ.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sciml.equation.etdrk4 import ETDRK4

_PART = 2048  # points that are evaluated at once, each against all modes


@dataclass(frozen=True)
class Piece:
    """The series on [start, end].

    Attributes:
        start: Where it begins.
        end: Where it ends.
        coefficients: c (degree + 1, modes), complex.
        wavenumbers: κ (modes,).
    """

    start: float
    end: float
    coefficients: Tensor
    wavenumbers: Tensor


class Series:
    """The function.

    Args:
        pieces: In the order of time, without gaps. Before the first and after the last those continue.
        real: The function is the real part, (n, 1); else real and imaginary part, (n, 2).
    """

    def __init__(self, pieces: Sequence[Piece], *, real: bool) -> None:
        self.pieces, self.real = tuple(pieces), real
        self._inner = torch.tensor([piece.start for piece in pieces[1:]], dtype=torch.float64)
        self._in_time: dict[tuple[int, int], Tensor] = {}

    def __call__(self, x: Tensor) -> Tensor:
        """Values (n, 1) or (n, 2) at points ``x`` (n, 2) of (t, x), float64, any number of times differentiable."""
        return _Evaluate.apply(x.double(), self, 0, 0)  # type: ignore[return-value]

    def derivative(self, x: Tensor, in_t: int, in_x: int) -> Tensor:
        """A partial derivative at points, without a graph."""
        points = x.detach().cpu()
        found = torch.empty(len(points), 1 if self.real else 2, dtype=torch.float64)
        where = torch.bucketize(points[:, 0].contiguous(), self._inner, right=True)
        for i in where.unique().tolist():
            piece = self.pieces[i]
            scale = 2 / (piece.end - piece.start)
            modes = self._differentiated(i, in_t) * (1j * piece.wavenumbers) ** in_x
            for rows in (where == i).nonzero().squeeze(1).split(_PART):
                t, along = points[rows].unbind(-1)
                amplitude = _chebyshev((t - piece.start) * scale - 1, len(modes)).to(modes.dtype) @ modes
                phase = along.unsqueeze(1) * piece.wavenumbers
                cos, sin = torch.cos(phase), torch.sin(phase)
                found[rows, 0] = (amplitude.real * cos - amplitude.imag * sin).sum(dim=1)
                if not self.real:
                    found[rows, 1] = (amplitude.real * sin + amplitude.imag * cos).sum(dim=1)
        return found.to(x.device)

    def _differentiated(self, i: int, in_t: int) -> Tensor:
        """Coefficients of a derivative in t of one piece; kept, as several derivatives in x ask for them."""
        if (i, in_t) not in self._in_time:
            piece = self.pieces[i]
            scale = 2 / (piece.end - piece.start)
            c = np.polynomial.chebyshev.chebder(piece.coefficients.numpy(), in_t, scl=scale)
            self._in_time[i, in_t] = torch.from_numpy(np.atleast_2d(c))
        return self._in_time[i, in_t]


class _Evaluate(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, series: Series, in_t: int, in_x: int) -> Tensor:
        ctx.save_for_backward(x)
        ctx.what = series, in_t, in_x
        return series.derivative(x, in_t, in_x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        (x,), (series, in_t, in_x) = ctx.saved_tensors, ctx.what
        slopes = [_Evaluate.apply(x, series, in_t + 1, in_x), _Evaluate.apply(x, series, in_t, in_x + 1)]
        return torch.stack([(gradients[0] * slope).sum(dim=-1) for slope in slopes], dim=-1), None, None, None  # type: ignore[operator]


def solve(
    linear: np.ndarray,
    nonlinear: Callable[[np.ndarray], np.ndarray],
    start: np.ndarray,
    wavenumbers: np.ndarray,
    *,
    times: Sequence[float],
    degree: int,
    h: float | Sequence[float],
    real: bool,
    cut: float = 1e-16,
) -> Series:
    """Solve û' = L û + N(û) by ETDRK4, and keep the solution as a series.

    Args:
        linear: The diagonal of L (modes,).
        nonlinear: N.
        start: û at the first time (modes,). u is the sum of û_k e^{iκ_k x}, for a real function over all k of which
            those from zero on are given, as ``rfft`` does.
        wavenumbers: κ (modes,).
        times: Ends of the pieces.
        degree: Chebyshev degree in t on each piece.
        h: Largest step, of all pieces or one for each.
        real: The function is real.
        cut: Modes below this part of the largest are left out of a piece.
    """
    nodes = -np.cos(math.pi / degree * np.arange(degree + 1))
    to_coefficients = np.linalg.inv(np.polynomial.chebyshev.chebvander(nodes, degree))
    steps = list(h) if isinstance(h, Sequence) else [h] * (len(times) - 1)
    pieces, state = [], start.astype(complex)
    twice = np.where(wavenumbers > 0, 2.0, 1.0) if real else 1.0  # û_{−k} is the conjugate of û_k
    made: dict[tuple[float, int], ETDRK4] = {}
    for begin, end, largest in zip(times[:-1], times[1:], steps, strict=True):
        values = [state]
        for gap in ((end - begin) / 2 * np.diff(nodes)).tolist():
            n = math.ceil(gap / largest - 1e-9)
            key = (float(f"{gap:.12g}"), n)  # the nodes are symmetric: a piece has each gap twice
            if key not in made:
                made[key] = ETDRK4(linear, nonlinear, gap / n)
            for _ in range(n):
                state = made[key](state)
            values.append(state)
        coefficients = twice * (to_coefficients @ np.stack(values))
        size = np.abs(coefficients).max(axis=0)
        kept = size > cut * size.max()
        pieces.append(Piece(begin, end, torch.from_numpy(coefficients[:, kept]), torch.from_numpy(wavenumbers[kept])))
    return Series(pieces, real=real)


def _chebyshev(s: Tensor, n: int) -> Tensor:
    """T_0, ..., T_{n−1} at s (points,): (points, n)."""
    columns = [torch.ones_like(s), s]
    while len(columns) < n:
        columns.append(2 * s * columns[-1] - columns[-2])
    return torch.stack(columns[:n], dim=-1)
