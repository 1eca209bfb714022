from __future__ import annotations

import math

import pytest
import torch
from refusals import accepted

from sciml.errors import ConfigError
from sciml.network.transolver import PhysicsAttention, Transolver


def attention(dims: int = 0, kernel: int = 3) -> PhysicsAttention:
    torch.manual_seed(0)
    layer = PhysicsAttention(4, heads=2, slices=3, dims=dims, kernel=kernel).double()
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.normal_()
        layer.temperature.copy_(torch.tensor([0.7, 0.4]).reshape(2, 1, 1))
    return layer


def cloud(dims: int = 2, reference: int = 0) -> Transolver:
    torch.manual_seed(0)
    settings = {"width": 8, "depth": 2, "heads": 2, "slices": 4, "projection": "linear"}
    return Transolver(dims + 1, 1, dims=dims, reference=reference, **settings).double().eval()


def test_attention_is_its_formula_point_by_point() -> None:
    layer = attention()
    weight, bias = layer.project.parameters()
    x = torch.randn(2, 5, 4, dtype=torch.float64)
    expected = torch.empty_like(x)
    for n in range(2):
        read = torch.empty(5, 4, dtype=torch.float64)
        for h in range(2):
            rows = slice(2 * h, 2 * h + 2)
            place = x[n] @ weight[:4][rows].T + bias[:4][rows]
            feature = x[n] @ weight[4:][rows].T + bias[4:][rows]
            w = torch.softmax((place @ layer.assign.weight.T + layer.assign.bias) / layer.temperature[h], dim=-1)
            s = torch.stack(
                [torch.stack([w[i, j] * feature[i] for i in range(5)]).sum(0) / w[:, j].sum() for j in range(3)]
            )
            q, k, v = (s @ part.weight.T for part in (layer.query, layer.key, layer.value))
            s = torch.softmax(q @ k.T / math.sqrt(2), dim=-1) @ v
            read[:, rows] = torch.stack([torch.stack([w[i, j] * s[j] for j in range(3)]).sum(0) for i in range(5)])
        expected[n] = read @ layer.out.weight.T + layer.out.bias
    torch.testing.assert_close(layer(x), expected)


def test_slices_are_weighted_means() -> None:
    layer = attention()
    x = torch.randn(2, 2, 6, 2, dtype=torch.float64)
    weights = layer.weights(x)
    torch.testing.assert_close(weights.sum(dim=-1), torch.ones(2, 2, 6, dtype=torch.float64))
    constant = torch.tensor([3.0, -2.0], dtype=torch.float64).expand(2, 2, 6, 2)
    means = layer.means(weights.mT @ constant, weights.sum(dim=-2))
    torch.testing.assert_close(means, constant[:, :, :3])
    torch.testing.assert_close(weights @ means, constant)
    f = torch.randn(2, 2, 6, 2, dtype=torch.float64)
    means = layer.means(weights.mT @ f, weights.sum(dim=-2))
    assert (means <= f.amax(dim=-2, keepdim=True)).all()
    assert (means >= f.amin(dim=-2, keepdim=True)).all()


@pytest.mark.parametrize("reference", [0, 3])
def test_points_have_no_order_and_no_number(reference: int) -> None:
    net = cloud(reference=reference)
    u = torch.rand(2, 11, 3, dtype=torch.float64)
    v = net(u)
    order = torch.randperm(11)
    torch.testing.assert_close(net(u[:, order]), v[:, order])
    # Means over slices do not change where every point is there twice.
    torch.testing.assert_close(net(torch.cat([u, u], dim=1)), torch.cat([v, v], dim=1))
    torch.testing.assert_close(net(u.unflatten(1, (11, 1)))[:, :, 0], v)
    moved = torch.cat([u[..., :1], u[:, order, 1:]], dim=-1)  # the same values elsewhere
    assert (net(moved) - v).abs().max() > 1e-6


