"""M-ConFIG against its algorithm in plain numbers, and without memory."""

from __future__ import annotations

import pytest
import torch
from refusals import accepted
from torch import Tensor, nn

from sciml.conflict.config import conflict_free
from sciml.conflict.momentum_config import MomentumConFIG

NAMES = ("a", "b", "c")
P = 12


def rule(**options: float | int) -> MomentumConFIG:
    made = MomentumConFIG(**options)  # type: ignore[arg-type]
    made.prepare(NAMES, [nn.Parameter(torch.zeros(P - 2).double()), nn.Parameter(torch.zeros(2, 1).double())])
    return made


def gradient(step: int, name: str) -> Tensor:
    generator = torch.Generator().manual_seed(10 * step + NAMES.index(name))
    return torch.randn(P, generator=generator, dtype=torch.float64) + (-1.0) ** NAMES.index(name)


@pytest.mark.parametrize("updates", [1, 2])
def test_equals_the_algorithm(updates: int) -> None:
    beta1, beta2, eps = 0.8, 0.95, 1e-8
    made = rule(beta1=beta1, beta2=beta2, eps=eps, updates=updates)
    momenta, turns = {name: torch.zeros(P).double() for name in NAMES}, dict.fromkeys(NAMES, 0)
    second, before, t, seen = torch.zeros(P).double(), torch.zeros(P).double(), 0, []
    for step in range(9):
        due = made.due(step, NAMES)
        assert len(due) == updates
        seen += due
        found = made({name: gradient(step, name) for name in due})
        for name in due:
            momenta[name] = beta1 * momenta[name] + (1 - beta1) * gradient(step, name)
            turns[name] += 1
        if not all(turns.values()):
            assert not found.any(), "nothing moves before each loss had its turn"
            continue
        t += 1
        g_c = conflict_free(torch.stack([momenta[name] / (1 - beta1 ** turns[name]) for name in NAMES]))
        m_c = g_c * (1 - beta1**t)
        second = beta2 * second + (1 - beta2) * ((m_c - beta1 * before) / (1 - beta1)) ** 2
        before = m_c
        torch.testing.assert_close(found, g_c / ((second / (1 - beta2**t)).sqrt() + eps))
    assert {seen.count(name) for name in NAMES} == {9 * updates // 3}


def test_without_memory_and_all_losses_it_is_config_elementwise_normalised() -> None:
    """β_1 = β_2 = 0 leaves g_c / (|g_c| + ε): ConFIG's signs, exactly 1 in size."""
    made = rule(beta1=0.0, beta2=0.0, eps=0.0, updates=3)
    for step in range(2):
        rows = {name: gradient(step, name) for name in made.due(step, NAMES)}
        assert tuple(rows) == NAMES
        torch.testing.assert_close(made(rows), conflict_free(torch.stack(list(rows.values()))).sign())


def test_what_it_remembers_is_saved() -> None:
    one, other = rule(), rule()
    for step in range(5):
        one({name: gradient(step, name) for name in one.due(step, NAMES)})
    other.load_state_dict(one.state_dict())
    (name,) = one.due(5, NAMES)
    assert torch.equal(one({name: gradient(5, name)}), other({name: gradient(5, name)}))


def test_what_is_out_of_range_is_refused() -> None:
    assert accepted(MomentumConFIG, beta1=-0.1, beta2=1, updates=0) == {}
