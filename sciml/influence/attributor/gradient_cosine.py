r"""Cosines of gradients.

.. math:: I_{qi} = \frac{\nabla m_q^T \nabla\ell_i}{\|\nabla m_q\|\,\|\nabla\ell_i\|},

so that an example with a large gradient does not lead every query's list: Barshan, Brunet and Dziugaite (2020),
*RelatIF: Identifying Explanatory Training Examples via Relative Influence*, with the identity for the Hessian. Without
unit.
"""

from __future__ import annotations

from typing import ClassVar, final

from sciml.influence.kronecker.attributor import Kronecker


@final
class GradientCosine(Kronecker):
    """No curvature, one pass.

    Args:
        batch_size: Examples at once.
        precision: Of the products: ``float32`` or ``bfloat16``.
    """

    rotate: ClassVar[bool] = False
    spectrum: ClassVar[str] = "one"
    normalise: ClassVar[bool] = True

    def __init__(self, *, batch_size: int = 1024, precision: str = "float32") -> None:
        super().__init__(batch_size=batch_size, precision=precision)
