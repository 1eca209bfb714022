from __future__ import annotations

import pytest
import torch
from refusals import accepted

from sciml.errors import ConfigError
from sciml.network.convolution import Convolution


def test_it_equals_the_sums_written_out() -> None:
    net = Convolution(2, 3, width=4, depth=1, kernel=3, activation="sine").double()
    u = torch.randn(5, 7, 2, dtype=torch.float64)
    expected = u
    for layer, last in zip(net.layers, (False, True), strict=True):
        v = layer.bias.expand(5, 7, -1).clone()
        for x in range(7):
            for s in (-1, 0, 1):
                v[:, x] += expected[:, (x + s) % 7] @ layer.weight[:, :, s + 1].T
        expected = v if last else v.sin()
    torch.testing.assert_close(net(u), expected)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kernel": 4}, "kernel is 4; it must be odd"),
        ({"activation": "step"}, "unknown 'step'"),
    ],
)
def test_errors_name_the_setting(settings: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Convolution(1, 1, **{"width": 2, "depth": 1, **settings})


def test_what_is_out_of_range_is_refused() -> None:
    assert accepted(Convolution, width=0, depth=0, kernel=0) == {}
