"""A Fourier network is the MLP of its features."""

from __future__ import annotations

import torch
from refusals import accepted

from sciml.network.fourier import Fourier
from sciml.network.mlp import MLP


def test_the_formula_written_out() -> None:
    torch.manual_seed(0)
    network = Fourier(2, 3, features=8, sigma=[0.5, 2.0], width=5, depth=2)
    x = torch.randn(7, 2)
    phase = x @ network.features.frequencies.T
    plain = MLP(8, 3, width=5, depth=2)
    plain.load_state_dict(network.network.state_dict())
    torch.testing.assert_close(network(x), plain(torch.cat([phase.cos(), phase.sin()], dim=1)))
    assert not network.network.layers[0].bias.any(), "starts from Glorot's distribution"


def test_what_is_out_of_range_is_refused() -> None:
    assert accepted(Fourier, features=0, sigma=[1.0, 0.0]) == {}
