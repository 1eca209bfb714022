r"""What a network sees of its inputs: periodic ones as sines and cosines, the others scaled to [-1, 1].

    x_i  ->  sin(2πk (x_i − l_i) / (u_i − l_i)), cos(...),  k = 1, ..., harmonics      (periodic)
    x_i  ->  2 (x_i − l_i) / (u_i − l_i) − 1                                           (scaled)

A network behind the first is periodic with all its derivatives (Dong and Ni, "A method for representing periodic
functions and enforcing exactly periodic boundary conditions with deep neural networks",
doi:10.1016/j.jcp.2021.110242).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Inputs(nn.Module):
    """A network behind features of its inputs.

    Args:
        network: Called with the number of features and ``out_features``.
        out_features: Dimension of the output.
        lower: Lower corner of the domain.
        upper: Upper corner of the domain.
        harmonics: Number of harmonics by input, for the periodic ones.
        scale: Whether the other inputs are scaled.
    """

    pointwise = True

    def __init__(
        self,
        network: Callable[[int, int], nn.Module],
        out_features: int,
        *,
        lower: Sequence[float],
        upper: Sequence[float],
        harmonics: Mapping[int, int],
        scale: bool = True,
    ) -> None:
        super().__init__()
        plain = [axis for axis in range(len(lower)) if axis not in harmonics]
        waves = [(axis, k) for axis, number in sorted(harmonics.items()) for k in range(1, number + 1)]
        lengths = [high - low for low, high in zip(lower, upper, strict=True)]
        # Rows (weights, constant) of two linear maps. Kept as numbers: a float32 buffer would make 2π wrong in the
        # seventh digit for a network that is cast to float64.
        self._maps: dict[str, list[tuple[list[float], float]]] = {"plain": [], "waves": []}
        for axis in plain:
            slope, start = (2 / lengths[axis], -1.0) if scale else (1.0, lower[axis])
            self._maps["plain"].append(_row(axis, slope, start, lower))
        for axis, k in waves:
            self._maps["waves"].append(_row(axis, 2 * math.pi * k / lengths[axis], 0.0, lower))
        self._tensors: dict[tuple[str, torch.device, torch.dtype], tuple[Tensor, Tensor]] = {}
        self.network = network(len(plain) + 2 * len(waves), out_features)

    def forward(self, x: Any) -> Any:
        """Values (n, out_features) at points (n, d), a tensor or a :class:`sciml.taylor.Taylor`."""
        features = []
        if self._maps["plain"]:
            features.append(F.linear(x, *self._map("plain", x)))
        if self._maps["waves"]:
            phase = F.linear(x, *self._map("waves", x))
            features += [torch.sin(phase), torch.cos(phase)]
        return self.network(torch.cat(features, dim=-1) if len(features) > 1 else features[0])

    def _map(self, name: str, x: Any) -> tuple[Tensor, Tensor]:
        key = (name, x.device, x.dtype)
        if key not in self._tensors:
            weights, constants = zip(*self._maps[name], strict=True)
            self._tensors[key] = (
                torch.tensor(weights, dtype=x.dtype, device=x.device),
                torch.tensor(constants, dtype=x.dtype, device=x.device),
            )
        return self._tensors[key]


def _row(axis: int, slope: float, start: float, lower: Sequence[float]) -> tuple[list[float], float]:
    """Slope (x_axis − lower_axis) + start, as weights and constant."""
    return [slope if i == axis else 0.0 for i in range(len(lower))], start - slope * lower[axis]
