"""What networks on truncated transforms have in common: lifting, layers, projection, and zeros beyond the ends."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import cast, final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sciml.errors import ConfigError
from sciml.network.layer import ACTIVATIONS
from sciml.network.spectral import check_modes

FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {"gelu": F.gelu, "relu": F.relu, **ACTIVATIONS}


class Modal(nn.Module, ABC):
    """Maps fields on a grid of as many axes as there are ``modes``; the layers work grid first.

    Args:
        modes: Modes by axis.
        padding: Points added at the end of each axis; a fraction f of n points adds 2 round(f n).
        activation: ``gelu``, ``relu``, ``tanh``, ``sine`` or ``silu``.

    Attributes:
        spatial_dims: Axes of a field between batch and channels.
        equivariant: Symmetries that it has by construction.
        grid_free: A smooth field sampled on a finer grid gives the same output there; with the kinks of ``relu``, which
            have no highest frequency, it does so to a few digits only.

    Raises:
        ConfigError: Unknown activation, no modes, or a padding that does not fit.
    """

    lifting: TwoLayers
    projection: TwoLayers

    def __init__(self, modes: Sequence[int], padding: float | Sequence[float], activation: str) -> None:
        super().__init__()
        self.modes = check_modes(modes)
        if activation not in FUNCTIONS:
            raise ConfigError(f"network.activation: unknown '{activation}'; one of {', '.join(sorted(FUNCTIONS))}")
        self.activation, self._smooth = FUNCTIONS[activation], activation != "relu"
        self.padding = Padding(padding, len(self.modes))

    @final
    @property
    def spatial_dims(self) -> int:
        return len(self.modes)

    @final
    @property
    def equivariant(self) -> frozenset[str]:
        return frozenset() if self.padding.any else frozenset({"translation"})

    @final
    @property
    def grid_free(self) -> bool:
        return self._smooth and not self.padding.any

    @final
    def forward(self, u: Tensor) -> Tensor:
        """Fields ``(batch, *grid, in_features)`` to ``(batch, *grid, out_features)``."""
        if u.ndim != self.spatial_dims + 2:
            raise ConfigError(
                f"network.modes has {self.spatial_dims} numbers; fields {tuple(u.shape)} have {u.ndim - 2} axes"
            )
        u = u.movedim(0, -2).contiguous()
        grid = u.shape[:-2]
        v = self.padding.add(self.lifting(u))
        return self.projection(self.padding.cut(self.mixed(v), grid)).movedim(-2, 0)

    @abstractmethod
    def mixed(self, v: Tensor) -> Tensor:
        """The layers, on ``(*grid, batch, width)``."""


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
