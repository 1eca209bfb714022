from __future__ import annotations

import torch

from sciml.data.stream import normal, stream


def test_a_stream_depends_on_its_name_and_the_seed_only() -> None:
    draws = {key: torch.randn(8, generator=stream(*key)) for key in [("a", 0), ("b", 0), ("a", 1)]}
    assert torch.equal(draws["a", 0], torch.randn(8, generator=stream("a", 0)))
    assert not torch.allclose(draws["a", 0], draws["b", 0])
    assert not torch.allclose(draws["a", 0], draws["a", 1])


def test_the_seed_of_the_run_is_the_default() -> None:
    torch.manual_seed(5)
    torch.randn(3)  # what was drawn in between must not matter
    assert torch.equal(torch.randn(4, generator=stream("a")), torch.randn(4, generator=stream("a", 5)))


def test_normal_follows_the_dtype_of_its_model() -> None:
    assert normal((2, 3), stream("a", 0), torch.zeros(1, dtype=torch.float64)).dtype == torch.float64
