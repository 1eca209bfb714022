r"""Influence with the exact generalised Gauss-Newton matrix (GGN).

.. math:: I_{qi} = \nabla m_q^T (R^T R + (\lambda + \delta) I)^{-1} \nabla\ell_i, \qquad
          R^T R = \sum_i J_i^T (\nabla_z^2\ell_i) J_i,

Koh and Liang (2017), *Understanding Black-box Predictions via Influence Functions*, eq. 2, with the GGN for the Hessian
as in Bae et al. (2022), *If Influence Functions are the Answer, Then What is the Question?*, in the sign and scale of
:mod:`sciml.influence.base`. One matrix of the smaller side of R and one Cholesky factor in float64
(:mod:`sciml.linalg.woodbury`): with more rows than parameters the rows are summed up as they come, or never formed
(:mod:`sciml.influence.layered`), so that what is held is a square of the smaller of the two. No approximation of the
curvature is made, where Kronecker-factored attributors make two.
"""

from __future__ import annotations

from typing import final

from torch import Tensor

from sciml.errors import RunError
from sciml.influence.base import Params, Task
from sciml.influence.damped import Damped
from sciml.influence.layered import layered
from sciml.influence.rows import gathered
from sciml.linalg.woodbury import Woodbury
from sciml.ranges import NonNegative, Positive


@final
class GGN(Damped):
    r"""Dense, by rows or by parameters, whichever are fewer.

    Args:
        damping: As of :class:`sciml.influence.damped.Damped`.
        memory: Gigabytes that the matrix and the gradients may take.
    """

    def __init__(self, *, damping: NonNegative = 0.1, memory: Positive = 8.0) -> None:
        super().__init__(damping=damping)
        self.memory = memory

    def __call__(self, task: Task, params: Params) -> Tensor:
        size = sum(p.numel() for p in params.values())
        needed = 8e-9 * size * (min(size, task.n_train) + task.n_query)
        if needed > self.memory:
            raise RunError(
                f"attributor ggn: the matrix and the gradients of {task.n_query} queries for {size} parameters take"
                f" {needed:.1f} GB and more; choose influence/attributor=ekfac, or raise influence.attributor.memory"
            )
        moments = layered(task, params)
        rows, moments = gathered(task.blocks(params), size) if moments is None else (moments[:0], moments)
        trace = float(rows.square().sum() if moments is None else moments.trace())
        damping = self.added(task, trace / size)
        query = task.query_gradients(params)
        try:
            if moments is None:
                return Woodbury(rows, damping).quadratic(query, task.gradients(params))
            return task.against_gradients(params, Woodbury.of_moments(moments, damping).solve(query))
        except ValueError as error:
            raise RunError(f"attributor ggn: {error}") from error
