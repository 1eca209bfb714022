r"""Inner products of gradients: influence with the identity for the Hessian.

.. math:: I_{qi} = \nabla m_q^T \nabla\ell_i,

TracIn of Pruthi et al. (2020), *Estimating Training Data Influence by Tracing Gradient Descent*, with one checkpoint
and step size 1. In units of squared gradients, not of m.
"""

from __future__ import annotations

from typing import final

from sciml.influence.kronecker.gradient_product import GradientProduct


@final
class Identity(GradientProduct):
    """No curvature."""
