"""SIREN: the formula, and the spread that its start keeps through the layers."""

from __future__ import annotations

import pytest
import torch
from refusals import accepted

from sciml.network.siren import Siren


def test_the_formula_written_out() -> None:
    network = Siren(2, 3, width=5, depth=2, omega=7.0).double()
    x = torch.randn(7, 2, dtype=torch.float64)
    one, two, last = network.layers
    torch.testing.assert_close(network(x), last(torch.sin(7 * two(torch.sin(7 * one(x))))))


def test_every_hidden_layer_sees_a_standard_normal() -> None:
    """Theorem 1.8: arguments of the sines have variance 1 after the first layer, whatever the depth."""
    torch.manual_seed(0)
    network = Siren(1, 1, width=1000, depth=4)
    h = torch.rand(500, 1) * 2 - 1
    first, *hidden, _ = network.layers
    assert first.weight.abs().max() <= 1
    h = torch.sin(30 * first(h))
    for layer in hidden:
        argument = 30 * (h @ layer.weight.T)  # the theorem has no biases
        assert float(argument.detach().std()) == pytest.approx(1.0, abs=0.1)
        h = torch.sin(argument)


def test_what_is_out_of_range_is_refused() -> None:
    assert accepted(Siren, width=0, depth=0, omega=0.0) == {}
