"""Linear layers and activations as papers on physics-informed networks start them.

* ``torch``: torch's own, weights and biases from U(-1/√n, 1/√n) for n inputs.
* ``glorot``: weights from N(0, 2/(n + m)) for n inputs and m outputs, biases zero (Glorot and Bengio,
  "Understanding the difficulty of training deep feedforward neural networks", AISTATS 2010, equation 12).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sciml.errors import ConfigError

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "tanh": torch.tanh,
    "sine": torch.sin,
    "silu": nn.functional.silu,
}
STARTS = ("torch", "glorot")


def activation_of(name: str) -> Callable[[Tensor], Tensor]:
    """The function of this name.

    Raises:
        ConfigError: There is none.
    """
    if name not in ACTIVATIONS:
        raise ConfigError(f"network.activation: unknown '{name}'; one of {', '.join(sorted(ACTIVATIONS))}")
    return ACTIVATIONS[name]


def linear(n: int, m: int, init: str = "torch") -> nn.Linear:
    """A linear layer from n to m units.

    Raises:
        ConfigError: Unknown ``init``.
    """
    if init not in STARTS:
        raise ConfigError(f"network.init: unknown '{init}'; one of {', '.join(STARTS)}")
    layer = nn.Linear(n, m)
    if init == "glorot":
        nn.init.xavier_normal_(layer.weight)
        nn.init.zeros_(layer.bias)
    return layer


class Factorised(nn.Module):
    r"""A linear layer whose weights are a scale for each output times a direction, both trained: W = diag(g) V.

    Random weight factorisation: g = exp(s), s from N(mean, deviation²), and V such that W starts as it would
    without. Source: Wang, Wang, Seidman and Perdikaris, "Random weight factorization improves the training of
    continuous neural representations", arXiv 2210.01274; as in the authors' code (jaxpi, ``Dense``) what is trained
    is g, not s.

    Args:
        n: Inputs.
        m: Outputs.
        init: How W and the biases start, see :func:`linear`.
        mean: Mean of s.
        deviation: Standard deviation of s.

    Raises:
        ConfigError: Unknown ``init``.
    """

    def __init__(self, n: int, m: int, *, init: str = "glorot", mean: float = 1.0, deviation: float = 0.1) -> None:
        super().__init__()
        layer = linear(n, m, init)
        self.scale = nn.Parameter(torch.exp(mean + deviation * torch.randn(m)))
        self.direction = nn.Parameter(layer.weight.detach() / self.scale.detach()[:, None])
        self.bias = layer.bias

    def forward(self, x: Tensor) -> Tensor:
        """W x + b at points (..., n)."""
        # Scaling the m outputs instead of the m n weights is the same, and leaves a plain linear map of the inputs.
        return F.linear(x, self.direction) * self.scale + self.bias
