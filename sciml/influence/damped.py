r"""Attributors that invert one matrix over all parameters, damped: what they share.

.. math:: I_{qi} = \nabla m_q^T (C + (\lambda + \delta) I)^{-1} \nabla\ell_i

with a curvature C of the summed losses, the decay :math:`\lambda` of the task, and :math:`\delta` in units of the mean
eigenvalue of C, its trace by the number of parameters.
"""

from __future__ import annotations

from abc import ABC

from sciml.errors import RunError
from sciml.influence.base import Attributor, Task
from sciml.ranges import NonNegative


class Damped(Attributor, ABC):
    r"""One damping for all parameters.

    Args:
        damping: :math:`\delta` in units of the mean eigenvalue. With 0, the decay of the task must be positive.
    """

    def __init__(self, *, damping: NonNegative = 0.1) -> None:
        self.damping = damping

    def added(self, task: Task, mean: float) -> float:
        r""":math:`\lambda + \delta` for a matrix with this mean eigenvalue.

        Raises:
            RunError: It is zero.
        """
        found = task.decay + self.damping * mean
        if found <= 0:
            name = type(self).__name__.lower()
            raise RunError(
                f"attributor {name}: the task has no decay, so influence.attributor.damping must be positive"
            )
        return found
