r"""Causal R3: R3 on residuals behind a gate that opens along time as they become small.

.. math::
    g(t) = \frac{1 - \tanh(\alpha (\hat t - \gamma))}{2}, \qquad
    \gamma \leftarrow \gamma + \eta_g \min\left(\kappa, e^{-\epsilon L}\right), \quad L = \frac1N \sum_i (g_i r_i)^2,

with :math:`\hat t` the time on [0, 1]. The loss is L, and the points with :math:`g |r|` above its mean are retained.
Source: Daw, Bu, Wang, Perdikaris and Karpatne, ICML 2023 (arXiv 2207.02338), the causal form of R3; the bound
:math:`\kappa` and all values are those of the authors' code (``Convection/train.py``, ``CausalR3Sampler``), where
:math:`\gamma` is called beta.
"""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from sciml.pinn.base import Collocation, Problem
from sciml.pinn.collocation.r3 import R3
from sciml.pinn.jet import Jet
from sciml.ranges import Natural, NonNegative, Positive


class CausalR3(Collocation):
    """Retains the points whose gated residual exceeds the mean.

    Args:
        alpha: Steepness α of the gate.
        gamma: Where the gate's middle lies at the start, on the scale of t̂.
        rate: Step size η_g of the gate.
        tolerance: ε: how much a large loss holds the gate back.
        bound: κ, largest factor of ``rate``.
        axis: The input along which the gate opens.
    """

    gamma: Tensor

    def __init__(
        self,
        *,
        alpha: Positive = 5.0,
        gamma: float = -0.5,
        rate: NonNegative = 1e-3,
        tolerance: Positive = 20.0,
        bound: Positive = 0.1,
        axis: Natural = 0,
    ) -> None:
        super().__init__()
        self.alpha, self.rate, self.tolerance, self.bound, self.axis = alpha, rate, tolerance, bound, axis
        self.retain = R3()
        self.register_buffer("gamma", torch.tensor(gamma, dtype=torch.float64))

    def gate(self, problem: Problem, points: Tensor) -> Tensor:
        ends = problem.place(points.new_tensor([[0.0], [1.0]]).expand(2, points.shape[1]))[:, self.axis]
        relative = (points[:, self.axis] - ends[0]) / (ends[1] - ends[0])
        return (1 - torch.tanh(self.alpha * (relative - self.gamma.to(points)))) / 2

    def forward(self, problem: Problem, jet: Jet, points: Tensor, residual: Tensor, generator: Generator) -> Tensor:
        gated = residual * self.gate(problem, points)
        chosen = self.retain(problem, jet, points, gated, generator)
        opening = torch.exp(-self.tolerance * gated.double().square().mean()).clamp(max=self.bound)
        self.gamma = self.gamma + self.rate * opening
        return chosen
