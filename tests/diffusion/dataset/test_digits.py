from __future__ import annotations

import pytest
import torch

from sciml.data.digits import digits
from sciml.diffusion.dataset.digits import Digits
from sciml.errors import ConfigError


def test_every_image_is_in_one_split_with_black_minus_one_and_white_one() -> None:
    splits = Digits(n_val=100, n_test=300).splits()
    assert {name: len(part) for name, part in splits.items()} == {"train": 1397, "val": 100, "test": 300}
    together = torch.cat([splits[name] for name in ("train", "val", "test")]).flatten(1)
    known = (2 * digits()[0] - 1).float().reshape(-1, 8, 8).flip(1).transpose(1, 2).flatten(1)
    assert (together.min(), together.max()) == (-1, 1)
    assert torch.equal(together.unique(dim=0), known.unique(dim=0))
    assert not torch.equal(splits["test"], Digits(n_val=100, n_test=300, seed=1).splits()["test"])
    # A seven has its bar on top, where the second index is large; a one is upright: the first index hardly varies.
    one, seven = (1 + known[digits()[1] == n].mean(0).reshape(8, 8) for n in (1, 7))
    assert seven[:, 6:].sum() > 2 * seven[:, :2].sum()
    assert one[2:6].sum() > 0.9 * one.sum()
    assert one[:, 2:6].sum() < 0.6 * one.sum()


def test_something_must_be_left_to_train_on() -> None:
    with pytest.raises(ConfigError, match="1797 images"):
        Digits(n_val=1000, n_test=797)
