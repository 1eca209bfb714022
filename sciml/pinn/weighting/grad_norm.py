r"""Gradient norms: weights that make the gradients of all terms equally long.

.. math:: \hat\lambda_c = \frac{\frac1m \sum_j |\nabla_\theta L_j|}{|\nabla_\theta L_c|}

as a running average. Source: Wang, Sankaran, Wang and Perdikaris, "An expert's guide to training physics-informed
neural networks", arXiv 2308.08468, algorithm 1 and section 5.2. As in the authors' code (jaxpi, ``compute_weights``)
the numerator is the mean where the paper has the sum, so that the weights are about 1. No weight exceeds 100 000, where
jaxpi's branch ``pirate`` adds 1e-5 of the mean to each norm.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from sciml.pinn.weighting.adaptive import Adaptive, balanced, gradients


class GradNorm(Adaptive):
    """Equal gradient norms. Takes the arguments of :class:`Adaptive`."""

    def measure(self, residuals: Callable[[], dict[str, Tensor]], parameters: Sequence[Tensor]) -> tuple[Tensor, int]:
        found = residuals()
        rows = gradients([found[name].square().mean() for name in self.conditions], parameters)
        return balanced(torch.linalg.vector_norm(rows, dim=1)), len(rows)
