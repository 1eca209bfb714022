from __future__ import annotations

import itertools
import math

import pytest
import torch
from refusals import accepted

from sciml.errors import ConfigError
from sciml.network.lsm import LSM, LatentSpectralBlock
from sciml.network.patches import crop_to, pad_to, patchify, unpatchify


def test_a_block_is_its_formula_patch_by_patch_and_head_by_head() -> None:
    torch.manual_seed(0)
    heads, each, basis = 2, 2, 3
    block = LatentSpectralBlock(4, patch=(2, 3), tokens=3, basis=basis, heads=heads).double()
    with torch.no_grad():
        block.queries.normal_()
        block.coefficients.normal_()
    u = torch.randn(2, 4, 6, 4, dtype=torch.float64)
    found = block(u)
    for n, i, j in itertools.product(range(2), range(2), range(2)):
        patch = (n, slice(2 * i, 2 * i + 2), slice(3 * j, 3 * j + 3))
        x = u[patch].reshape(6, 4)
        key, value = (x @ block.key_value.weight.T + block.key_value.bias).split(4, dim=-1)
        query = x @ block.query.weight.T + block.query.bias
        expected = x.clone()
        for h in range(heads):
            columns = slice(h * each, (h + 1) * each)
            t = block.queries[h]
            t = t + torch.softmax(t @ key[:, columns].T, dim=-1) @ value[:, columns]
            spectral = t.clone()
            for k in range(basis):
                spectral += block.coefficients[0, k, columns] * torch.sin(math.pi * k * t / basis)
                spectral += block.coefficients[1, k, columns] * torch.cos(math.pi * k * t / basis)
            expected[:, columns] += torch.softmax(query[:, columns] @ spectral.T, dim=-1) @ spectral
        torch.testing.assert_close(found[patch].reshape(6, 4), expected)


def test_patches_are_cut_and_put_together() -> None:
    u = torch.arange(2 * 4 * 6 * 2).reshape(2, 4, 6, 2)
    x = patchify(u, (2, 3))
    assert x.shape == (2 * 4, 6, 2)
    assert torch.equal(x[4 + 1], u[1, 0:2, 3:6].reshape(6, 2))
    assert torch.equal(x[4 + 2], u[1, 2:4, 0:3].reshape(6, 2))
    assert torch.equal(unpatchify(x, (2, 3), (4, 6)), u)
    line = torch.arange(12).reshape(1, 6, 2)
    assert torch.equal(unpatchify(patchify(line, (3,)), (3,), (6,)), line)


@pytest.mark.parametrize("grid", [(8, 12), (5, 12), (8, 9), (5, 9)])
def test_any_axis_may_need_padding_or_none(grid: tuple[int, int]) -> None:
    u = torch.randn(2, *grid, 3)
    padded = pad_to(u, (8, 12))
    assert padded.shape == (2, 8, 12, 3)
    assert torch.equal(crop_to(padded, grid), u)
    assert torch.equal(padded.count_nonzero(), u.count_nonzero())
    net = LSM(3, 1, patch=[2, 3], width=2, scales=3, heads=1, tokens=1, basis=1, hidden=2)
    assert net.padded(grid) == [8, 12]
    assert net(u).shape == (2, *grid, 1)


def test_padding_leaves_the_interior_unchanged() -> None:
    torch.manual_seed(0)
    net = LSM(2, 1, patch=[4], width=4, scales=1, heads=2, tokens=2, basis=2, hidden=4).double().eval()
    longer = torch.randn(3, 32, 2, dtype=torch.float64)
    # Two convolutions reach two points to either side, a block its patch: points 0 to 15 see no more than 17 points.
    torch.testing.assert_close(net(longer[:, :18])[:, :16], net(longer)[:, :16])
    assert (net(longer[:, :17])[:, :16] - net(longer)[:, :16]).abs().max() > 1e-6


def test_coarse_scales_see_far() -> None:
    torch.manual_seed(0)
    u = torch.randn(1, 32, 1, dtype=torch.float64)
    other = u.clone()
    other[:, -1] += 1.0
    for scales, sees in ((1, False), (4, True)):
        net = LSM(1, 1, patch=[2], width=4, scales=scales, heads=2, tokens=2, basis=2, hidden=4).double().eval()
        assert bool((net(other) - net(u))[:, 16].abs().max() > 0) == sees


def test_parameters_of_the_authors_network_for_darcys_equation() -> None:
    with torch.device("meta"):
        net = LSM(3, 1, patch=[6, 6], width=64, scales=5, tokens=4, basis=12, heads=8, hidden=128)
    assert sum(p.numel() for p in net.parameters()) == 19_187_457
    assert net.padded((85, 85)) == [96, 96]


def test_group_normalisation_does_not_mix_examples() -> None:
    torch.manual_seed(0)
    u = torch.randn(2, 16, 1)
    for norm, mixes in (("batch", True), ("group", False)):
        net = LSM(1, 1, patch=[2], width=4, scales=2, heads=2, hidden=4, norm=norm)
        assert bool((net(u)[:1] - net(u[:1])).abs().max() > 1e-5) == mixes


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"width": 12}, "width is 12; 8 heads do not divide it"),
        ({"patch": [2, 2, 2, 2]}, "patch: 4 space axes"),
        ({"norm": "layer"}, "norm: unknown 'layer'"),
    ],
)
def test_errors_name_the_setting(settings: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        LSM(1, 1, **settings)


def test_what_is_out_of_range_is_refused() -> None:
    assert accepted(LSM, scales=0, patch=[2, 0]) == {}
