"""PCGrad against the loops of its algorithm."""

from __future__ import annotations

import torch
from torch import Tensor

from sciml.conflict.pcgrad import PCGrad
from sciml.data.stream import stream


def gradients(m: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    shared = torch.randn(30, generator=generator)
    return {f"g{i}": torch.randn(30, generator=generator) + 1.5 * (-1) ** i * shared for i in range(m)}


def by_the_book(gradients: list[list[float]], orders: list[list[int]]) -> list[float]:
    total = [0.0] * len(gradients[0])
    for i, order in enumerate(orders):
        mine = list(gradients[i])
        for j in order:
            other = gradients[j]
            dot = sum(a * b for a, b in zip(mine, other, strict=True))
            if j != i and dot < 0:
                square = sum(b * b for b in other)
                mine = [a - dot / square * b for a, b in zip(mine, other, strict=True)]
        total = [a + b for a, b in zip(total, mine, strict=True)]
    return total


def test_equals_the_algorithm() -> None:
    torch.manual_seed(3)
    rule, generator = PCGrad(), stream("conflict/pcgrad")
    found = gradients(4)
    for _ in range(2):
        orders = [torch.randperm(4, generator=generator).tolist() for _ in found]
        expected = by_the_book([g.tolist() for g in found.values()], orders)
        torch.testing.assert_close(rule(found), torch.tensor(expected), rtol=1e-4, atol=1e-4)


def test_gradients_that_agree_are_added() -> None:
    found = {name: g.abs() for name, g in gradients(3).items()}
    torch.testing.assert_close(PCGrad()(found), sum(found.values(), start=torch.zeros(30)))


def test_two_conflicting_gradients_lose_what_is_against_the_other() -> None:
    one, two = torch.tensor([1.0, 0.0]), torch.tensor([-1.0, 1.0])
    torch.testing.assert_close(PCGrad()({"a": one, "b": two}), torch.tensor([0.5, 1.5]))


def test_a_loss_without_gradient() -> None:
    found = {"a": torch.tensor([1.0, 2.0]), "b": torch.zeros(2)}
    torch.testing.assert_close(PCGrad()(found), found["a"])


def test_orders_go_on_where_they_were_saved() -> None:
    one, found = PCGrad(), gradients(4)
    one(found)
    torch.manual_seed(99)
    other = PCGrad()
    other.load_state_dict(one.state_dict())
    assert torch.equal(one(found), other(found))
