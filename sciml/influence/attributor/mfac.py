r"""Influence with the empirical Fisher matrix of all training examples, inverted as M-FAC does.

.. math:: I_{qi} = \nabla m_q^T \big((\lambda + \delta) I + \textstyle\sum_j \nabla\ell_j \nabla\ell_j^T\big)^{-1}
          \nabla\ell_i,

the static algorithm of Frantar, Kurtic and Alistarh (2021), *M-FAC: Efficient Matrix-Free Approximations of
Second-Order Information*, in the sign of :mod:`sciml.influence.base`. Sums, not means, so that the matrix stands where
the Hessian of the summed loss does. The gradients of the losses are the rows that the matrix is made of, hence
:math:`I = M G^T (G G^T + (\lambda+\delta) I)^{-1}`: one Gram matrix and one Cholesky factor in float64, and nothing is
lost to cancellation.

The empirical Fisher matrix is the Hessian neither in scale nor, far from a perfect fit, in shape: examples with a
small loss count for little in it. It needs no likelihood, only losses.
"""

from __future__ import annotations

from typing import final

from torch import Tensor

from sciml.errors import RunError
from sciml.influence.base import Params, Task
from sciml.influence.damped import Damped
from sciml.linalg.woodbury import Woodbury


@final
class MFAC(Damped):
    """Dense gradients, dual solve."""

    def __call__(self, task: Task, params: Params) -> Tensor:
        rows = task.gradients(params)
        damping = self.added(task, float(rows.square().sum()) / rows.shape[1])
        try:
            return Woodbury(rows, damping).against_rows(task.query_gradients(params))
        except ValueError as error:
            raise RunError(f"attributor mfac: {error}") from error
