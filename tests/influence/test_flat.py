from __future__ import annotations

import torch

from sciml.influence.flat import flatten, unflatten


def test_there_and_back() -> None:
    params = {"b": torch.randn(2, 3), "a": torch.randn(()), "c": torch.randn(4)}
    vector = flatten(params)
    assert vector.dtype == torch.float64
    assert vector[6] == params["a"]
    back = unflatten(vector, params)
    assert list(back) == list(params)
    for name, p in params.items():
        assert torch.equal(back[name].float(), p)
