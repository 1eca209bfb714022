"""Causal R3 against the formulas in plain numbers, and with a gate that is the same everywhere."""

from __future__ import annotations

import math

import torch
from pinn_problems import convection
from torch import Tensor

from sciml.network.mlp import MLP
from sciml.pinn.collocation.causal_r3 import CausalR3
from sciml.pinn.collocation.r3 import R3
from sciml.pinn.jet import Jet

N = 200
PROBLEM = convection(n_x=8, n_t=8)
JET = Jet(MLP(2, 1, width=2, depth=1))


def points(seed: int = 0) -> Tensor:
    return PROBLEM.draw(N, torch.Generator().manual_seed(seed))


def residual() -> Tensor:
    return torch.rand(N, generator=torch.Generator().manual_seed(1)).double() ** 2


def test_equals_the_formulas() -> None:
    rule = CausalR3(gamma=0.2, rate=0.5, tolerance=3.0, bound=0.95)
    x, r, gamma = points(), residual(), 0.2
    for step in range(3):
        gate = [(1 - math.tanh(5.0 * (t - gamma))) / 2 for t in x[:, 0].tolist()]
        torch.testing.assert_close(rule.gate(PROBLEM, x), torch.tensor(gate, dtype=torch.float64))
        gated = [g * value for g, value in zip(gate, r.tolist(), strict=True)]
        chosen = rule(PROBLEM, JET, x, r, torch.Generator().manual_seed(100 + step))
        kept = [value > sum(gated) / N for value in gated]
        assert (chosen == x).all(dim=1).tolist() == kept
        gamma += 0.5 * min(0.95, math.exp(-3.0 * sum(value**2 for value in gated) / N))
        assert math.isclose(float(rule.gamma), gamma, rel_tol=1e-12)
        x = chosen


def test_the_bound_holds_the_gate_back() -> None:
    rule = CausalR3()
    rule(PROBLEM, JET, points(), torch.zeros(N), torch.Generator().manual_seed(0))
    assert math.isclose(float(rule.gamma), -0.5 + 1e-3 * 0.1)


def test_a_flat_gate_is_r3() -> None:
    x, r = points(), residual()
    flat, plain = (rule(PROBLEM, JET, x, r, torch.Generator().manual_seed(3)) for rule in (CausalR3(alpha=0.0), R3()))
    assert torch.equal(flat, plain)
    assert not torch.equal(CausalR3(gamma=0.3)(PROBLEM, JET, x, r, torch.Generator().manual_seed(3)), plain)


def test_the_gate_is_saved() -> None:
    one, other = CausalR3(rate=0.7), CausalR3()
    one(PROBLEM, JET, points(), residual(), torch.Generator())
    other.load_state_dict(one.state_dict())
    assert torch.equal(other.gamma, one.gamma)
    assert other.gamma != -0.5
