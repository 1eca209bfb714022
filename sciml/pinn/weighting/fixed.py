"""Fixed weights: L = Σ_c λ_c L_c over the conditions c, with L_c the mean squared residual of c."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sciml.pinn.base import Weighting, check_names


class Fixed(Weighting):
    """A weighted sum.

    Args:
        weights: λ by condition name; 1 for a condition that is not named.
    """

    def __init__(self, *, weights: Mapping[str, float]) -> None:
        super().__init__()
        self._weights = dict(weights)

    def prepare(self, conditions: Sequence[str]) -> None:
        check_names("weighting.weights", self._weights, conditions)

    def weights(self) -> dict[str, float]:
        return self._weights
