r"""Relative errors of whole trajectories, means over the examples of a batch.

With the norm of all states, grid points and channels of an example together, on physical fields:

.. math:: \frac{\|p - u\|}{\|u\|}

as in Li et al. (2021), *Fourier Neural Operator for Parametric Partial Differential Equations*, section 5. For
:class:`RelativeH1` the norm is :math:`(\|u\|_2^2 + \|\nabla u\|_2^2)^{1/2}` on the unit box (Li et al. 2024,
*Physics-Informed Neural Operator*; the loss of neuraloperator's examples). :class:`RelativeGradient` adds to the
relative L2 error a multiple of that of the gradient, as Wu et al. (2024), *Transolver*, do on Darcy's problem.
"""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from sciml.metric import relative_l2_each
from sciml.operator.base import Loss
from sciml.ranges import NonNegative


@final
class RelativeL2(Loss):
    """The metric itself.

    Args:
        periodic: Which axes close; not needed here.
    """

    def __init__(self, periodic: tuple[bool, ...]) -> None:
        pass

    def __call__(self, prediction: Tensor, target: Tensor) -> Tensor:
        return relative_l2_each(prediction, target).mean()


@final
class RelativeH1(Loss):
    """Values and first derivatives count alike.

    Args:
        periodic: Which axes close.
    """

    def __init__(self, periodic: tuple[bool, ...]) -> None:
        self.periodic = periodic

    def __call__(self, prediction: Tensor, target: Tensor) -> Tensor:
        return relative_l2_each(self._with_slopes(prediction), self._with_slopes(target)).mean()

    def _with_slopes(self, u: Tensor) -> Tensor:
        return torch.cat([u[..., None], gradient(u, self.periodic)], dim=-1)


@final
class RelativeGradient(Loss):
    """Relative L2 error, and that of the gradient.

    Args:
        periodic: Which axes close.
        weight: Of the gradient's error.
    """

    def __init__(self, periodic: tuple[bool, ...], *, weight: NonNegative) -> None:
        self.periodic, self.weight = periodic, weight

    def __call__(self, prediction: Tensor, target: Tensor) -> Tensor:
        slopes = relative_l2_each(gradient(prediction, self.periodic), gradient(target, self.periodic))
        return (relative_l2_each(prediction, target) + self.weight * slopes).mean()


def gradient(u: Tensor, periodic: tuple[bool, ...]) -> Tensor:
    """Second-order differences on the unit box, one-sided at ends: ``(..., *grid, c)`` to ``(..., *grid, c, axes)``."""
    slopes = []
    for axis, closed in enumerate(periodic, start=u.ndim - 1 - len(periodic)):
        n = u.shape[axis]
        if closed:
            slopes.append((u.roll(-1, axis) - u.roll(1, axis)) * (n / 2))
        else:
            slopes.append(torch.gradient(u, spacing=1 / (n - 1), dim=axis, edge_order=2)[0])
    return torch.stack(slopes, dim=-1)
