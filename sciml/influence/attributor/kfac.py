r"""K-FAC influence: the GGN of a block is a Kronecker product.

.. math:: \text{GGN} \approx \tfrac1M\, G \otimes A,

with the eigenvalues that follow from it (:mod:`sciml.influence.kronecker.basis`). Exact for deep linear networks with a
squared loss, whose output gradients are the same for all examples. Martens and Grosse (2015), *Optimizing Neural
Networks with Kronecker-factored Approximate Curvature*. Deviation: damping is added to the eigenvalues of the product
and not, factored, to A and G.
"""

from __future__ import annotations

from typing import ClassVar, final

from sciml.influence.kronecker.attributor import Kronecker


@final
class KFAC(Kronecker):
    """The ablation of EK-FAC without the correction of eigenvalues."""

    rotate: ClassVar[bool] = True
    spectrum: ClassVar[str] = "product"
