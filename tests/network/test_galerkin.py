from __future__ import annotations

from typing import Any

import pytest
import torch
from refusals import accepted

from sciml.errors import ConfigError
from sciml.network.galerkin import EncoderLayer, GalerkinTransformer


def network(in_features: int = 2, **settings: Any) -> GalerkinTransformer:
    torch.manual_seed(0)
    defaults = {"width": 8, "depth": 2, "heads": 2, "feedforward": 8, "modes": 0, "decoder_width": 4, "gain": 1.0}
    return GalerkinTransformer(in_features, 1, **{**defaults, **settings}).double().eval()


@pytest.mark.parametrize("attention", ["galerkin", "fourier", "softmax"])
def test_without_a_spectral_decoder_points_have_no_order(attention: str) -> None:
    net = network(attention=attention)
    u = torch.rand(2, 9, 2, dtype=torch.float64)
    order = torch.tensor([3, 0, 8, 6, 1, 5, 2, 7, 4])
    torch.testing.assert_close(net(u[:, order]), net(u)[:, order])
    moved = torch.cat([u[..., :1], u[:, order, 1:]], dim=-1)  # the same values elsewhere
    assert (net(moved) - net(u)).abs().max() > 1e-6


def test_a_layer_is_two_residual_sums() -> None:
    for norm in ("head", "layer"):
        layer = network(norm=norm).layers[0]
        assert isinstance(layer, EncoderLayer)
        x, places = torch.randn(2, 5, 8, dtype=torch.float64), torch.rand(2, 5, 1, dtype=torch.float64)
        middle = x + layer.attention(x, places)
        if norm == "layer":
            middle = torch.nn.functional.layer_norm(middle, (8,), eps=1e-7)
        out = middle + layer.back(layer.hidden(middle).relu())
        if norm == "layer":
            out = torch.nn.functional.layer_norm(out, (8,), eps=1e-7)
        torch.testing.assert_close(layer(x, places), out)
        assert len(layer.attention.norms) == (2 if norm == "head" else 0)


def test_attention_sees_the_positions_of_the_coarse_grid(monkeypatch: pytest.MonkeyPatch) -> None:
    net = network(in_features=3, dims=2, coarsening=2.0, depth=1)
    x, y = torch.linspace(0, 1, 9, dtype=torch.float64), torch.linspace(0, 1, 5, dtype=torch.float64)
    u = torch.stack([torch.rand(9, 5, dtype=torch.float64), *torch.meshgrid(x, y, indexing="ij")], dim=-1)[None]
    seen = []
    layer = net.layers[0]
    monkeypatch.setattr(layer, "forward", lambda x, places: seen.append(places) or x)
    assert net(u).shape == (1, 9, 5, 1)
    expected = torch.stack(torch.meshgrid(x[::2], y[::2], indexing="ij"), dim=-1)
    torch.testing.assert_close(seen[0][0], expected.reshape(15, 2))


@pytest.mark.parametrize(
    ("in_features", "settings", "expected"),
    [
        # The lifting sees positions here: 96 weights more than theirs on one axis, 9 x 2 x 128 on two.
        (2, {"dims": 1, "width": 96, "depth": 4, "heads": 1, "feedforward": 192, "modes": 16}, 530_305 + 96),
        (
            3,
            {
                "dims": 2,
                "width": 128,
                "depth": 6,
                "heads": 4,
                "feedforward": 256,
                "modes": 12,
                "decoder_width": 32,
                "coarsening": 3.0,
            },
            2_220_829 + 2304,
        ),
    ],
)
def test_parameters_of_the_authors_networks(in_features: int, settings: dict, expected: int) -> None:
    with torch.device("meta"):
        net = GalerkinTransformer(in_features, 1, **settings)
    assert sum(p.numel() for p in net.parameters()) == expected


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"dims": 3}, "dims is 3, but a point has only 2 channels"),
        ({"norm": "batch"}, "norm: unknown 'batch'"),
        ({"attention": "hard"}, "attention: unknown 'hard'"),
    ],
)
def test_errors_name_the_setting(settings: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        GalerkinTransformer(2, 1, **settings)


def test_what_is_out_of_range_is_refused() -> None:
    assert accepted(GalerkinTransformer, dims=4, coarsening=0.5, depth=0) == {}
