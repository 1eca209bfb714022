from __future__ import annotations

from typing import Any

import pytest
import torch
from refusals import accepted
from torch import nn
from torch.nn import functional as F

from sciml.errors import ConfigError, RunError
from sciml.network.denoiser import START, Denoiser

SMALL: dict[str, Any] = {"width": 4, "multipliers": (1, 2), "groups": 2, "conditions": 1}


def small(in_features: int = 2, out_features: int = 1, **parameters: Any) -> Denoiser:
    torch.manual_seed(0)
    net = Denoiser(in_features, out_features, **(SMALL | parameters)).double()
    for parameter in net.parameters():  # as if it had been trained
        nn.init.normal_(parameter, std=0.3)
    return net


def field(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def test_cutting_into_patches_is_torchs_pixel_unshuffle_and_the_whole_the_composition_written_out() -> None:
    net: Any = small(multipliers=(1, 2), patch=2)
    u, c = field(3, 8, 12, 2), torch.tensor([[0.0], [-1.3], [0.8]], dtype=torch.float64)

    def conv(layer: Any, x: torch.Tensor) -> torch.Tensor:
        return F.conv2d(x, layer.weight, layer.bias, padding=1)

    def block(layers: Any, x: torch.Tensor, emb: torch.Tensor) -> torch.Tensor:
        h = layers.norm2(conv(layers.conv1, F.silu(layers.norm1(x))))
        scale, shift = layers.film(emb)[:, :, None, None].chunk(2, dim=1)
        return x + conv(layers.conv2, F.silu(h * (1 + scale) + shift))

    # Patches here are (point, channel), torch's are (channel, point).
    order = torch.arange(8).reshape(4, 2).T.flatten()
    x = F.pixel_unshuffle(u.movedim(-1, 1), 2)[:, order.argsort()]
    e = net.embeddings[0]
    waves = torch.stack([torch.cos(c), torch.cos(c / 100), torch.sin(c), torch.sin(c / 100)], dim=-1)[:, 0]
    emb = e.second(F.silu(e.first(waves)))
    fine = block(net.down[0][0], conv(net.first, x), emb)
    low = block(net.down[1][0], F.conv2d(fine, net.coarsen[0].weight, net.coarsen[0].bias, stride=2), emb)
    low = block(net.up[1][0], low, emb)
    fine = fine + F.conv_transpose2d(low, net.refine[0].weight, net.refine[0].bias, stride=2)
    fine = conv(net.last, F.silu(net.norm(block(net.up[0][0], fine, emb))))
    expected = F.pixel_shuffle(fine, 2).movedim(1, -1)
    torch.testing.assert_close(net(u, c), expected)
    assert (net(u, c + 1) - expected).abs().max() > 1e-3  # the condition reaches the output


@pytest.mark.parametrize(("dims", "patch"), [(1, 3), (2, 1), (2, 2)])
def test_what_was_cut_is_put_together_again(dims: int, patch: int) -> None:
    channels = 2 * patch**dims
    net: Any = small(2, 2, dims=dims, patch=patch, width=channels, multipliers=(1,), conditions=0)
    for parameter in net.parameters():
        nn.init.zeros_(parameter)
    middle = (slice(None), slice(None), *[1] * dims)
    net.first.weight.data[middle] = net.last.weight.data[middle] = torch.eye(channels, dtype=torch.float64)
    net.norm, net.activation = nn.Identity(), lambda x: x  # type: ignore[assignment]
    u = field(2, *(12,) * dims, 2)
    torch.testing.assert_close(net(u), u)


def test_a_network_begins_as_nothing() -> None:
    torch.manual_seed(0)
    net = Denoiser(2, 2, **SMALL).double()
    assert net(field(2, 8, 8, 2), torch.zeros(2, 1).double()).abs().max() < 10 * START


def test_shifts_by_a_cell_are_a_symmetry_where_the_axes_close() -> None:
    net = small(periodic=True, patch=2)
    assert net.cell == 4
    u, c = field(2, 12, 8, 2), torch.zeros(2, 1).double()
    torch.testing.assert_close(net(u.roll((4, -4), (1, 2)), c), net(u, c).roll((4, -4), (1, 2)))
    assert (net(u.roll(1, 1), c) - net(u, c).roll(1, 1)).abs().max() > 1e-3


def test_other_grids_have_zeros_behind_their_ends() -> None:
    net = small()
    u, c = field(2, 9, 11, 2), torch.zeros(2, 1).double()
    padded = F.pad(u, [0, 0, 0, 1, 0, 3])
    torch.testing.assert_close(net(u, c), net(padded, c)[:, :9, :11])


def test_what_cannot_be_is_said() -> None:
    with pytest.raises(RunError, match=r"cells of 4 points an axis: a grid of 3 is too coarse"):
        small()(field(1, 8, 3, 2), torch.zeros(1, 1).double())
    with pytest.raises(RunError, match=r"must divide a periodic grid; this one is \(8, 10\)"):
        small(periodic=True)(field(1, 8, 10, 2), torch.zeros(1, 1).double())
    with pytest.raises(RunError, match="made for 1 conditions and is given 0"):
        small()(field(1, 8, 8, 2))
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"groups": 3}, "network.groups is 3; it must divide network.width, 4"),
        ({"multipliers": ()}, "network.multipliers"),
        ({"activation": "sin"}, "unknown 'sin'"),
    ]
    for parameters, message in wrong:
        with pytest.raises(ConfigError, match=message):
            small(**parameters)


def test_what_is_out_of_range_is_refused() -> None:
    assert accepted(Denoiser, dims=3, patch=0, width=1, multipliers=[0], groups=0) == {}
