"""The loss of a PINN step as a function, for optimisers that evaluate it more than once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import Tensor

from sciml.conflict.base import Direction
from sciml.errors import ConfigError
from sciml.optimizer.base import Objective

if TYPE_CHECKING:
    from sciml.pinn.module import Pinn


class PinnObjective(Objective):
    """The loss at the present points, with the present weights: Σ_c λ_c mean |R_c|².

    Args:
        module: Whose loss it is.

    Attributes:
        latest: Terms of the last evaluation, without weights and graph.
    """

    def __init__(self, module: Pinn) -> None:
        super().__init__(module.network.parameters())
        self._module = module
        self.latest: dict[str, Tensor] = {}

    def __call__(self) -> Tensor:
        self._weights()
        loss, self.latest, _ = self._module.gradient()
        return loss

    def terms(self) -> dict[str, Tensor]:
        terms, _ = self._module.terms()
        self.latest = {name: term.detach() for name, term in terms.items()}
        weights = self._weights()
        return {name: weights.get(name, 1.0) * term for name, term in terms.items()}

    def terms_once(self) -> dict[str, Tensor]:
        with self._module.fusing():
            return self.terms()

    def residuals(self) -> dict[str, Tensor]:
        # Not compiled: the Jacobian's rows take the evaluation apart layer by layer.
        module, weights = self._module, self._weights()
        found: dict[str, Tensor] = {}
        for name, x in module.points.items():  # evaluated together, the rows of two conditions could not be told apart
            found |= module.problem.residuals(module.jet, {name: x})
        found = module.scaled(found)
        self.latest = {name: r.detach().square().mean() for name, r in found.items()}
        return {name: r * (weights.get(name, 1.0) / r.numel()) ** 0.5 for name, r in found.items()}

    def rows(self) -> tuple[Tensor, Tensor]:
        module = self._module
        module.backward_passes += 1
        before = module.jet.evaluations
        found = super().rows()
        # The first Jacobian of a process is checked, which evaluates more: no cost of the method.
        module.jet.evaluations = before + sum(len(x.flatten(0, -2)) for x in module.points.values())
        return found

    def _weights(self) -> dict[str, Any]:
        rule = self._module.weighting
        if isinstance(rule, Direction):
            raise ConfigError(
                f"{type(rule).__name__} combines gradients, but this optimiser evaluates the loss itself;"
                " choose a weighting, pinn/weighting=fixed"
            )
        return dict(rule.weights())
