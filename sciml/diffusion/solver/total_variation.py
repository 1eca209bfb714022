r"""Total variation: the field with the smallest

.. math:: \tfrac12 \|A x - y\|^2 + \lambda \sum_i |(\nabla x)_i|, \qquad low \le x \le high ,

:math:`\nabla` differences between neighbours along each axis (none at the end), :math:`|\cdot|` their Euclidean norm
at a point: Rudin, Osher and Fatemi (1992). By the primal-dual method of Chambolle and Pock (2011), *A First-Order
Primal-Dual Algorithm for Convex Problems with Applications to Imaging*, Algorithm 1, as Sidky, Jørgensen and Pan
(2012), *Convex Optimization Problem Prototyping for Image Reconstruction in Computed Tomography with the Chambolle-Pock
Algorithm*, have it for this problem; with K = (A, ν∇),
:math:`\nu = \|A\| / \|\nabla\|`,

.. math:: p &\leftarrow \frac{p + s (A \bar x - y)}{1 + s}, \qquad
          q \leftarrow \frac{q + s\nu\nabla \bar x}{\max(1, |q + s\nu\nabla \bar x|\,\nu / \lambda)}, \\
          x' &= \mathrm{clip}(x - t (A^T p + \nu\nabla^T q)), \qquad \bar x \leftarrow 2 x' - x ,

which converges for :math:`s t \|K\|^2 < 1`. The classical answer for images that are constant in parts. A point
estimate, and a floor for learned priors: no prior is asked.
"""

from __future__ import annotations

import math
from typing import ClassVar, final

import torch
from torch import Generator, Tensor

from sciml.data.stream import normal, stream
from sciml.diffusion.base import LinearMeasurement, Measurement, Prior, Solver
from sciml.diffusion.linear import linear
from sciml.errors import ConfigError
from sciml.ranges import Count, Positive

_POWER = 100  # iterations for the norm of A
_MARGIN = 1.02  # on that norm, which they approach from below


@final
class TotalVariation(Solver):
    r"""Two products with A or its adjoint a step.

    Args:
        weight: λ, in units of the square of y over those of x.
        low: Smallest value of a field, or null.
        high: Largest value of a field, or null.
        steps: Number of steps.
        ratio: :math:`\sqrt{t / s}`; about the size of the field over that of the residual. Changes how fast the method
            converges, not to what.

    Raises:
        ConfigError: ``low`` is not below ``high``.
    """

    measures: ClassVar[type[Measurement]] = LinearMeasurement
    random: ClassVar[bool] = False

    def __init__(
        self,
        *,
        weight: Positive,
        low: float | None = None,
        high: float | None = None,
        steps: Count = 1000,
        ratio: Positive = 1.0,
    ) -> None:
        if low is not None and high is not None and low >= high:
            raise ConfigError(f"solver.low is {low}; it must be below solver.high, {high}")
        self.weight, self.low, self.high, self.steps, self.ratio = weight, low, high, steps, ratio

    def __call__(
        self, y: Tensor, measurement: Measurement, prior: Prior, shape: tuple[int, ...], generator: Generator
    ) -> Tensor:
        a = linear(measurement, "solver total_variation")
        size = _norm(a, y, shape)
        axes = len(shape) - 2
        nu = size / math.sqrt(4 * axes)  # the norm of differences along one axis is below 2
        step = 1 / (math.sqrt(2) * size)  # the norm of both together is at most sqrt(2) times this size
        s, t, radius = step / self.ratio, step * self.ratio, self.weight / nu
        x = torch.zeros(shape, dtype=y.dtype, device=y.device)
        ahead, p, q = x, torch.zeros_like(y), x.new_zeros(axes, *shape)
        for _ in range(self.steps):
            p = (p + s * (a(ahead) - y)) / (1 + s)
            q = q + s * nu * gradient(ahead)
            q = q / (torch.linalg.vector_norm(q, dim=0) / radius).clamp_min(1)
            moved = x - t * (a.adjoint(p) + nu * gradient_adjoint(q))
            if self.low is not None or self.high is not None:
                moved = moved.clamp(self.low, self.high)
            ahead, x = 2 * moved - x, moved
        return x


def gradient(x: Tensor) -> Tensor:
    """Differences of ``(batch, *grid, channels)`` along each axis of the grid, 0 at its end: ``(axes, *x.shape)``."""
    parts = []
    for axis in range(1, x.ndim - 1):
        last = torch.zeros_like(x.narrow(axis, 0, 1))
        parts.append(torch.cat([x.diff(dim=axis), last], dim=axis))
    return torch.stack(parts)


def gradient_adjoint(q: Tensor) -> Tensor:
    """The transpose of :func:`gradient`."""
    found = torch.zeros_like(q[0])
    for axis, part in enumerate(q, start=1):
        inner = part.narrow(axis, 0, part.shape[axis] - 1)
        edge = torch.zeros_like(part.narrow(axis, 0, 1))
        found = found - torch.cat([inner, edge], dim=axis) + torch.cat([edge, inner], dim=axis)
    return found


def _norm(a: LinearMeasurement, y: Tensor, shape: tuple[int, ...]) -> float:
    """A little more than the norm of A, by power iteration."""
    v = normal((1, *shape[1:]), stream("power", 0), y)
    for _ in range(_POWER):
        v = a.adjoint(a(v / v.norm()))
    return _MARGIN * math.sqrt(float(v.norm()))
