"""The Jacobian from one backward pass against one backward pass for each residual."""

from __future__ import annotations

import logging
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from sciml.equation.operator import partials
from sciml.jacobian import Rows, one_by_one
from sciml.network.mlp import MLP
from sciml.pinn.jet import Jet


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def mlp(inputs: int = 2, outputs: int = 1, depth: int = 2) -> MLP:
    torch.manual_seed(0)
    return MLP(inputs, outputs, width=6, depth=depth).double()


Case = tuple[list[nn.Parameter], Callable[[], list[Tensor]]]


def conditions() -> Case:
    """Tangents with a single row in the first layer, a coefficient of the equation, one condition seen at two ends."""
    t, x = partials(2)
    network, nu = mlp(), nn.Parameter(normal()[()])
    inside, left, right, start = normal(40, 2), normal(7, 2, seed=1), normal(7, 2, seed=2), normal(5, 2, seed=3)

    def parts() -> list[Tensor]:
        jet = Jet(network)
        u, u_t, u_x, u_xx = jet.derivatives(inside, t, x, x**2)
        ends = jet(left) - jet(right)
        return [(u_t + u * u_x - nu * u_xx)[:, 0] / 40**0.5, ends[:, 0] * 3, jet(start) - start[:, :1].sin()]

    return [*network.parameters(), nu], parts


def components() -> Case:
    """Fourth derivatives of two components, several channels that are the same everywhere."""
    network, points, (x, y) = mlp(2, 2), normal(9, 2), partials(2)

    def parts() -> list[Tensor]:
        u, du, ddu = Jet(network, mode="taylor").derivatives(points, x + y, x**2 * y**2 + x**4)
        return [u * du.flip(1) + ddu, u[:, 0]]

    return list(network.parameters()), parts


