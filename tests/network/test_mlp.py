"""Shapes, the formula written out, and torch's default initialisation."""

from __future__ import annotations

import pytest
import torch
from refusals import accepted

from sciml.errors import ConfigError
from sciml.network.mlp import MLP


def test_the_formula_written_out() -> None:
    network = MLP(2, 3, width=5, depth=2).double()
    x = torch.randn(7, 2, dtype=torch.float64)
    (w1, b1), (w2, b2), (w3, b3) = [(layer.weight, layer.bias) for layer in network.layers]
    expected = torch.tanh(torch.tanh(x @ w1.T + b1) @ w2.T + b2) @ w3.T + b3
    torch.testing.assert_close(network(x), expected)


def test_depth_counts_hidden_layers() -> None:
    network = MLP(2, 1, width=50, depth=4)
    assert [tuple(layer.weight.shape) for layer in network.layers] == [(50, 2), (50, 50), (50, 50), (50, 50), (1, 50)]
    assert sum(p.numel() for p in network.parameters()) == 150 + 3 * 2550 + 51


def test_weights_start_from_torchs_default() -> None:
    torch.manual_seed(3)
    network = MLP(2, 1, width=64, depth=2)
    torch.manual_seed(3)
    layers = [torch.nn.Linear(2, 64), torch.nn.Linear(64, 64), torch.nn.Linear(64, 1)]
    for mine, theirs in zip(network.layers, layers, strict=True):
        assert torch.equal(mine.weight, theirs.weight)
        assert torch.equal(mine.bias, theirs.bias)


def test_an_unknown_activation_is_refused() -> None:
    with pytest.raises(ConfigError, match="'tahn'; one of silu, sine, tanh"):
        MLP(2, 1, width=5, depth=1, activation="tahn")


def test_what_is_out_of_range_is_refused() -> None:
    assert accepted(MLP, width=0, depth=0) == {}
