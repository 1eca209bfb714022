r"""Learning-rate annealing: the mean slope of each condition made as steep as the steepest of the equation.

.. math::
    \hat\lambda_c = \frac{\max_\theta |\nabla_\theta L_r|}{\operatorname{mean}_\theta |\nabla_\theta L_c|},
    \qquad \lambda_r = 1,

maximum and mean over the components of the gradient. Source: Wang, Teng and Perdikaris, "Understanding and mitigating
gradient flow pathologies in physics-informed neural networks", SIAM Journal on Scientific Computing 43 (2021),
algorithm 2.1 (arXiv 2001.04536, algorithm 1). Of the old weights 0.9 stay, which is the journal's α = 0.1 and the
authors' code; the preprint recommends α = 0.9, by which 0.1 stay.

The quotient is that of the preprint, equation (40). The journal's (2.30) and the authors' code divide by the mean slope
of :math:`\lambda_c L_c`, with the old weight in it, whose running average comes to rest at the root of the quotient
above. The authors' code also leaves biases out, and takes the mean of the layers' means.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from sciml.pinn.base import check_names
from sciml.pinn.weighting.adaptive import Adaptive, gradients
from sciml.ranges import Count, Momentum, NonNegative


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
        weights: Mapping[str, NonNegative] | None = None,
        every: Count = 10,
        momentum: Momentum = 0.9,
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
