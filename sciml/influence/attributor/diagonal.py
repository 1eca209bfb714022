r"""Influence with the diagonal of the generalised Gauss-Newton matrix in the parameters as they are.

.. math:: I_{qi} = \sum_j \frac{(\nabla m_q)_j\,(\nabla\ell_i)_j}{\Lambda_j + \lambda}, \qquad
          \Lambda_j = \sum_{ki} (J_i^T s_{ki})_j^2 .

The usual cheap baseline; it knows no correlation of parameters.
"""

from __future__ import annotations

from typing import ClassVar, final

from sciml.influence.curvature import Curvature
from sciml.influence.kronecker.attributor import Kronecker, Precision
from sciml.ranges import Count, NonNegative


@final
class Diagonal(Kronecker):
    """EK-FAC with nothing rotated; arguments as there, without those for the rotation."""

    rotate: ClassVar[bool] = False
    spectrum: ClassVar[str] = "second_moment"

    def __init__(
        self,
        *,
        damping: NonNegative = 0.1,
        curvature: Curvature = "auto",
        samples: Count = 8,
        batch_size: Count = 1024,
        precision: Precision = "float32",
    ) -> None:
        super().__init__(
            damping=damping, curvature=curvature, samples=samples, batch_size=batch_size, precision=precision
        )
