"""The modified MLP against its formula, and with gates that agree."""

from __future__ import annotations

import pytest
import torch
from refusals import accepted

from sciml.network.modified_mlp import ModifiedMLP


@pytest.mark.parametrize("features", [None, 6])
def test_the_formula_written_out(features: int | None) -> None:
    torch.manual_seed(0)
    network = ModifiedMLP(2, 3, width=5, depth=3, features=features, init="torch").double()
    x = torch.randn(7, 2, dtype=torch.float64)
    h = x if network.features is None else network.features(x)
    u, v = torch.tanh(network.u(h)), torch.tanh(network.v(h))
    for layer in network.layers:
        z = torch.tanh(h @ layer.weight.T + layer.bias)
        h = z * u + (1 - z) * v
    torch.testing.assert_close(network(x), network.last(h))
    assert len(network.layers) == 3


def test_equal_gates_leave_one_hidden_layer() -> None:
    torch.manual_seed(0)
    network = ModifiedMLP(2, 1, width=5, depth=3, factorised=True)
    network.v.load_state_dict(network.u.state_dict())
    x = torch.randn(7, 2)
    torch.testing.assert_close(network(x), network.last(torch.tanh(network.u(x))))


def test_what_is_out_of_range_is_refused() -> None:
    assert accepted(ModifiedMLP, width=0, depth=0, sigma=0) == {}
