"""PirateNet against its formula, and at its start, where its blocks are nothing."""

from __future__ import annotations

import torch
from refusals import accepted

from sciml.network.pirate import PirateNet


def test_it_starts_as_a_linear_map_of_its_features() -> None:
    torch.manual_seed(0)
    network = PirateNet(2, 3, width=8, blocks=2)
    x = torch.randn(7, 2)
    torch.testing.assert_close(network(x), network.last(network.features(x)))
    network(x).sum().backward()
    grads = {name: p.grad for name, p in network.named_parameters()}
    assert all(grads[f"blocks.{i}.alpha"] for i in range(2)), "a block can grow"


def test_the_formula_written_out() -> None:
    torch.manual_seed(0)
    network = PirateNet(2, 3, width=8, blocks=2, factorised=False, alpha=0.3, sigma=[1.0, 0.2]).double()
    with torch.no_grad():
        network.blocks[1].alpha.fill_(-0.7)
        for p in network.parameters():
            if p.dim() == 1:
                p.normal_()
    x = torch.randn(7, 2, dtype=torch.float64)
    h = network.features(x)
    u, v = torch.tanh(network.u(h)), torch.tanh(network.v(h))
    for block, alpha in zip(network.blocks, (0.3, -0.7), strict=True):
        one, two, three = block.layers
        f = torch.tanh(one(h))
        z1 = f * u + (1 - f) * v
        g = torch.tanh(two(z1))
        z2 = g * u + (1 - g) * v
        h = alpha * torch.tanh(three(z2)) + (1 - alpha) * h
    torch.testing.assert_close(network(x), network.last(h), rtol=1e-6, atol=1e-6)


def test_factorisation_changes_the_parameters_not_the_start() -> None:
    plain, factorised = (PirateNet(2, 1, width=8, blocks=1, factorised=choice) for choice in (False, True))
    count = [sum(p.numel() for p in network.parameters()) for network in (plain, factorised)]
    assert count[1] - count[0] == 5 * 8 + 1


def test_what_is_out_of_range_is_refused() -> None:
    assert accepted(PirateNet, width=0, blocks=0, sigma=0) == {}
