r"""Fourier neural operator: spectral layers beside pointwise linear maps, an activation after each but the last.

.. math:: v_0 = P(u), \qquad v_{l+1} = \varphi\big(F^{-1}(R_l \, F v_l) + W_l v_l + b_l\big), \qquad G(u) = Q(v_L)

Source: Li et al. (2021), *Fourier Neural Operator for Parametric Partial Differential Equations*, section 4 and
appendix A.3: four layers, P a linear map, Q two with an activation between them. Positions are channels of the input
(the module appends them). For domains that are not periodic, :math:`v_0` is padded with zeros and the result cut.

neuraloperator 2.0.0 is the same with more parameters: P has a hidden layer (``lifting``), and behind each layer stands
a small network (``mlp``) with a skip connection of its own,
:math:`v_{l+1} = \varphi(M_l \varphi(\ldots) + s_l v_l)`. :mod:`sciml.network.neuraloperator` converts the weights of
either into the other. Deviations:

* Layers work grid first, ``(*grid, batch, channels)``: no transform has to move a field (:mod:`sciml.network.dft`).
* Padding is put at the end of each axis. Where others put half of it at each end, the result is the same: in between,
  everything is periodic.
* No batch normalisation, which the authors' code had at first: a field's prediction must not depend on its neighbours.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from sciml.errors import ConfigError
from sciml.network.modal import Channels, Modal, TwoLayers
from sciml.network.spectral import Spectral
from sciml.ranges import Count, Natural, NonNegative

SKIPS = ("linear", "gate", "identity", "none")


class FNO(Modal):
    """Layers in Fourier space.

    Args:
        in_features: Input channels.
        out_features: Output channels.
        modes: Modes by axis, see :mod:`sciml.network.dft`.
        width: Channels of the layers.
        depth: Number of layers.
        lifting: Hidden units of P; 0: P is linear.
        projection: Hidden units of Q.
        mlp: Hidden units of the network behind each layer; 0: there is none.
        skip: Beside a spectral layer: ``linear`` W, ``gate`` one factor a channel, ``identity`` or ``none``.
        mlp_skip: Beside the network behind it, likewise.
        padding: Points added at the end of each axis; a fraction f of n points adds 2 round(f n).
        activation: ``gelu``, ``relu``, ``tanh``, ``sine`` or ``silu``.
        transform: ``auto``, ``dft`` or ``fft``, see :mod:`sciml.network.spectral`.
        init: Of the spectral weights, ``normal`` or ``uniform``.

    Raises:
        ConfigError: Unknown name, or see :class:`Modal`.
    """

    def __init__(
        self,
        in_features: Count,
        out_features: Count,
        *,
        modes: Sequence[Count],
        width: Count,
        depth: Count = 4,
        lifting: Natural = 0,
        projection: Count = 128,
        mlp: Natural = 0,
        skip: str = "linear",
        mlp_skip: str = "gate",
        padding: NonNegative | Sequence[NonNegative] = 0,
        activation: str = "gelu",
        transform: str = "auto",
        init: str = "normal",
    ) -> None:
        super().__init__(modes, padding, activation)
        act = self.activation
        self.lifting = TwoLayers(in_features, lifting, width, act)
        self.spectral = nn.ModuleList(
            Spectral(width, width, self.modes, transform=transform, init=init) for _ in range(depth)
        )
        self.pointwise = nn.ModuleList(
            Pointwise(width, mlp, skip, mlp_skip, act, last=layer == depth - 1) for layer in range(depth)
        )
        self.projection = TwoLayers(width, projection, out_features, act)

    @property
    def layers(self) -> list[tuple[Spectral, Pointwise]]:
        """The two parts of each layer."""
        return [
            (cast(Spectral, spectral), cast(Pointwise, pointwise))
            for spectral, pointwise in zip(self.spectral, self.pointwise, strict=True)
        ]

    def mixed(self, v: Tensor) -> Tensor:
        for spectral, pointwise in self.layers:
            v = pointwise(spectral(v), v)
        return v


class Pointwise(nn.Module):
    """All of a layer but its spectral part, which is given beside the layer's input, both ``(..., width)``.

    Args:
        width: Channels.
        mlp: Hidden units of the network behind the layer; 0: there is none.
        skip: Beside the spectral part.
        mlp_skip: Beside the network.
        activation: Of the layer and of the network.
        last: Whether no activation follows.

    Raises:
        ConfigError: Unknown skip connection.
    """

    def __init__(
        self, width: int, mlp: int, skip: str, mlp_skip: str, activation: Callable[[Tensor], Tensor], *, last: bool
    ) -> None:
        super().__init__()
        for name, value in (("skip", skip), ("mlp_skip", mlp_skip)):
            if value not in SKIPS:
                raise ConfigError(f"network.{name}: unknown '{value}'; one of {', '.join(SKIPS)}")
        self.activation = nn.Identity() if last else Activation(activation)
        self.skip = Skip(width, skip, bias=True)
        self.mlp = TwoLayers(width, mlp, width, activation) if mlp else None
        self.mlp_skip = Skip(width, mlp_skip, bias=False) if mlp else None

    def forward(self, spectral: Tensor, v: Tensor) -> Tensor:
        hidden = self.activation(self.skip(spectral, v))
        if self.mlp is None or self.mlp_skip is None:
            return hidden
        return self.activation(self.mlp_skip(self.mlp(hidden), v))


class Skip(nn.Module):
    """``(y, v)`` to y plus what goes past it."""

    def __init__(self, width: int, kind: str, *, bias: bool) -> None:
        super().__init__()
        self.kind = kind
        self.linear = Channels(width, width, bias=bias) if kind == "linear" else None
        self.gate = nn.Parameter(torch.ones(width)) if kind == "gate" else None
        self.bias = nn.Parameter(torch.zeros(width)) if bias and kind != "linear" else None

    def forward(self, y: Tensor, v: Tensor) -> Tensor:
        if self.linear is not None:
            return y + self.linear(v)
        if self.bias is not None:
            y = y + self.bias
        if self.gate is not None:
            return torch.addcmul(y, self.gate, v)
        return y + v if self.kind == "identity" else y


class Activation(nn.Module):
    """A function as a module."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)
