r"""Solution operators of PDEs as maps of fields: from a coefficient, a source or an initial state x to the solution.

What is measured of a solution is another matter: ``measurement: solution`` puts any measurement behind any of these.

Where u is given by a discrete equation R(x, u) = 0, derivatives of the solution follow from those of R (the implicit
function theorem), with one more linear solve and nothing kept of the iterations:

.. math:: \dot u = -\Big(\frac{\partial R}{\partial u}\Big)^{-1} \frac{\partial R}{\partial x}\dot x, \qquad
          \bar x = -\Big(\frac{\partial R}{\partial x}\Big)^T \Big(\frac{\partial R}{\partial u}\Big)^{-T} \bar u .
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable


class Solution(nn.Module, ABC):
    """Fields ``(batch, *grid, 1)`` to solutions of the same shape, float64. Differentiable in both modes.

    Attributes:
        axes: Of the grid; None for any number.
    """

    axes: ClassVar[int | None] = None

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """The solutions."""

    def linearised(self, x: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
        r"""The solutions, and rows :math:`w_i^T \partial u / \partial x` of their Jacobian, one backward pass each.

        Args:
            x: Fields ``(batch, *grid, 1)``.
            weights: w, the same for all fields, ``(m, *grid, 1)``.

        Returns:
            Solutions, and rows ``(batch, m, *grid, 1)``, without a graph.
        """
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            u = self(x)
            rows = [torch.autograd.grad(u, x, w.expand_as(u), retain_graph=True)[0] for w in weights]
        return u.detach(), torch.stack(rows, dim=1)


class LinearSolution(Solution):
    """One that is linear in x."""

    @abstractmethod
    def transpose(self, u: Tensor) -> Tensor:
        """The transpose, in the plain inner products of both sides."""


def implicit(
    x: Tensor, solve: Callable[[Tensor, Tensor | None], Tensor], residual: Callable[[Tensor, Tensor], Tensor]
) -> Tensor:
    r"""The u of R(x, u) = 0, with R affine in u and its linear part symmetric.

    Args:
        x: What the equation depends on ``(batch, ...)``.
        solve: The solution v of :math:`-\partial R / \partial u\; v = r` for ``x`` and right sides ``r``; for None in
            their place the u of the equation itself.
        residual: R of ``x`` and ``u``, differentiable in ``x``; where it has values v has the same.
    """
    return _Implicit.apply(x, solve, residual)  # type: ignore[return-value]


class _Implicit(torch.autograd.Function):
    @staticmethod
    def forward(x: Tensor, solve: Callable[..., Tensor], residual: Callable[..., Tensor]) -> Tensor:
        return solve(x, None)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        x, ctx.solve, ctx.residual = inputs
        ctx.save_for_backward(x, output)
        ctx.save_for_forward(x, output)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None, None]:  # type: ignore[override]
        x, u = ctx.saved_tensors
        weights = ctx.solve(x, grad_outputs[0])
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            (found,) = torch.autograd.grad(ctx.residual(x, u), x, weights)
        return found, None, None

    @staticmethod
    def jvp(ctx: Any, *grad_inputs: Any) -> Tensor:
        x, u = ctx.saved_tensors
        change = torch.func.jvp(lambda x: ctx.residual(x, u), (x,), (grad_inputs[0],))[1]
        return ctx.solve(x, change)
