r"""A residual perceptron for points with noise and the level of their noise, the score network of small problems.

.. math:: h_0 = W_0 x, \qquad h_{l+1} = h_l + B_l\,\varphi\big((1 + s_l(c))\,A_l\varphi(h_l) + t_l(c)\big), \qquad
          u = W_1\varphi(h_L)

with affine W, A and B, and the condition c as scale and shift in each block, by sines and cosines, as in the U-Net of
Dhariwal and Nichol (2021), *Diffusion Models Beat GANs on Image Synthesis*, section 3. The last layer of each block and
of the network is 1e-5 times its usual size at the start, so that training begins at a function of zero.
"""

from __future__ import annotations

from typing import ClassVar, final

import torch
from torch import Tensor, nn

from sciml.network.layer import activation_of
from sciml.network.unet import Embeddings
from sciml.ranges import Count, Natural

START = 1e-5  # of the weights that end a block, relative to torch's own


@final
class ScoreMLP(nn.Module):
    """Each point is mapped on its own: a problem of d dimensions is one point with d channels.

    Args:
        in_features: Input channels.
        out_features: Output channels.
        width: Units.
        blocks: Residual blocks of two layers each.
        activation: As in :mod:`sciml.network.layer`.
        conditions: How many numbers an example is conditioned on.

    Attributes:
        pointwise: Each point is mapped on its own.

    Raises:
        ConfigError: Unknown activation.
    """

    pointwise: ClassVar[bool] = True

    def __init__(
        self,
        in_features: Count,
        out_features: Count,
        *,
        width: Count = 128,
        blocks: Count = 3,
        activation: str = "silu",
        conditions: Natural = 0,
    ) -> None:
        super().__init__()
        self.activation = activation_of(activation)
        self.embeddings = Embeddings("score_mlp", conditions, width, width, self.activation)
        self.first, self.last = nn.Linear(in_features, width), _small(nn.Linear(width, out_features))
        self.into = nn.ModuleList(nn.Linear(width, width) for _ in range(blocks))
        self.out = nn.ModuleList(_small(nn.Linear(width, width)) for _ in range(blocks))
        self.film = nn.ModuleList(nn.Linear(width, 2 * width) for _ in range(blocks if conditions else 0))

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """Points ``(n, *grid, in_features)``, conditions ``(n, conditions)``, to ``(n, *grid, out_features)``.

        Raises:
            RunError: Conditions where there should be none, or the other way round.
        """
        emb = self.embeddings(condition)
        h = self.first(x)
        for i, (into, out) in enumerate(zip(self.into, self.out, strict=True)):
            inner = into(self.activation(h))
            if emb is not None:
                scale, shift = self.film[i](emb).reshape(len(x), *[1] * (x.dim() - 2), -1).chunk(2, dim=-1)
                inner = (1 + scale) * inner + shift
            h = h + out(self.activation(inner))
        return self.last(self.activation(h))


def _small(layer: nn.Linear) -> nn.Linear:
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.mul_(START)
    return layer
