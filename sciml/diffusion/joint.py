r"""Joint fields (a, u): a coefficient or source and the solution of its PDE, a channel each, and the PDE between them.

A channel is of size 1: ``field = (physical - offset) / scale``. A coefficient with two values is -1 and +1.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor

from sciml.diffusion.base import Measurement
from sciml.errors import ConfigError, RunError
from sciml.ranges import Positive


class Residual(ABC):
    """What a discrete PDE on the unit square leaves of a joint field: zero where u solves it for a.

    Fields live on nodes, those of the boundary included, so that n nodes a side are n - 1 intervals. Differentiable.

    Args:
        scale: Of a and of u.
        offset: Of a and of u.
    """

    def __init__(self, *, scale: tuple[Positive, Positive], offset: tuple[float, float] = (0.0, 0.0)) -> None:
        self.scale, self.offset = tuple(scale), tuple(offset)

    @final
    def __call__(self, x: Tensor) -> Tensor:
        """The residual at the inner nodes ``(batch, nx - 2, ny - 2)``, in physical units.

        Args:
            x: Joint fields ``(batch, nx, ny, 2)``.

        Raises:
            ConfigError: They are no such fields.
        """
        if x.ndim != 4 or x.shape[-1] != 2 or min(x.shape[1:3]) < 3:
            raise ConfigError(
                f"a residual needs fields of two channels, a and u, on a grid of two axes, not {tuple(x.shape[1:])}"
            )
        a, u = (field * s + o for field, s, o in zip(x.unbind(-1), self.scale, self.offset, strict=True))
        return self.between(a, u)

    @abstractmethod
    def between(self, a: Tensor, u: Tensor) -> Tensor:
        """The same, from physical fields ``(batch, nx, ny)`` both."""


def channel_of(measurement: Measurement, like: Tensor) -> Tensor:
    """The channel that each observation depends on, ``(m,)``.

    Args:
        measurement: A; called once for a probe, and once for it with each channel changed.
        like: Fields ``(batch, *grid, channels)``; gives shape, dtype and device.

    Raises:
        RunError: An observation depends on no channel, or on several.
    """
    shape = tuple(like.shape[1:])
    probe = torch.linspace(-1.1, 0.9, like[0].numel(), dtype=like.dtype, device=like.device).reshape(1, *shape)
    moves = []
    for channel in range(shape[-1]):
        moved = probe.clone()
        moved[..., channel] += 0.7
        moves.append(measurement(moved) != measurement(probe))
    depends = torch.cat(moves)
    if not bool((depends.sum(0) == 1).all()):
        raise RunError("weights by channel need observations of one channel each; give one weight for all")
    return depends.int().argmax(0)


class Misfit:
    """Observations minus predictions, all together or channel by channel, with the weights that they have.

    Args:
        weights: One for all observations, or one for those of each channel.
        measurement: A.
        y: Observations ``(batch, m)``.
    """

    def __init__(self, weights: float | Sequence[float], measurement: Measurement, y: Tensor) -> None:
        self._weights = [weights] if isinstance(weights, (int, float)) else list(weights)
        self._measurement, self._y = measurement, y
        self._parts: list[tuple[float, Tensor]] | None = None

    def __call__(self, x: Tensor) -> list[tuple[float, Tensor]]:
        """Weights that are not zero, each with its differences ``(batch, m_c)`` for fields ``x`` ``(batch, *shape)``.

        Raises:
            RunError: The number of weights is not that of the channels, or see :func:`channel_of`.
        """
        difference = self._y - self._measurement(x)
        if len(self._weights) == 1:
            return [(self._weights[0], difference)]
        if self._parts is None:
            self._parts = self._split(x.detach())
        return [(weight, difference[:, here]) for weight, here in self._parts]

    def _split(self, x: Tensor) -> list[tuple[float, Tensor]]:
        if len(self._weights) != x.shape[-1]:
            raise RunError(
                f"{len(self._weights)} weights for fields of {x.shape[-1]} channels; give one, or one for each"
            )
        channel = channel_of(self._measurement, x)
        found = [(weight, (channel == c).nonzero()[:, 0]) for c, weight in enumerate(self._weights)]
        return [(weight, here) for weight, here in found if weight and len(here)]
