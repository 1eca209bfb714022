from __future__ import annotations

from typing import Any

import pytest
import torch
from refusals import accepted
from torch import nn
from torch.nn import functional as F

from sciml.errors import RunError
from sciml.network.score_mlp import START, ScoreMLP


def small(conditions: int = 1) -> Any:
    torch.manual_seed(0)
    return ScoreMLP(2, 3, width=4, blocks=2, conditions=conditions).double()


def points(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("conditions", [0, 1, 2])
def test_it_is_the_composition_written_out(conditions: int) -> None:
    net = small(conditions)
    for parameter in net.parameters():  # as if it had been trained
        nn.init.normal_(parameter, std=0.5)
    x, c = points(3, 5, 2), 2 * points(3, max(1, conditions))
    emb = torch.zeros(3, 4, dtype=torch.float64)
    for i in range(conditions):
        one, e = c[:, i : i + 1], net.embeddings[i]
        waves = torch.cat([torch.cos(one), torch.cos(one / 100), torch.sin(one), torch.sin(one / 100)], dim=1)
        emb = emb + e.second(F.silu(e.first(waves)))
    expected = torch.zeros(3, 5, 3, dtype=torch.float64)
    for n in range(3):
        for p in range(5):
            h = net.first(x[n, p])
            for block in range(2):
                inner = net.into[block](F.silu(h))
                if conditions:
                    scale, shift = net.film[block](emb[n]).chunk(2)
                    inner = inner * (1 + scale) + shift
                h = h + net.out[block](F.silu(inner))
            expected[n, p] = net.last(F.silu(h))
    torch.testing.assert_close(net(x, c if conditions else None), expected)


def test_it_begins_at_zero_and_refuses_other_conditions() -> None:
    net, x = small(), points(3, 1, 2)
    assert net(x, points(3, 1)).abs().max() < 100 * START
    with pytest.raises(RunError, match="1 conditions and is given 0"):
        net(x)
    with pytest.raises(RunError, match="0 conditions and is given 1"):
        small(0)(x, points(3, 1))


def test_what_is_out_of_range_is_refused() -> None:
    assert accepted(ScoreMLP, width=0, blocks=0) == {}
