r"""Errors of the channels of a field apart, where they are different quantities.

Relative L2, or, for a quantity that takes two values, the share of points on the wrong side of the middle: the error
rate that Huang et al. (2024), *DiffusionPDE*, section 4.2, print for Darcy coefficients.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

from torch import Tensor

from sciml.diffusion.base import Score
from sciml.errors import ConfigError
from sciml.metric import relative_l2_each


@final
class Channels(Score):
    """``rel_l2_<name>`` for each channel, and ``error_rate_<name>`` for those of two values.

    Args:
        names: Of the channels.
        middle: Between the two values, by name of the channel.

    Raises:
        ConfigError: ``middle`` has a name that is none of a channel.
    """

    def __init__(self, *, names: Sequence[str], middle: dict[str, float] | None = None) -> None:
        self.names, self.middle = tuple(names), dict(middle or {})
        if unknown := [name for name in self.middle if name not in self.names]:
            raise ConfigError(f"score.middle names {unknown[0]}; the channels are {', '.join(self.names)}")

    def __call__(self, estimate: Tensor, truth: Tensor) -> dict[str, Tensor]:
        if truth.shape[-1] != len(self.names):
            raise ConfigError(f"score.names has {len(self.names)} names for {truth.shape[-1]} channels")
        found = {}
        for channel, name in enumerate(self.names):
            one, other = estimate[..., channel], truth[..., channel]
            found[f"rel_l2_{name}"] = relative_l2_each(one, other)
            if name in self.middle:
                wrong = (one > self.middle[name]) != (other > self.middle[name])
                found[f"error_rate_{name}"] = wrong.double().flatten(1).mean(1)
        return found
