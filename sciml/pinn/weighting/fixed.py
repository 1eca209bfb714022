"""Fixed weights: L = Σ_c λ_c L_c over the conditions c, with L_c the mean squared residual of c."""

from __future__ import annotations

from torch import Tensor

from sciml.errors import ConfigError
from sciml.pinn.base import Weighting


class Fixed(Weighting):
    """A weighted sum.

    Args:
        weights: λ by condition name; 1 for a condition that is not named.
    """

    def __init__(self, *, weights: dict[str, float]) -> None:
        super().__init__()
        self.weights = weights

    def forward(self, losses: dict[str, Tensor]) -> Tensor:
        if unknown := self.weights.keys() - losses.keys():
            raise ConfigError(
                f"weighting.weights names {', '.join(sorted(unknown))}; the conditions are {', '.join(losses)}"
            )
        terms = [self.weights.get(name, 1.0) * loss for name, loss in losses.items()]
        return sum(terms[1:], start=terms[0])
