r"""Point sensors: :math:`A x` is x at ``sensors`` distinct entries of the field, placed at random."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from sciml.data.stream import stream
from sciml.diffusion.base import LinearMeasurement
from sciml.errors import ConfigError


@final
class Points(LinearMeasurement):
    """Reads single entries; the adjoint writes them into an empty field.

    Args:
        shape: Shape of one field, ``(*grid, channels)``.
        sensors: Number of entries that are read, m.
        noise_std: Standard deviation of the noise.
        seed: Places the sensors; not the run's seed, so that all runs of a table share them.

    Raises:
        ConfigError: There are not as many entries as sensors.
    """

    index: Tensor

    def __init__(self, *, shape: tuple[int, ...], sensors: int, noise_std: float, seed: int = 0) -> None:
        super().__init__(noise_std=noise_std)
        self.shape = tuple(shape)
        entries = torch.Size(self.shape).numel()
        if not 1 <= sensors <= entries:
            raise ConfigError(f"sensors {sensors} must be between 1 and the {entries} entries of a field {self.shape}")
        index = torch.randperm(entries, generator=stream("sensors", seed))[:sensors].sort().values
        self.register_buffer("index", index)

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1)[:, self.index]

    def transpose(self, y: Tensor) -> Tensor:
        field = y.new_zeros(y.shape[0], torch.Size(self.shape).numel())
        return field.index_copy(1, self.index, y).reshape(-1, *self.shape)