def test_convolutions_over_one_point_are_linear_projections() -> None:
    on_grid, on_points = attention(dims=2, kernel=1), attention()
    state = on_grid.state_dict()
    on_points.load_state_dict({**state, "project.weight": state["project.weight"][:, :, 0, 0]})
    x = torch.randn(2, 3, 5, 4, dtype=torch.float64)
    torch.testing.assert_close(on_grid(x), on_points(x))
    wider = attention(dims=2, kernel=3)
    flipped = wider(x.transpose(1, 2)).transpose(1, 2)
    assert (flipped - wider(x)).abs().max() > 1e-3


def test_unified_positions_are_distances_to_a_regular_grid() -> None:
    net = cloud(dims=2, reference=3)
    u = torch.rand(1, 4, 3, dtype=torch.float64)
    placed = net.placed(u)
    for i in range(4):
        distances = [math.dist(u[0, i, 1:].tolist(), (a / 2, b / 2)) for a in range(3) for b in range(3)]
        torch.testing.assert_close(placed[0, i], torch.tensor([*distances, u[0, i, 0]], dtype=torch.float64))


def test_the_temperature_stays_in_its_bounds() -> None:
    layer = attention()
    x = torch.randn(1, 2, 6, 2, dtype=torch.float64)
    bounds = {}
    for value in (0.1, -1.0, 5.0, 50.0):
        layer.temperature.data.fill_(value)
        bounds[value] = layer.weights(x)
    assert torch.equal(bounds[-1.0], bounds[0.1])
    assert torch.equal(bounds[50.0], bounds[5.0])
    assert (bounds[0.1] - bounds[5.0]).abs().max() > 0.1


def test_linear_layers_start_as_the_authors_do_or_by_their_width() -> None:
    torch.manual_seed(0)
    settings = {"width": 64, "depth": 2, "heads": 8, "slices": 32}
    small, wide = (Transolver(3, 1, init=init, **settings) for init in ("normal", "torch"))
    for net, deviations in ((small, {0.02}), (wide, {1 / math.sqrt(3 * 64), 1 / math.sqrt(3 * 8)})):
        linear = [module for module in net.modules() if isinstance(module, torch.nn.Linear)]
        assert any(layer.weight.std().item() == pytest.approx(max(deviations), rel=0.1) for layer in linear)
        for layer in net.layers:
            assert layer.forward_part[1].weight.std().item() == pytest.approx(min(deviations), rel=0.1)
    for layer in wide.layers:
        weight = layer.attention.assign.weight  # (slices, channels of a head)
        torch.testing.assert_close(weight.mT @ weight, torch.eye(8))


@pytest.mark.parametrize(
    ("in_features", "settings", "expected"),
    [
        (3, {"projection": "convolution", "reference": 8}, 2_826_945),
        (2, {"projection": "linear", "reference": 0}, 713_665),
    ],
)
def test_parameters_of_the_authors_networks(in_features: int, settings: dict, expected: int) -> None:
    with torch.device("meta"):
        net = Transolver(in_features, 1, width=128, depth=8, heads=8, slices=64, **settings)
    assert sum(p.numel() for p in net.parameters()) == expected - 128  # a constant vector of theirs, see the module


def test_convolutions_refuse_a_cloud() -> None:
    with pytest.raises(ConfigError, match="fields have 1 axes, convolutions 2"):
        Transolver(3, 1, width=8, depth=1, heads=2, slices=2)(torch.rand(1, 5, 3))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"width": 12}, "width is 12; 8 heads do not divide it"),
        ({"kernel": 2}, "kernel is 2; it must be odd"),
        ({"projection": "graph"}, "projection: unknown 'graph'"),
        ({"init": "zero"}, "init: unknown 'zero'"),
        ({"dims": 3}, "dims is 3, but a point has only 2 channels"),
    ],
)
def test_errors_name_the_setting(settings: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Transolver(2, 1, **settings)


def test_what_is_out_of_range_is_refused() -> None:
    assert accepted(Transolver, dims=4, slices=0, kernel=0) == {}
