r"""Which vectors in the outputs stand for the curvature of a loss there.

The generalised Gauss-Newton matrix (GGN) of a sum of losses is
:math:`\sum_i J_i^T (\nabla_z^2\ell_i) J_i = \sum_i\sum_k (J_i^T s_{ki})(J_i^T s_{ki})^T` with vectors, called seeds,

- ``exact``: the columns of a square root of :math:`\nabla_z^2\ell` ("type 2"), one for each output;
- ``monte_carlo``: :math:`\nabla_z\ell/\sqrt k` for k targets drawn from the model itself ("type 1"), so that the
  mean outer product is the Fisher information, equal to the GGN in expectation for these likelihoods;
- ``empirical``: :math:`\nabla_z\ell` for the target of the data: no GGN, and wrong in scale where the model fits well
  (Kunstner, Balles and Hennig 2019, *Limitations of the Empirical Fisher Approximation*); for comparison.

Names of types as in Dangel et al. (2025), *Kronecker-factored Approximate Curvature (KFAC) From Scratch*. ``auto`` is
exact up to 20 outputs, which costs one backward pass each, and Monte Carlo beyond.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch
from torch import Generator, Tensor

if TYPE_CHECKING:
    from sciml.influence.base import Likelihood  # which needs this module

Curvature = Literal["auto", "exact", "monte_carlo", "empirical"]
MOST_EXACT = 20


def loss_gradient(likelihood: Likelihood, outputs: Tensor, targets: Tensor) -> Tensor:
    r""":math:`\nabla_z\ell` of each example, with the shape of the outputs."""
    with torch.enable_grad():
        z = outputs.detach().requires_grad_()
        return torch.autograd.grad(likelihood.loss(z, targets).sum(), z)[0]


def seeds(
    kind: str, likelihood: Likelihood, outputs: Tensor, targets: Tensor, *, samples: int, generator: Generator
) -> Tensor:
    """The vectors above, ``(k, *outputs.shape)``.

    Args:
        kind: As above.
        likelihood: Of the outputs.
        outputs: ``(n, ..., C)``.
        targets: Of the data; only ``empirical`` reads them.
        samples: Draws for an example, for ``monte_carlo``.
        generator: Of the draws.
    """
    outputs = outputs.detach()
    if kind == "auto":
        kind = "exact" if outputs[0].numel() <= MOST_EXACT else "monte_carlo"
    if kind == "exact":
        return likelihood.factors(outputs)
    if kind == "monte_carlo":
        return likelihood.sample(outputs, samples, generator) / samples**0.5
    return loss_gradient(likelihood, outputs, targets)[None]
