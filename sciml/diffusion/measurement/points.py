r"""Point sensors: :math:`A x` is x at ``sensors`` distinct entries of the field, or of some channels, at random."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor

from sciml.data.stream import stream
from sciml.diffusion.base import LinearMeasurement
from sciml.errors import ConfigError
from sciml.ranges import Count, Natural, Positive


@final
class Points(LinearMeasurement):
    """Reads single entries; the adjoint writes them into an empty field.

    Args:
        shape: Shape of one field, ``(*grid, channels)``.
        sensors: Number of entries that are read, m.
        noise_std: Standard deviation of the noise.
        channels: Those that are seen, counted from 0; None for all.
        seed: Places the sensors; not the run's seed, so that all runs of a table share them.

    Raises:
        ConfigError: There are not as many entries as sensors, or no such channels.
    """

    index: Tensor

    def __init__(
        self,
        *,
        shape: tuple[Count, ...],
        sensors: Count,
        noise_std: Positive,
        channels: Sequence[Natural] | None = None,
        seed: Natural = 0,
    ) -> None:
        super().__init__(noise_std=noise_std)
        self.shape = tuple(shape)
        every = range(self.shape[-1])
        seen = sorted(every if channels is None else channels)
        if not seen or len(set(seen)) < len(seen) or not set(seen) <= set(every):
            raise ConfigError(
                f"channels {channels} must be some of the channels 0 to {every[-1]} of a field, each once"
            )
        entries = torch.arange(torch.Size(self.shape).numel()).reshape(self.shape)[..., seen].flatten()
        if sensors > len(entries):
            raise ConfigError(
                f"measurement.sensors is {sensors}; there are {len(entries)} entries of "
                f"{'' if channels is None else f'channels {seen} of '}a field {self.shape}"
            )
        chosen = torch.randperm(len(entries), generator=stream("sensors", seed))[:sensors].sort().values
        self.register_buffer("index", entries[chosen])

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1)[:, self.index]

    def transpose(self, y: Tensor) -> Tensor:
        field = y.new_zeros(y.shape[0], torch.Size(self.shape).numel())
        return field.index_copy(1, self.index, y).reshape(-1, *self.shape)
