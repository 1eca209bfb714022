r"""Cosines of gradients.

.. math:: I_{qi} = \frac{\nabla m_q^T \nabla\ell_i}{\|\nabla m_q\|\,\|\nabla\ell_i\|},

so that an example with a large gradient does not lead every query's list: Barshan, Brunet and Dziugaite (2020),
*RelatIF: Identifying Explanatory Training Examples via Relative Influence*, with the identity for the Hessian. Without
unit.
"""

from __future__ import annotations

from typing import ClassVar, final

from sciml.influence.kronecker.gradient_product import GradientProduct


@final
class GradientCosine(GradientProduct):
    """No curvature, and no size."""

    normalise: ClassVar[bool] = True
