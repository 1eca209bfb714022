r"""SIREN: a multilayer perceptron of sines that start with the same spread of frequencies in every layer.

.. math:: h_l = \sin(\omega_0 (W_l h_{l-1} + b_l)),

and a linear last layer, with weights from :math:`U(-1/n, 1/n)` in the first layer of n inputs and from
:math:`U(-\sqrt{6/n}/\omega_0, \sqrt{6/n}/\omega_0)` in all others. Source: Sitzmann, Martel, Bergman, Lindell and
Wetzstein, "Implicit neural representations with periodic activation functions", NeurIPS 2020 (arXiv 2006.09661),
section 3.2, and theorem 1.8 of its supplement; biases start as torch's do, as in the authors' code.
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor, nn

from sciml.kernel.stack import layered
from sciml.ranges import Count, Positive


class Siren(nn.Module):
    """A network of sines.

    Args:
        in_features: Dimension of the input; inputs should lie in [-1, 1].
        out_features: Dimension of the output.
        width: Units in each hidden layer.
        depth: Number of hidden layers, at least 1.
        omega: Frequency ω_0 of the sines.
    """

    pointwise = True

    def __init__(
        self, in_features: Count, out_features: Count, *, width: Count, depth: Count, omega: Positive = 30.0
    ) -> None:
        super().__init__()
        self.omega = omega
        sizes = [in_features, *[width] * depth, out_features]
        self.layers = nn.ModuleList(nn.Linear(n, m) for n, m in pairwise(sizes))
        for i, layer in enumerate(self.layers):
            n = sizes[i]
            bound = 1 / n if i == 0 else math.sqrt(6 / n) / omega
            nn.init.uniform_(layer.weight, -bound, bound)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        """Values (..., out_features) at points (..., in_features)."""
        return layered(x, self.layers, torch.sin, scale=self.omega)
