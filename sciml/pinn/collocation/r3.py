"""R3, retain-resample-release: keep the points where |r| exceeds its mean, draw the others anew, at every step.

    P_{i+1} = { x ∈ P_i : |r(x)| > (1/N) Σ_j |r(x_j)| }  ∪  uniform points, up to N in all

Source: Daw, Bu, Wang, Perdikaris and Karpatne, "Mitigating propagation failures in physics-informed neural
networks using retain-resample-release (R3) sampling", ICML 2023 (arXiv 2207.02338), algorithm 1. As in the
authors' code the residual is that of the step's own loss, taken before the optimiser step, so that R3 costs
no evaluation of the network.

Deviation: N candidates are drawn and those that meet a retained point are thrown away, where the authors draw
exactly as many as were released. The distribution is the same, no shape depends on data, and the device is
never waited for. A retained point keeps its place, a released one is replaced in place.
"""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from sciml.pinn.base import Collocation, Problem
from sciml.pinn.jet import Jet


class R3(Collocation):
    """Retains the points whose residual exceeds the mean."""

    def forward(self, problem: Problem, jet: Jet, points: Tensor, residual: Tensor, generator: Generator) -> Tensor:
        fresh = problem.draw(len(points), generator).to(points)
        return torch.where((residual > residual.mean()).unsqueeze(1), points, fresh)
