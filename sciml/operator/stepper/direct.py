"""The network gives the next state itself, or the whole map from coefficients to solution."""

from __future__ import annotations

from typing import final

from torch import Tensor

from sciml.operator.base import FieldMap, Split
from sciml.operator.stepper.base import Stepper, chunks


@final
class Direct(Stepper):
    """``decode(network(encode(u)))``."""

    def fit(self, train: Split) -> None:
        self.input.fit(chunks(train, "input"))
        self.output.fit(chunks(train, "target"))

    def start(self) -> FieldMap:
        return self.predict

    def predict(self, u: Tensor) -> Tensor:
        """Physical inputs ``(n, *grid, in_channels)`` to states ``(n, *grid, out_channels)``."""
        return self.output.decode(self.network(self.encode(u)))
