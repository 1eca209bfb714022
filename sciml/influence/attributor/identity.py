r"""Inner products of gradients: influence with the identity for the Hessian.

.. math:: I_{qi} = \nabla m_q^T \nabla\ell_i,

TracIn of Pruthi et al. (2020), *Estimating Training Data Influence by Tracing Gradient Descent*, with one checkpoint
and step size 1. In units of squared gradients, not of m.
"""

from __future__ import annotations

from typing import ClassVar, final

from sciml.influence.kronecker.attributor import Kronecker


@final
class Identity(Kronecker):
    """No curvature, one pass.

    Args:
        batch_size: Examples at once.
        precision: Of the products: ``float32`` or ``bfloat16``.
    """

    rotate: ClassVar[bool] = False
    spectrum: ClassVar[str] = "one"

    def __init__(self, *, batch_size: int = 1024, precision: str = "float32") -> None:
        super().__init__(batch_size=batch_size, precision=precision)
