r"""Learning-rate annealing: the mean slope of each condition made as steep as the steepest of the equation.

.. math::
    \hat\lambda_c = \frac{\max_\theta |\nabla_\theta L_r|}{\operatorname{mean}_\theta |\nabla_\theta L_c|},
    \qquad \lambda_r = 1,

maximum and mean over the components of the gradient. Source: Wang, Teng and Perdikaris, "Understanding and mitigating
gradient flow pathologies in physics-informed neural networks", SIAM Journal on Scientific Computing 43 (2021) (arXiv
2001.04536), algorithm 1. The paper recommends that the old weights stay by 1 − α with α = 0.9, while its authors'
code lets 0.9 of them stay; the latter is the default here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from sciml.pinn.base import check_names
from sciml.pinn.weighting.adaptive import Adaptive, gradients


class LearningRateAnnealing(Adaptive):
    """Weights against gradients that vanish beside those of the equation.

    Args:
        weights: λ at the start by condition name; 1 for a condition that is not named.
        every: Steps from one measurement to the next.
        momentum: What stays of the old weights.
        equation: Name of the condition that is the equation, whose weight stays 1.
    """

    def __init__(
        self,
        *,
        weights: Mapping[str, float] | None = None,
        every: int = 10,
        momentum: float = 0.9,
        equation: str = "residual",
    ) -> None:
        super().__init__(weights=weights, every=every, momentum=momentum)
        self.equation = equation

    def prepare(self, conditions: Sequence[str]) -> None:
        check_names("weighting.equation", [self.equation], conditions)
        super().prepare(conditions)

    def measure(self, residuals: Callable[[], dict[str, Tensor]], parameters: Sequence[Tensor]) -> tuple[Tensor, int]:
        found = residuals()
        rows = gradients([found[name].square().mean() for name in self.conditions], parameters).abs()
        index = self.conditions.index(self.equation)
        steepest, means = rows[index].max(), rows.mean(dim=1)
        # At most 100 000, also where a gradient vanishes.
        weights = torch.where(steepest > 0, (steepest / means).clamp(max=1e5), torch.ones_like(means))
        weights[index] = 1
        return weights, len(rows)
