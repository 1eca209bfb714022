"""Taylor mode against nested autograd, in values, derivatives and parameter gradients."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from sciml.equation.operator import Operator, laplacian, partials
from sciml.network.inputs import Inputs
from sciml.network.layer import ACTIVATIONS
from sciml.network.mlp import MLP
from sciml.pinn.jet import Jet
from sciml.taylor import Unsupported

T, X, Y = partials(3)
OPERATORS: dict[str, tuple[Operator, ...]] = {
    "one direction": (T + 30.0 * X,),
    "Burgers": (T, X, X**2),
    "KdV": (T, X, X**3),
    "Laplacian": (laplacian(X, Y),),
    "two Laplacians": (X, laplacian(X, Y), 2.0 * laplacian(T, X)),
    "biharmonic": (T, laplacian(X, Y) ** 2),
    "fourth order, mixed": (T * T * X * Y, X**4, X * Y),
    "mixed orders": (T - 0.1 * X**2, T * X),
    "third order": (X * laplacian(X, Y), T**3),
}


class Opaque(nn.Module):
    """A network that Taylor mode has no rules for."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        return self.network(torch.clone(x))


class Everything(nn.Module):
    """Each function that has a rule."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Linear(6, 7), nn.Linear(7, 7), nn.Linear(7, 2)

    def forward(self, x: Tensor) -> Tensor:
        t, y = x[..., 0:1], x[:, 1:2]
        h = torch.tanh(self.a(torch.cat([torch.sin(x), torch.cos(2 * x)], dim=-1)))
        k = nn.functional.silu(self.b(h))
        mixed = h * k + (1 - h) * torch.sigmoid(k)
        first, second = x.unbind(-1)[1:]
        both = torch.stack([first, -second], dim=-1)
        plain = torch.exp(-t) / 3 - 1 / (3 + both**3) + torch.sqrt(1 + t * y) * torch.erfc(y - t)
        return t * (1 - y**2) * self.c(mixed) / (2 + torch.sin(x[:, 2:])) + plain


def networks() -> dict[str, nn.Module]:
    torch.manual_seed(0)
    waves = Inputs(
        lambda n, m: MLP(n, m, width=5, depth=1), 2, lower=(0.0, -1.0, 0.0), upper=(1.0, 1.0, 3.0), harmonics={1: 2}
    )
    mlps = {name: MLP(3, 2, width=9, depth=3, activation=name) for name in sorted(ACTIVATIONS)}
    found = {**mlps, "shallow": MLP(3, 2, width=9, depth=1), "inputs": waves, "everything": Everything()}
    return {name: network.double() for name, network in found.items()}


def gradients(network: nn.Module, fields: tuple[Tensor, ...]) -> Tensor:
    network.zero_grad()
    loss = torch.zeros(()).double()
    for i, field in enumerate(fields):
        loss = loss + (field * torch.arange(1.0, field.numel() + 1).reshape(field.shape) / (i + 1)).sin().sum()
    loss.backward()
    return torch.cat([p.grad.flatten() for p in network.parameters() if p.grad is not None])


@pytest.fixture
def x() -> Tensor:
    return torch.rand(20, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", sorted(networks()))
@pytest.mark.parametrize("operators", OPERATORS.values(), ids=OPERATORS)
def test_agrees_with_nested_autograd(x: Tensor, name: str, operators: tuple[Operator, ...]) -> None:
    network = networks()[name]
    found = Jet(network, mode="taylor").derivatives(x, *operators)
    expected = Jet(network, mode="nested").derivatives(x, *operators)
    assert len(found) == 1 + len(operators)
    for mine, theirs in zip(found, expected, strict=True):
        assert mine.shape == (20, 2)
        torch.testing.assert_close(mine, theirs, rtol=1e-11, atol=1e-11)
    torch.testing.assert_close(gradients(network, found), gradients(network, expected), rtol=1e-9, atol=1e-9)


def test_agrees_with_finite_differences(x: Tensor) -> None:
    network, h = MLP(3, 2, width=9, depth=3).double(), 1e-4
    _, slope, curvature = Jet(network).derivatives(x, T - 2.5 * X, (T - 2.5 * X) ** 2)
    step = h * torch.tensor([1.0, -2.5, 0.0], dtype=torch.float64)
    ahead, here, behind = network(x + step), network(x), network(x - step)
    torch.testing.assert_close(slope, (ahead - behind) / (2 * h), rtol=0, atol=1e-7)
    torch.testing.assert_close(curvature, (ahead - 2 * here + behind) / h**2, rtol=0, atol=1e-6)


def test_a_network_without_rules_is_differentiated_by_autograd(x: Tensor) -> None:
    network = Opaque(MLP(3, 2, width=9, depth=2).double())
    with pytest.raises(Unsupported, match="no Taylor rule for clone"):
        Jet(network, mode="taylor").derivatives(x, T)
    jet = Jet(network)
    found = jet.derivatives(x, T, X**2)
    assert jet.mode == "nested"
    for mine, theirs in zip(found, Jet(network.network).derivatives(x, T, X**2), strict=True):
        torch.testing.assert_close(mine, theirs)


@pytest.mark.parametrize("mode", ["taylor", "nested"])
@pytest.mark.parametrize("network", [nn.Linear(3, 2), MLP(3, 2, width=4, depth=1)], ids=["linear", "mlp"])
def test_derivatives_that_vanish_are_zero(x: Tensor, mode: str, network: nn.Module) -> None:
    jet = Jet(nn.Sequential(nn.Linear(3, 3), network, nn.Linear(2, 1)).double(), mode=mode)
    u, flat = jet.derivatives(x, X**2 * Y)
    assert flat.shape == u.shape
    assert (flat.abs().max() == 0) == isinstance(network, nn.Linear)


@pytest.mark.parametrize("mode", ["taylor", "nested"])
def test_without_gradients(x: Tensor, mode: str) -> None:
    jet = Jet(MLP(3, 2, width=9, depth=2).double(), mode=mode)
    expected = [a.detach() for a in jet.derivatives(x, T, X * Y)]
    with torch.no_grad():
        found = jet.derivatives(x, T, X * Y)
    assert not any(a.requires_grad for a in found)
    torch.testing.assert_close(list(found), expected)


def test_counts_points() -> None:
    jet = Jet(MLP(2, 1, width=3, depth=1))
    jet(torch.zeros(7, 2))
    jet.derivatives(torch.zeros(5, 2), T, X**2)
    assert jet.evaluations == 12
