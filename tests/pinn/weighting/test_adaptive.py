"""Weights from gradients and Jacobians, against explicit ones on a residual that mixes sizes, shapes and scales."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from pinn_problems import convection
from refusals import accepted
from torch import Tensor, nn

from sciml.conflict.config import ConFIG
from sciml.errors import ConfigError
from sciml.network.mlp import MLP
from sciml.pinn.collocation.causal_r3 import CausalR3
from sciml.pinn.collocation.uniform import Uniform
from sciml.pinn.module import Pinn
from sciml.pinn.weighting.adaptive import Adaptive
from sciml.pinn.weighting.causal import Causal
from sciml.pinn.weighting.fixed import Fixed
from sciml.pinn.weighting.grad_norm import GradNorm
from sciml.pinn.weighting.lr_annealing import LearningRateAnnealing
from sciml.pinn.weighting.ntk import NTK

NAMES = ("residual", "initial", "boundary")
Case = tuple[Callable[[], dict[str, Tensor]], list[nn.Parameter]]


@pytest.fixture
def case() -> Case:
    torch.manual_seed(0)
    network = MLP(2, 2, width=4, depth=2).double()
    x = torch.rand(21, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))

    def residuals() -> dict[str, Tensor]:
        u = network(x)
        return {"residual": 30 * u[:11] ** 2, "initial": u[11:16] - 1, "boundary": 0.2 * (u[16:, :1] - 2)}

    return residuals, list(network.parameters())


def jacobian(residual: Tensor, parameters: list[nn.Parameter]) -> Tensor:
    rows = [torch.autograd.grad(r, parameters, retain_graph=True) for r in residual.flatten()]
    return torch.stack([torch.cat([part.flatten() for part in row]) for row in rows])


def measured(rule: Adaptive, case: Case) -> dict[str, float]:
    rule.prepare(NAMES)
    rule.adapt(*case)
    return {name: float(value) for name, value in rule.weights().items()}


def test_gradient_norms_become_equal(case: Case) -> None:
    found = measured(GradNorm(momentum=0.0), case)
    norms = {}
    for name, residual in case[0]().items():
        # ∇ mean r² = 2/n Jᵀ r
        norms[name] = float((2 / residual.numel() * jacobian(residual, case[1]).T @ residual.flatten()).detach().norm())
    mean = sum(norms.values()) / 3
    assert max(norms.values()) > 10 * min(norms.values())
    assert found == pytest.approx({name: mean / norm for name, norm in norms.items()}, rel=1e-9)


def test_traces_of_the_kernel_become_equal(case: Case) -> None:
    found = measured(NTK(momentum=0.0), case)
    traces = {}
    for name, residual in case[0]().items():
        rows = jacobian(residual, case[1])
        traces[name] = float((rows @ rows.T).trace()) / len(residual)
    mean = sum(traces.values()) / 3
    assert max(traces.values()) > 10 * min(traces.values())
    assert found == pytest.approx({name: mean / trace for name, trace in traces.items()}, rel=1e-9)


def test_annealing_is_the_ratio_of_steepest_to_mean(case: Case) -> None:
    found = measured(LearningRateAnnealing(momentum=0.0), case)
    slopes = {}
    for name, residual in case[0]().items():
        slopes[name] = (2 / residual.numel() * jacobian(residual, case[1]).T @ residual.flatten()).detach().abs()
    steepest = float(slopes["residual"].max())
    expected = {name: steepest / float(slopes[name].mean()) for name in ("initial", "boundary")}
    assert found == pytest.approx({"residual": 1.0, **expected}, rel=1e-9)


def test_the_average_runs(case: Case) -> None:
    at_once = measured(GradNorm(momentum=0.0), case)
    slow = GradNorm(weights={"boundary": 7.0}, momentum=0.8)
    slow.prepare(NAMES)
    for k in range(1, 4):
        slow.adapt(*case)
        first = {"residual": 1.0, "initial": 1.0, "boundary": 7.0}
        expected = {name: 0.8**k * first[name] + (1 - 0.8**k) * value for name, value in at_once.items()}
        assert {name: float(value) for name, value in slow.weights().items()} == pytest.approx(expected)


@pytest.mark.parametrize("kind", [GradNorm, NTK, LearningRateAnnealing])
def test_a_loss_without_slope_leaves_all_weights_finite(kind: type[GradNorm | NTK | LearningRateAnnealing]) -> None:
    p = nn.Parameter(torch.tensor([1.0, 2.0]))

    def residuals() -> dict[str, Tensor]:
        return {"residual": p * 3, "initial": p - 1, "boundary": p.detach().repeat(2) + 0 * p.sum()}

    rule = kind(momentum=0.0)
    rule.prepare(NAMES)
    rule.adapt(residuals, [p])
    weights = torch.stack(list(rule.weights().values()))
    assert torch.isfinite(weights).all()
    assert (weights > 0).all()


def test_bad_names() -> None:
    with pytest.raises(ConfigError, match=r"weighting.weights names inital; the conditions are residual, initial"):
        NTK(weights={"inital": 100.0}).prepare(("residual", "initial"))
    with pytest.raises(ConfigError, match=r"weighting.equation names pde; the conditions are residual, initial"):
        LearningRateAnnealing(equation="pde").prepare(("residual", "initial"))


@pytest.mark.parametrize(
    ("parts", "name"),
    [
        ({"weighting": GradNorm()}, "GradNorm"),
        ({"weighting": Causal(weights={})}, "Causal"),
        ({"weighting": ConFIG()}, "ConFIG"),
        ({"collocation": CausalR3()}, "CausalR3"),
    ],
)
def test_what_needs_all_points_at_once_is_refused_on_several_processes(parts: dict[str, Any], name: str) -> None:
    torch.manual_seed(0)
    module = Pinn(
        problem=convection(),
        network=partial(MLP, width=4, depth=1),
        optimizer=torch.optim.Adam,
        n_points=20,
        n_val=20,
        **{"collocation": Uniform(), "weighting": Fixed(weights={}), **parts},
    )
    with pytest.raises(ConfigError, match=f"{name} does not work on several processes; set trainer.devices=1"):
        module.check_shares(2)


def test_what_is_out_of_range_is_refused() -> None:
    assert accepted(GradNorm, every=0, momentum=1.0) == {}
    assert accepted(NTK, every=0, momentum=1.0) == {}
