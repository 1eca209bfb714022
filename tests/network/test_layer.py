"""How layers start, and the factorised one against W = diag(g) V."""

from __future__ import annotations

import math

import pytest
import torch

from sciml.errors import ConfigError
from sciml.network.layer import Factorised, linear
from sciml.network.mlp import MLP


def test_glorots_normal_distribution() -> None:
    torch.manual_seed(0)
    layer = linear(300, 100, "glorot")
    weights = layer.weight.detach().flatten()
    deviation = math.sqrt(2 / 400)
    assert abs(weights.std() / deviation - 1) < 4 / (2 * len(weights)) ** 0.5
    assert abs(weights.mean()) < 4 * deviation / len(weights) ** 0.5
    assert (weights.abs() > 2 * deviation).double().mean() == pytest.approx(0.0455, abs=0.005)
    assert not layer.bias.any()
    network = MLP(2, 1, width=5, depth=2, init="glorot")
    assert not any(layer.bias.any() for layer in network.layers)


def test_a_factorised_layer_starts_as_the_plain_one() -> None:
    torch.manual_seed(4)
    plain = linear(6, 3, "glorot").double()
    torch.manual_seed(4)
    layer = Factorised(6, 3).double()
    x = torch.randn(10, 6, dtype=torch.float64)
    torch.testing.assert_close(layer(x), plain(x), rtol=1e-6, atol=1e-6)
    assert sum(p.numel() for p in layer.parameters()) == 18 + 3 + 3


def test_scale_and_direction_are_trained_apart() -> None:
    torch.manual_seed(4)
    layer = Factorised(6, 3).double()
    with torch.no_grad():
        layer.bias.normal_()
        layer.scale[1] *= 2
    x = torch.randn(10, 6, dtype=torch.float64)
    expected = x @ (layer.scale[:, None] * layer.direction).T + layer.bias
    torch.testing.assert_close(layer(x), expected)
    layer(x).sum().backward()
    assert layer.scale.grad is not None
    torch.testing.assert_close(layer.scale.grad, (x @ layer.direction.T).sum(0))


def test_scales_are_exponentials_of_normal_numbers() -> None:
    torch.manual_seed(0)
    logs = Factorised(2, 20000, mean=1.0, deviation=0.1).scale.detach().log()
    assert abs(logs.mean() - 1.0) < 4 * 0.1 / 20000**0.5
    assert abs(logs.std() / 0.1 - 1) < 4 / 40000**0.5


def test_an_unknown_start() -> None:
    with pytest.raises(ConfigError, match=r"network.init: unknown 'xavier'; one of torch, glorot"):
        MLP(2, 1, width=5, depth=1, init="xavier")
