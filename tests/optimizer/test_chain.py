"""Chains: the stages one by one, interruption anywhere, and configs that are wrong."""

from __future__ import annotations

import logging
from functools import partial
from typing import Any

import pytest
import torch
from hydra.utils import instantiate
from resumption import Made, interrupted, straight
from torch import Tensor, nn

from sciml.config import check_node
from sciml.errors import ConfigError
from sciml.optimizer.base import FunctionObjective
from sciml.optimizer.chain import Chain
from sciml.optimizer.dense_quasi_newton import BFGS
from sciml.optimizer.lbfgs import LBFGS
from sciml.optimizer.nncg import NNCG

STAGES: list[dict[str, Any]] = [
    {"optimizer": partial(torch.optim.Adam, lr=0.05), "steps": 6},
    {"optimizer": partial(LBFGS, history=5), "steps": 5},
    {"optimizer": partial(torch.optim.LBFGS, max_iter=2), "steps": 3},
    {"optimizer": partial(NNCG, rank=2, refresh=2, cg_iterations=3), "steps": None},
]


def problem() -> tuple[list[nn.Parameter], FunctionObjective]:
    p = [nn.Parameter(torch.tensor([-1.2, 1.0], dtype=torch.float64)), nn.Parameter(torch.ones(1, 2).double() / 2)]

    def terms() -> dict[str, Tensor]:
        x = torch.cat([q.reshape(-1) for q in p])
        return {"valley": 100 * (x[1:] - x[:-1].square()).square().sum(), "slope": (1 - x[:-1]).square().sum()}

    return p, FunctionObjective(p, terms=terms)


def same(one: list[nn.Parameter], other: list[nn.Parameter]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_equals_its_stages_one_after_another(caplog: pytest.LogCaptureFixture) -> None:
    p, f = problem()
    chain = Chain(p, stages=STAGES)
    with caplog.at_level(logging.INFO, "sciml"):
        losses = [float(chain.step(f)) for _ in range(18)]
    q, g = problem()
    expected = []
    adam = torch.optim.Adam(q, lr=0.05)
    for _ in range(6):
        expected.append(float(g()))
        adam.step()
    for stage, steps in zip(STAGES[1:], (5, 3, 4), strict=True):
        optimizer = stage["optimizer"](q)
        expected += [float(optimizer.step(g)) for _ in range(steps)]
    assert losses == expected
    assert same(p, q)
    assert [r.getMessage() for r in caplog.records if "stage" in r.getMessage()] == [
        "stage 2 of 4: LBFGS",
        "stage 3 of 4: LBFGS",
        "stage 4 of 4: NNCG",
    ]


@pytest.mark.parametrize("cut", [3, 6, 9, 11, 12, 15, 16])
def test_an_interrupted_run_equals_one_that_is_not(cut: int) -> None:
    def make() -> Made:
        torch.manual_seed(0)
        p, f = problem()
        return p, Chain(p, stages=STAGES), f

    resumed, again = interrupted(make, cut, 18 - cut)
    whole, straight_on = straight(make, 18)
    assert same(resumed, whole)
    assert (again.stage, again.taken) == (straight_on.stage, straight_on.taken)


def test_a_schedule_changes_the_rates_of_all_stages() -> None:
    p, f = problem()
    stages = [
        {"optimizer": partial(torch.optim.SGD, lr=0.1), "steps": 2},
        {"optimizer": partial(BFGS, lr=0.5), "steps": 9},
    ]
    chain = Chain(p, stages=stages)
    schedule = torch.optim.lr_scheduler.ExponentialLR(chain, 0.5)
    rates = []
    for _ in range(4):
        chain.step(f)
        rates.append(chain.current.param_groups[0]["lr"])
        schedule.step()
    assert rates == [0.1, 0.05, 0.125, 0.0625]


def test_groups_reach_the_stages() -> None:
    p, f = problem()
    groups = [{"params": [p[0]], "lr": 1.0}, {"params": [p[1]], "lr": 0.0}]
    before = p[1].detach().clone()
    Chain(groups, stages=STAGES[:1]).step(f)
    assert torch.equal(p[1].detach(), before)
    assert p[0][0] != -1.2


def test_a_config_of_stages_is_checked_and_built() -> None:
    adam = {"_target_": "torch.optim.Adam", "_partial_": True, "lr": 0.1}
    node = {
        "_target_": "sciml.optimizer.chain.Chain",
        "_partial_": True,
        "stages": [{"optimizer": adam, "steps": 3}, {"optimizer": {**adam, "lr": 0.2}, "steps": None}],
    }
    check_node(node, "optimizer")
    p, f = problem()
    chain = instantiate(node, _convert_="all")(p)
    for _ in range(5):
        chain.step(f)
    assert (chain.stage, chain.taken, chain.current.param_groups[0]["lr"]) == (1, 2, 0.2)
    node["stages"][1]["optimizer"]["rate"] = 1.0
    with pytest.raises(ConfigError, match=r"no setting optimizer\.stages\.1\.optimizer\.rate"):
        check_node(node, "optimizer")


@pytest.mark.parametrize(
    ("stages", "message"),
    [
        ([], "stages is empty"),
        ([{"optimizer": BFGS}], r"stages\.0\.steps is missing"),
        ([{"optimizer": BFGS, "step": 3, "steps": 1}], r"no setting optimizer\.stages\.0\.step; did you mean"),
        ([{"optimizer": BFGS, "steps": None}, {"optimizer": BFGS, "steps": 1}], r"stages\.0\.steps: None is not"),
        ([{"optimizer": BFGS, "steps": 0}], r"stages\.0\.steps: 0 is not a positive whole number, or null"),
        ([{"optimizer": "adam", "steps": 1}], r"stages\.0\.optimizer must be a node"),
    ],
)
def test_errors_name_the_stage(stages: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Chain(problem()[0], stages=stages)


def test_a_checkpoint_of_a_longer_chain_is_refused() -> None:
    p, f = problem()
    chain = Chain(p, stages=STAGES)
    for _ in range(8):
        chain.step(f)
    with pytest.raises(ConfigError, match="in stage 2, the chain has 1"):
        Chain(problem()[0], stages=STAGES[:1]).load_state_dict(chain.state_dict())
