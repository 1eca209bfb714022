r"""EK-FAC influence: Kronecker-factored eigenvectors, measured eigenvalues.

.. math:: \text{GGN} \approx (Q_G \otimes Q_A)\,\mathrm{diag}(\Lambda)\,(Q_G \otimes Q_A)^T

block by block, :math:`\Lambda` the diagonal of the GGN in that basis (:mod:`sciml.influence.kronecker.spectrum`), which
is the best diagonal there. Grosse et al. (2023), *Studying Large Language Model Generalization with Influence
Functions*, with George et al. (2018). Deviations: the exact GGN instead of one sample for an example where outputs are
few; every parameter counts, not only those of the MLP layers; sums instead of means.
"""

from __future__ import annotations

from typing import ClassVar, final

from sciml.influence.kronecker.attributor import Kronecker


@final
class EKFAC(Kronecker):
    """The attributor of choice for a trained network."""

    rotate: ClassVar[bool] = True
    spectrum: ClassVar[str] = "second_moment"
