"""MultiAdam against Adam, its own formula, and changes of scale."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from refusals import accepted
from torch import Tensor, nn

from sciml.errors import ConfigError
from sciml.optimizer.base import FunctionObjective
from sciml.optimizer.multiadam import MultiAdam


def start() -> list[nn.Parameter]:
    generator = torch.Generator().manual_seed(0)
    return [nn.Parameter(torch.randn(s, generator=generator, dtype=torch.float64)) for s in ((3, 2), (4,))]


def objective(p: list[nn.Parameter], scales: tuple[float, float, float] = (1, 1, 1)) -> FunctionObjective:
    def terms() -> dict[str, Tensor]:
        a, b = p
        found = {"first": (a.square().sum() - 1).square(), "second": (b - 1).square().sum() + a.sum()}
        found["third"] = b[0].square()
        return {name: scale * value for (name, value), scale in zip(found.items(), scales, strict=True)}

    return FunctionObjective(p, terms=terms)


def run(
    p: list[nn.Parameter], steps: int = 15, scales: tuple[float, float, float] = (1, 1, 1), **settings: Any
) -> Tensor:
    optimizer, f = MultiAdam(p, lr=1e-2, **settings), objective(p, scales)
    for _ in range(steps):
        optimizer.step(f)
    return torch.cat([q.detach().reshape(-1) for q in p])


def test_with_one_group_it_is_adam() -> None:
    p, q = start(), start()
    mine = run(p, groups=[["first", "second", "third"]])
    adam, f = torch.optim.Adam(q, lr=1e-2, betas=(0.99, 0.99)), objective(q)
    for _ in range(15):
        f()
        adam.step()
    torch.testing.assert_close(mine, torch.cat([x.detach().reshape(-1) for x in q]), rtol=1e-12, atol=1e-12)


def test_equals_the_mean_of_the_groups_directions() -> None:
    p, q = start(), start()
    mine, f = run(p, steps=7), objective(q)
    m, v = torch.zeros(3, 10, dtype=torch.float64), torch.zeros(3, 10, dtype=torch.float64)
    for t in range(1, 8):
        for i, term in enumerate(f.terms().values()):
            g = torch.cat([x.reshape(-1) for x in torch.autograd.grad(term, q, materialize_grads=True)])
            m[i] = 0.99 * m[i] + 0.01 * g
            v[i] = 0.99 * v[i] + 0.01 * g * g
        update = ((m / (1 - 0.99**t)) / ((v / (1 - 0.99**t)).sqrt() + 1e-8)).mean(0)
        with torch.no_grad():
            q[0].sub_(1e-2 * update[:6].view(3, 2))
            q[1].sub_(1e-2 * update[6:])
    torch.testing.assert_close(mine, torch.cat([x.detach().reshape(-1) for x in q]), rtol=1e-12, atol=1e-12)


def test_the_scale_of_a_group_does_not_matter() -> None:
    settings = {"eps": 1e-30, "groups": [["second"]]}
    plain, scaled = run(start(), **settings), run(start(), scales=(1e-5, 1e6, 1e-5), **settings)
    torch.testing.assert_close(scaled, plain)
    together = {"eps": 1e-30, "groups": [["first", "second", "third"]]}
    assert not torch.allclose(run(start(), scales=(1e-5, 1e6, 1e-5), **together), run(start(), **together))


def test_terms_that_are_not_named_make_a_group() -> None:
    assert torch.equal(run(start(), groups=[["second"]]), run(start(), groups=[["second"], ["first", "third"]]))


def test_what_the_loss_does_not_have_is_named() -> None:
    with pytest.raises(ConfigError, match="no term 'pde'; it has first, second, third"):
        run(start(), groups=[["pde"]])
    with pytest.raises(ConfigError, match="'first' is in more than one group"):
        run(start(), groups=[["first"], ["first"]])
    p = start()
    optimizer = MultiAdam(p)
    optimizer.step(objective(p))
    with pytest.raises(ConfigError, match="had 3 groups of loss terms and has 1 now"):
        optimizer.step(FunctionObjective(p, terms=lambda: {"one": p[0].sum()}))


def test_what_is_out_of_range_is_refused() -> None:
    assert accepted(MultiAdam, betas=[0.9, 1.0], eps=-0.1) == {}
