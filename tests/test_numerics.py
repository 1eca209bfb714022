from __future__ import annotations

import subprocess
import sys

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


def halved(n: int = 1000) -> int:
    """How many of n numbers are subnormal that half of the smallest normal one is."""
    return subnormal(torch.full((n,), torch.finfo(torch.float32).tiny) * 0.5)


def test_subnormal_numbers_are_zero_in_a_run_and_what_was_set_before_comes_back() -> None:
    threads = torch.get_num_threads()
    assert halved() == 1000
    with numerics(2, deterministic=False):
        assert halved() == 0
        with numerics(1, deterministic=True):
            assert halved() == 0
            assert torch.get_num_threads() == 1
        assert halved() == 0
        assert torch.get_num_threads() == 2
        assert not torch.are_deterministic_algorithms_enabled()
    assert halved() == 1000
    assert torch.get_num_threads() == threads


def test_threads_that_a_run_starts_do_the_same() -> None:
    """In a process of its own, as a run is: threads that were there before keep what they had."""
    many = "torch.full((1_000_000,), 2.0**-126) * 0.5"
    lines = [
        "import torch",
        "from sciml.numerics import numerics",
        "with numerics(2, deterministic=False):",
        f"    bits = ({many}).view(torch.int32)",
        "print(int((bits != 0).sum()))",
    ]
    done = subprocess.run([sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["0"]


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
