from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from sciml.numerics import numerics
from sciml.optimizer.muon import Muon

pytestmark = pytest.mark.skipif(not torch.set_flush_denormal(False), reason="not on this processor")


def subnormal(a: Tensor) -> int:
    """How many, told by their bits: whoever computes with them may flush them first."""
    bits = a.detach().clone().view(torch.int32) & 0x7FFFFFFF
    return int(((bits > 0) & (bits < 0x00800000)).sum())


def halved(n: int = 100_000) -> int:
    """Subnormal numbers that half of the smallest normal ones is, on all threads."""
    return subnormal(torch.full((n,), torch.finfo(torch.float32).tiny) * 0.5)


def test_subnormal_numbers_are_zero_in_a_run_and_what_was_set_before_comes_back() -> None:
    threads = torch.get_num_threads()
    assert halved() == 100_000
    with numerics(2, deterministic=False):
        assert halved() == 0
        with numerics(1, deterministic=True):
            assert halved() == 0
            assert torch.get_num_threads() == 1
        assert halved() == 0
        assert torch.get_num_threads() == 2
        assert not torch.are_deterministic_algorithms_enabled()
    assert halved() == 100_000
    assert torch.get_num_threads() == threads


def test_the_momentum_of_a_dead_unit_ends() -> None:
    def left() -> int:
        p = nn.Parameter(torch.ones(4, 4))
        optimizer = Muon([p])
        for step in range(2500):
            p.grad = torch.ones(4, 4) if step == 0 else torch.zeros(4, 4)
            optimizer.step()
        return subnormal(optimizer.state[p]["momentum"])

    assert left() == 16
    with numerics(1, deterministic=False):
        assert left() == 0
