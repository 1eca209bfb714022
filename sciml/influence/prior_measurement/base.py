r"""What is asked of a prior: the measurements of :class:`sciml.influence.task.diffusion_run.DiffusionRun`.

A measurement is a number, or a few, of a trained denoiser, on fields that it was not trained on. All are errors: low is
good, and a training field with a positive score helps (:mod:`sciml.influence.base`).

Whatever noise a measurement needs is drawn once, when it is prepared, from a stream that depends on nothing but the
number of the field: the run that is asked about, every training without some examples and every other measurement of
the field see the same noise.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from sciml.data.stream import stream
from sciml.errors import ConfigError
from sciml.ranges import Natural

if TYPE_CHECKING:
    from sciml.diffusion.training import Denoising


class PriorMeasurement(nn.Module, ABC):
    """Reads errors off a denoiser.

    A module, so that fields and noise are buffers and follow the run's device.

    Args:
        fields: What each number is about: a field, by its number in the run's test split, or the mean over a list of
            them, such as a class.

    Attributes:
        labels: What each number is, with its unit; known once prepared.
        x: The fields asked about, each once, ``(n, *shape)`` in float64; known once prepared.
        shares: ``(n_query, n)``, the weight of each field in each number.
    """

    what: str
    labels: tuple[str, ...] = ()
    x: Tensor
    shares: Tensor

    def __init__(self, *, fields: Sequence[Natural | Sequence[Natural]]) -> None:
        super().__init__()
        self.fields = [[entry] if isinstance(entry, int) else list(entry) for entry in fields]
        if not self.fields or not all(self.fields):
            raise ConfigError("influence.task.measurement.fields must name one or more fields of the test split")

    def prepare(self, run: Denoising) -> None:
        """Take the fields from the run.

        Raises:
            ConfigError: Its test split has no such field.
        """
        test = run.dataset.splits()["test"]
        numbers = sorted({i for group in self.fields for i in group})
        if numbers[-1] >= len(test):
            raise ConfigError(
                f"influence.task.measurement.fields: there is no field {numbers[-1]}; the run's test split has 0 to"
                f" {len(test) - 1}"
            )
        self.numbers = numbers
        shares = torch.zeros(len(self.fields), len(numbers), dtype=torch.float64)
        for row, group in zip(shares, self.fields, strict=True):
            row[[numbers.index(i) for i in group]] = 1 / len(set(group))
        self.register_buffer("x", test[numbers].double())
        self.register_buffer("shares", shares)
        self.labels = tuple(f"{self.what}, test {_named(group)}" for group in self.fields)

    def noise(self, draws: int) -> Tensor:
        """Standard normal numbers for each field, ``(n, draws, *shape)`` in float64, the same whenever it is asked."""
        shape = (draws, *self.x.shape[1:])
        return torch.stack(
            [
                torch.randn(shape, generator=stream(f"attribution/query {i}", 0), dtype=torch.float64)
                for i in self.numbers
            ]
        )

    @abstractmethod
    def forward(self, run: Denoising) -> Tensor:
        """The numbers ``(n_query,)``, for the weights that ``run.denoiser`` has; differentiable in them."""


def _named(group: list[int]) -> str:
    if len(group) == 1:
        return f"field {group[0]}"
    shown = ", ".join(map(str, group[:4]))
    return f"fields {shown}{' ...' if len(group) > 4 else ''}"
