from __future__ import annotations

import pytest
import torch

from sciml.data.batches import Batches
from sciml.errors import ConfigError


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(3)


def test_an_epoch_visits_every_example_at_most_once_and_epochs_differ() -> None:
    batches = Batches(10, 3, generator())
    epochs = [torch.cat([batches.next() for _ in range(3)]) for _ in range(2)]
    for epoch in epochs:
        assert len(set(epoch.tolist())) == 9
        assert set(epoch.tolist()) <= set(range(10))
    assert not torch.equal(*epochs)


@pytest.mark.parametrize("taken", [0, 1, 3, 4, 7])
def test_a_restored_state_continues_with_the_very_next_batch(taken: int) -> None:
    batches = Batches(10, 3, generator())
    for _ in range(taken):
        batches.next()
    state = batches.state_dict()
    expected = [batches.next().tolist() for _ in range(8)]
    other = Batches(10, 3, torch.Generator().manual_seed(99))
    other.load_state_dict(state)
    assert [other.next().tolist() for _ in range(8)] == expected


def test_the_state_is_plain_data(tmp_path) -> None:
    torch.save(Batches(4, 2, generator()).state_dict(), tmp_path / "state")
    assert torch.load(tmp_path / "state", weights_only=True)["position"] == 0


def test_a_batch_of_more_examples_than_there_are_is_refused() -> None:
    with pytest.raises(ConfigError, match="batch_size is 5; there are only 4"):
        Batches(4, 5, generator())
