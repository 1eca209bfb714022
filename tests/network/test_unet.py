from __future__ import annotations

from typing import Any

import pytest
import torch
from refusals import accepted
from torch import nn
from torch.nn import functional as F

from sciml.errors import ConfigError, RunError
from sciml.network.unet import Refine, UNet

SMALL: dict[str, Any] = {"dims": 1, "width": 4, "multipliers": (1, 2, 3), "blocks": 1, "periodic": True}


def small(in_features: int = 2, out_features: int = 1, **parameters: Any) -> UNet:
    torch.manual_seed(0)
    return UNet(in_features, out_features, **(SMALL | parameters)).double()


def test_the_papers_network_has_its_parameters() -> None:
    with torch.device("meta"):  # PDEArena's Unetmod-64 on its Navier-Stokes data: 4 frames of 3 channels in, 1 out
        network = UNet(12, 3, dims=2, width=64, multipliers=(1, 2, 4, 16), blocks=2)
    assert round(sum(p.numel() for p in network.parameters()) * 4 / 1e5) == 5771  # 577.1 MB of float32


def test_a_network_of_two_resolutions_is_the_composition_written_out() -> None:
    net = small(1, 1, multipliers=(1, 2), conditions=1)
    u, c = torch.randn(3, 8, 1, dtype=torch.float64), torch.tensor([[0.0], [2.5], [900.0]], dtype=torch.float64)

    def conv(layer: Any, x: torch.Tensor, stride: int = 1) -> torch.Tensor:
        layer = getattr(layer, "convolution", layer)
        reach = layer.weight.shape[-1] // 2
        closed = torch.cat([x[..., x.shape[-1] - reach :], x, x[..., :reach]], dim=-1)
        return F.conv1d(closed, layer.weight, layer.bias, stride=stride)

    def block(layers: Any, x: torch.Tensor, emb: torch.Tensor) -> torch.Tensor:
        h = conv(layers.conv1, F.gelu(layers.norm1(x)))
        scale, shift = layers.film(emb).unsqueeze(-1).chunk(2, dim=1)
        h = layers.norm2(h) * (1 + scale) + shift
        short = x if isinstance(layers.shortcut, nn.Identity) else conv(layers.shortcut, x)
        return short + conv(layers.conv2, F.gelu(h))

    e = net.embeddings[0]
    waves = torch.stack([torch.cos(c), torch.cos(c / 100), torch.sin(c), torch.sin(c / 100)], dim=-1)[:, 0]
    emb = e.second(F.gelu(e.first(waves)))
    a = conv(net.first, u.movedim(-1, 1))
    b = block(net.down[0][0], a, emb)
    d = conv(net.coarsen[0], b, stride=2)
    f = block(net.down[1][0], d, emb)
    g = block(net.middle[1], block(net.middle[0], f, emb), emb)
    g = block(net.up[0][0], torch.cat([g, f], dim=1), emb)
    g = block(net.up[0][1], torch.cat([g, d], dim=1), emb)
    g = net.refine[0](g)
    g = block(net.up[1][0], torch.cat([g, b], dim=1), emb)
    g = block(net.up[1][1], torch.cat([g, a], dim=1), emb)
    expected = conv(net.last, F.gelu(net.norm(g))).movedim(1, -1)
    torch.testing.assert_close(net(u, c), expected)
    assert (net(u, c + 1) - expected).abs().max() > 1e-3  # the condition reaches the output


@pytest.mark.parametrize("dims", [1, 2])
def test_shifts_by_the_coarsest_cell_are_a_symmetry_of_periodic_fields(dims: int) -> None:
    u = torch.randn(2, *[16] * dims, 2, dtype=torch.float64)
    axes = list(range(1, dims + 1))
    net = small(dims=dims)
    shifted = u.roll([4] * dims, dims=axes)
    torch.testing.assert_close(net(shifted), net(u).roll([4] * dims, dims=axes))
    assert (net(u.roll(1, dims=1)) - net(u).roll(1, dims=1)).abs().max() > 1e-3  # and not shifts by less
    bounded = small(dims=dims, periodic=False)
    assert (bounded(shifted) - bounded(u).roll([4] * dims, dims=axes)).abs().max() > 1e-3


def test_refinement_is_periodic_and_agrees_with_the_plain_one_inside() -> None:
    torch.manual_seed(0)
    refine, x = Refine(1, 3, periodic=True).double(), torch.randn(2, 3, 8, dtype=torch.float64)
    fine = refine(x)
    assert fine.shape == (2, 3, 16)
    torch.testing.assert_close(fine[..., 1:-1], refine.convolution(x)[..., 1:-1])
    torch.testing.assert_close(refine(x.roll(1, dims=-1)), fine.roll(2, dims=-1))


@pytest.mark.parametrize(("grid", "periodic"), [((13, 10), True), ((13, 10), False), ((15,), True), ((7,), False)])
def test_other_grids_are_padded_and_cropped_in_their_place(grid: tuple[int, ...], periodic: bool) -> None:
    net = small(dims=len(grid), periodic=periodic)
    u = torch.randn(2, *grid, 2, dtype=torch.float64)
    v = net(u)
    assert v.shape == (*u.shape[:-1], 1)
    padding = [(-n % 4) for n in grid]
    index = [torch.arange(-(m // 2), n + m - m // 2) for n, m in zip(grid, padding, strict=True)]
    index = [i % n if periodic else i.clamp(0, n - 1) for i, n in zip(index, grid, strict=True)]
    wide = u
    for axis, i in enumerate(index, start=1):
        wide = wide.index_select(axis, i)
    inside = [slice(m // 2, m // 2 + n) for n, m in zip(grid, padding, strict=True)]
    torch.testing.assert_close(v, net(wide)[(slice(None), *inside)])


def test_examples_do_not_see_each_others_conditions() -> None:
    net = small(conditions=2)
    u, c = torch.randn(1, 8, 2, dtype=torch.float64).expand(2, -1, -1), torch.tensor([[0.0, 1.0], [1.0, 0.0]]).double()
    v = net(u, c)
    torch.testing.assert_close(v[1:], net(u[1:], c[1:]))
    assert (v[0] - v[1]).abs().max() > 1e-3  # which of the two is 1 matters


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"groups": 3}, "network.groups is 3; it must divide network.width, 4"),
        ({"multipliers": ()}, "network.multipliers"),
        ({"activation": "tan"}, "network.activation: unknown 'tan'"),
    ],
)
def test_impossible_sizes_are_refused(parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        small(**parameters)


def test_inputs_that_do_not_fit_are_refused() -> None:
    with pytest.raises(RunError, match="a grid of 3 points is too coarse"):
        small()(torch.zeros(1, 3, 2).double())
    with pytest.raises(RunError, match="made for 1 conditions and is given 0"):
        small(conditions=1)(torch.zeros(1, 8, 2).double())


def test_what_is_out_of_range_is_refused() -> None:
    assert accepted(UNet, dims=3, width=1, blocks=0, multipliers=[0]) == {}