def nested() -> Case:
    """A network that is differentiated by autograd."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(2, 6), nn.Tanh(), nn.Linear(6, 6), nn.SiLU(), nn.Linear(6, 1)).double()
    x = normal(11, 2)

    def parts() -> list[Tensor]:
        y = x.clone().requires_grad_()
        (du,) = torch.autograd.grad(network(y).sum(), y, create_graph=True)
        second = [torch.autograd.grad(du[:, i].sum(), y, create_graph=True)[0][:, i] for i in range(2)]
        return [second[0] + second[1] * du[:, 0]]

    return list(network.parameters()), parts


def factorised() -> Case:
    """Weights that are computed from parameters, products without ``linear``, scales of the activations, scalars."""
    v, s, w, b, a, c = (nn.Parameter(normal(*k)) for k in ((6, 2), (6,), (6, 6), (6,), (6,), ()))
    x = normal(10, 2)

    def parts() -> list[Tensor]:
        h = torch.tanh(a * linear(x, s.exp()[:, None] * v) * c)
        h = torch.sin(h @ w + b) / (1 + c * c)
        return [(h * (2 - a)).sum(1) - c]

    return [v, s, w, b, a, c], parts


def stacked(how: str) -> Case:
    """All channels in one product: along the points, along an axis before or behind them; tangents same everywhere."""
    network, x = mlp(), normal(8, 2)
    first, second, last = network.layers

    def parts() -> list[Tensor]:
        z = linear(x, first.weight, first.bias)  # type: ignore[attr-defined]
        tangents = first.weight.T[:, None, :]  # type: ignore[attr-defined]
        a = torch.tanh(z)
        channels = torch.cat([a[None], (1 - a * a) * tangents])
        if how == "along":
            out = linear(channels.reshape(-1, 6), second.weight).reshape(3, 8, 6)  # type: ignore[attr-defined]
        elif how == "before":
            out = linear(channels, second.weight)  # type: ignore[attr-defined]
        else:
            out = linear(channels.transpose(0, 1), second.weight, second.bias).transpose(0, 1)  # type: ignore[attr-defined]
        return [(last(out).prod(0) + last(torch.tanh(out[0]))).reshape(-1)]

    return list(network.parameters()), parts


def whole() -> Case:
    """A condition on all points at once, one with a single point, and one that no parameter reaches."""
    network, x = mlp(), normal(12, 2)
    return list(network.parameters()), lambda: [
        network(x)[:, 0],
        network(x).mean() - 1,
        network(x[:1]).reshape(1),
        x[:3, 0],
    ]


def as_many_points_as_units() -> Case:
    network, s, points, (x, y) = mlp(), nn.Parameter(normal(6)), normal(6, 2), partials(2)

    def parts() -> list[Tensor]:
        u, du = Jet(network).derivatives(points, x**2 + 2 * y)
        return [(u * du * s[0])[:, 0] + (network.layers[0](points) * s).sum(1)]  # type: ignore[operator]

    return [*network.parameters(), s], parts


CASES = {
    "conditions": conditions,
    "components": components,
    "nested": nested,
    "factorised": factorised,
    "stacked along": lambda: stacked("along"),
    "stacked before": lambda: stacked("before"),
    "stacked behind": lambda: stacked("behind"),
    "whole": whole,
    "as many points as units": as_many_points_as_units,
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_both_ways_agree(case: Callable[[], Case]) -> None:
    parameters, parts = case()
    rows = Rows(parts, parameters)
    for _ in range(2):
        residual, jacobian = rows()
        expected = torch.cat([r.reshape(-1) for r in parts()])
        torch.testing.assert_close(residual, expected.detach(), rtol=0, atol=0)
        torch.testing.assert_close(jacobian, one_by_one(expected, parameters), rtol=1e-12, atol=1e-12)
        assert rows.fast
        with torch.no_grad():
            for i, p in enumerate(parameters):
                p += 0.1 * normal(*p.shape, seed=i)


def test_the_slow_way_is_right() -> None:
    parameters, parts = conditions()
    residual = torch.cat([r.reshape(-1) for r in parts()])
    for i in (0, 17, 44, 51):
        grads = torch.autograd.grad(residual[i], parameters, retain_graph=True, materialize_grads=True)
        row = torch.cat([g.reshape(-1) for g in grads])
        torch.testing.assert_close(one_by_one(residual, parameters)[i], row, rtol=1e-12, atol=1e-12)


def test_in_single_precision() -> None:
    network = mlp().float()
    x = normal(30, 2).float()
    rows = Rows(lambda: [Jet(network).derivatives(x, partials(2)[0])[1]], list(network.parameters()))
    jacobian = rows()[1]
    assert rows.fast
    expected = one_by_one(rows.parts()[0].reshape(-1), rows.parameters)
    assert jacobian.dtype == torch.float32
    torch.testing.assert_close(jacobian, expected)


@pytest.mark.parametrize("kind", ["mean", "neighbour", "exotic"])
def test_residuals_that_cannot_be_told_apart_are_found_out(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    network, x, p = mlp(), normal(9, 2), nn.Parameter(normal(9))

    def parts() -> list[Tensor]:
        u = network(x)[:, 0]
        return [u * {"mean": 1 - 0.01 * u.mean(), "neighbour": u.roll(1), "exotic": p.cumsum(0)}[kind]]

    rows = Rows(parts, [*network.parameters(), p])
    with caplog.at_level(logging.WARNING, "sciml"):
        jacobian = rows()[1].clone()
        again = rows()[1]
    assert not rows.fast
    assert caplog.text.count("a backward pass for each residual") == 1
    expected = one_by_one(parts()[0], rows.parameters)
    torch.testing.assert_close(jacobian, expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(again, expected, rtol=1e-12, atol=1e-12)


def test_other_points_at_the_next_call() -> None:
    network, x = mlp(), [normal(9, 2)]
    rows = Rows(lambda: [network(x[0])], list(network.parameters()))
    rows()
    x[0] = normal(14, 2, seed=5)
    torch.testing.assert_close(rows()[1], one_by_one(network(x[0])[:, 0], rows.parameters), rtol=1e-12, atol=1e-12)
    assert rows.fast
