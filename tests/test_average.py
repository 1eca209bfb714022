from __future__ import annotations

import pytest
import torch
from torch import nn

from sciml.average import Average


def test_the_average_follows_every_step_and_is_applied_for_a_while() -> None:
    net = nn.Linear(1, 1, bias=False)
    average = Average(net, 0.9)
    optimizer = torch.optim.SGD(net.parameters(), lr=1.0)
    average.follow(optimizer)
    start = expected = net.weight.item()
    for k in range(3):
        net.weight.grad = torch.full((1, 1), -1.0)
        optimizer.step()
        expected = 0.9 * expected + 0.1 * (start + k + 1)
    with average.applied():
        assert net.weight.item() == pytest.approx(expected)
    assert net.weight.item() == pytest.approx(start + 3)
    assert float(average.state_dict()["mean_0"]) == pytest.approx(expected)
    with pytest.raises(ZeroDivisionError), average.applied():
        raise ZeroDivisionError
    assert net.weight.item() == pytest.approx(start + 3)


def test_none_is_kept_for_zero() -> None:
    net = nn.Linear(1, 1)
    average = Average(net, 0.0)
    assert not average.state_dict()
    weight = net.weight.detach().clone()
    with average.applied():
        assert torch.equal(net.weight, weight)
