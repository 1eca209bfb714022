from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from sciml.data.batches import Batches
from sciml.data.draws import Draws
from sciml.data.stream import stream


def drawn(draws: Draws) -> list[Tensor]:
    return [draws.batch(), torch.rand(3, generator=draws["noise"])]


def made(state: dict[str, Any] | None = None, *, late: bool = False) -> Draws:
    draws = Draws("somebody", "noise")
    if state is not None and not late:
        draws.load_state_dict(state)
    draws.order(10, 4)
    if state is not None and late:
        draws.load_state_dict(state)
    return draws


def test_batches_and_numbers_are_those_of_the_owners_streams() -> None:
    draws = made()
    batches, noise = Batches(10, 4, stream("somebody/batches")), stream("somebody/noise")
    for _ in range(5):
        for found, expected in zip(drawn(draws), [batches.next(), torch.rand(3, generator=noise)], strict=True):
            assert torch.equal(found, expected)


@pytest.mark.parametrize("late", [False, True])
def test_a_state_continues_with_the_next_numbers_before_the_data_are_there_and_after(late: bool) -> None:
    draws = made()
    for _ in range(3):
        drawn(draws)
    again = made(draws.state_dict(), late=late)
    for _ in range(4):
        for found, expected in zip(drawn(again), drawn(draws), strict=True):
            assert torch.equal(found, expected)
