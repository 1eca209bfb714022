r"""Influence with the exact Hessian: the ceiling of every table.

.. math:: I_{qi} = \nabla m_q^T (H + \delta I)^{-1} \nabla\ell_i, \qquad
          H = \nabla^2\Big(\textstyle\sum_i \ell_i + \tfrac{\lambda}{2}\|\theta\|^2\Big),

Koh and Liang (2017), *Understanding Black-box Predictions via Influence Functions*, eq. 2, in the sign and scale
of :mod:`sciml.influence.base`. Everything by forward and reverse differentiation of the task in float64, one dense
Cholesky factor: for up to some thousand parameters.
"""

from __future__ import annotations

from typing import ClassVar, final

import torch
from torch import Tensor

from sciml.errors import RunError
from sciml.influence.base import Attributor, Params, Task
from sciml.influence.flat import flatten, unflatten
from sciml.ranges import NonNegative


@final
class ExactHessian(Attributor):
    """Dense Hessian, dense solve.

    Args:
        damping: Delta, added to every eigenvalue; 0 is the influence itself.
    """

    exact: ClassVar[bool] = True

    def __init__(self, *, damping: NonNegative = 0.0) -> None:
        self.damping = damping

    def __call__(self, task: Task, params: Params) -> Tensor:
        theta = flatten(params)

        def objective(vector: Tensor) -> Tensor:
            return task.losses(unflatten(vector, params)).sum() + task.decay / 2 * vector.square().sum()

        hessian = torch.func.hessian(objective)(theta)
        hessian = (hessian + hessian.T) / 2 + self.damping * torch.eye(len(theta)).to(theta)
        factor, info = torch.linalg.cholesky_ex(hessian)
        if int(info) != 0:
            lowest = float(torch.linalg.eigvalsh(hessian)[0])
            raise RunError(
                f"attributor exact_hessian: the Hessian has the eigenvalue {lowest:.3g}, so the parameters are no"
                f" strict minimum; train longer, or set influence.attributor.damping above {-lowest:.3g}"
            )
        train = torch.func.jacrev(lambda vector: task.losses(unflatten(vector, params)))(theta)
        query = torch.func.jacrev(lambda vector: task.measure(unflatten(vector, params)))(theta)
        return query @ torch.cholesky_solve(train.T, factor)
