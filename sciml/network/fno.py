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
from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sciml.errors import ConfigError
from sciml.network.layer import ACTIVATIONS
from sciml.network.spectral import Spectral, check_modes
from sciml.ranges import Count, Natural, NonNegative

FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {"gelu": F.gelu, "relu": F.relu, **ACTIVATIONS}
SKIPS = ("linear", "gate", "identity", "none")


class FNO(nn.Module):
    """Maps fields on a grid of as many axes as there are ``modes``.

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

    Attributes:
        spatial_dims: Axes of a field between batch and channels.
        equivariant: Symmetries that it has by construction.
        grid_free: A smooth field sampled on a finer grid gives the same output there; with the kinks of ``relu``, which
            have no highest frequency, it does so to a few digits only.

    Raises:
        ConfigError: Unknown name, no modes, or a padding that does not fit.
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
        super().__init__()
        self.modes = check_modes(modes)
        if activation not in FUNCTIONS:
            raise ConfigError(f"network.activation: unknown '{activation}'; one of {', '.join(sorted(FUNCTIONS))}")
        act, self._smooth = FUNCTIONS[activation], activation != "relu"
        self.padding = Padding(padding, len(self.modes))
        self.lifting = TwoLayers(in_features, lifting, width, act)
        self.spectral = nn.ModuleList(
            Spectral(width, width, self.modes, transform=transform, init=init) for _ in range(depth)
        )
        self.pointwise = nn.ModuleList(
            Pointwise(width, mlp, skip, mlp_skip, act, last=layer == depth - 1) for layer in range(depth)
        )
        self.projection = TwoLayers(width, projection, out_features, act)

    @property
    def spatial_dims(self) -> int:
        return len(self.modes)

    @property
    def equivariant(self) -> frozenset[str]:
        return frozenset() if self.padding.any else frozenset({"translation"})

    @property
    def grid_free(self) -> bool:
        return self._smooth and not self.padding.any

    @property
    def layers(self) -> list[tuple[Spectral, Pointwise]]:
        """The two parts of each layer."""
        return [
            (cast(Spectral, spectral), cast(Pointwise, pointwise))
            for spectral, pointwise in zip(self.spectral, self.pointwise, strict=True)
        ]

    def forward(self, u: Tensor) -> Tensor:
        """Fields ``(batch, *grid, in_features)`` to ``(batch, *grid, out_features)``."""
        if u.ndim != self.spatial_dims + 2:
            raise ConfigError(
                f"network.modes has {self.spatial_dims} numbers; fields {tuple(u.shape)} have {u.ndim - 2} axes"
            )
        u = u.movedim(0, -2).contiguous()
        grid = u.shape[:-2]
        v = self.padding.add(self.lifting(u))
        for spectral, pointwise in self.layers:
            v = pointwise(spectral(v), v)
        return self.projection(self.padding.cut(v, grid)).movedim(-2, 0)


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


class TwoLayers(nn.Module):
    """Two linear maps with an activation between them, or one where there are no hidden units."""

    def __init__(
        self, in_features: int, hidden: int, out_features: int, activation: Callable[[Tensor], Tensor]
    ) -> None:
        super().__init__()
        sizes = [in_features, hidden, out_features] if hidden else [in_features, out_features]
        self.layers = nn.ModuleList(Channels(n, m) for n, m in pairwise(sizes))
        self.activation = activation

    @property
    def linears(self) -> list[nn.Linear]:
        return [cast(nn.Linear, layer) for layer in self.layers]

    def forward(self, x: Tensor) -> Tensor:
        first, *rest = self.layers
        x = first(x)
        for layer in rest:
            x = layer(self.activation(x))
        return x


class Channels(nn.Linear):
    """A linear layer of the last axis of fields, without two of MKL's slow cases."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002
        if input.device.type == "cpu" and not torch.compiler.is_compiling() and not torch.is_autocast_enabled("cpu"):
            if self.in_features < 12 and self.bias is not None:
                # The gradient of W would be g^T x; with so narrow an x MKL takes ten times what it takes for x^T g.
                return torch.matmul(input, self.weight.t().contiguous()).add_(self.bias)
            if input.ndim >= 3 and self.out_features >= 8 and input.dtype == torch.float32 and input.numel() >= 1 << 20:
                # A convolution of one point, with channels last, goes to oneDNN: a training step takes a tenth less.
                # (To a single channel it would take three times as long.)
                image = input.reshape(-1, *input.shape[-3:]).permute(0, 3, 1, 2)
                out = F.conv2d(image, self.weight[:, :, None, None], self.bias).permute(0, 2, 3, 1)
                return out.reshape(*input.shape[:-1], self.out_features)
        return super().forward(input)


class Activation(nn.Module):
    """A function as a module."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


class Padding:
    """Zeros at the end of each of the first axes.

    Raises:
        ConfigError: There is not one for each axis, or one is neither a number of points nor a fraction.
    """

    def __init__(self, padding: float | Sequence[float], axes: int) -> None:
        self.amounts = [padding] * axes if isinstance(padding, (int, float)) else list(padding)
        if len(self.amounts) != axes:
            raise ConfigError(
                f"network.padding has {len(self.amounts)} numbers; it must be one, or one for each of {axes} axes"
            )
        for amount in self.amounts:
            if isinstance(amount, float) and amount >= 1 and not amount.is_integer():
                raise ConfigError(f"network.padding is {padding}; it must be a number of points or a fraction below 1")
        self.any = any(self.amounts)

    def add(self, v: Tensor) -> Tensor:
        if not self.any:
            return v
        pads = [0, 0, 0, 0]
        for n, amount in reversed(list(zip(v.shape[:-2], self.amounts, strict=True))):
            pads += [0, 2 * round(amount * n) if 0 < amount < 1 else int(amount)]
        return F.pad(v, pads)

    def cut(self, v: Tensor, grid: Sequence[int]) -> Tensor:
        return v[tuple(slice(0, n) for n in grid)] if self.any else v
