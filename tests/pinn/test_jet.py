"""Forward propagation against autograd, in values, derivatives and parameter gradients."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from sciml.network.mlp import ACTIVATIONS, MLP
from sciml.pinn.jet import Jet


class Opaque(nn.Module):
    """Hides what a network is, so that the jet differentiates it by autograd."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        return self.network(x)


def gradients(network: nn.Module, u: Tensor, du: Tensor) -> Tensor:
    network.zero_grad()
    (u.square().sum() + (du * torch.arange(1.0, du.numel() + 1).reshape(du.shape)).sin().sum()).backward()
    # The last bias does not enter the derivative alone; all parameters enter value and derivative.
    return torch.cat([p.grad.flatten() for p in network.parameters()])


@pytest.fixture
def x() -> Tensor:
    return torch.rand(40, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def directions(x: Tensor) -> dict[str, object]:
    per_point = torch.cos(5 * x)
    return {"numbers": (1.0, -2.5, 0.0), "tensor": torch.tensor([1.0, -2.5, 0.3]).double(), "per point": per_point}


@pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
@pytest.mark.parametrize("kind", ["numbers", "tensor", "per point"])
@pytest.mark.parametrize("depth", [1, 3])
def test_agrees_with_autograd(x: Tensor, activation: str, kind: str, depth: int) -> None:
    network = MLP(3, 2, width=9, depth=depth, activation=activation).double()
    direction = directions(x)[kind]
    found, expected = (Jet(n).directional(x, direction) for n in (network, Opaque(network)))
    for mine, theirs in zip(found, expected, strict=True):
        assert mine.shape == (40, 2)
        torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-12)
    torch.testing.assert_close(gradients(network, *found), gradients(network, *expected), rtol=1e-10, atol=1e-10)


def test_agrees_with_finite_differences(x: Tensor) -> None:
    network, h = MLP(3, 2, width=9, depth=3).double(), 1e-5
    direction = torch.tensor([1.0, -2.5, 0.3], dtype=torch.float64)
    u, du = Jet(network).directional(x, direction)
    torch.testing.assert_close(u, network(x))
    differences = (network(x + h * direction) - network(x - h * direction)) / (2 * h)
    torch.testing.assert_close(du, differences, rtol=0, atol=1e-8)


def test_the_zero_direction(x: Tensor) -> None:
    network = MLP(3, 2, width=9, depth=2).double()
    assert Jet(network).directional(x, (0.0, 0.0, 0.0))[1].abs().max() == 0


@pytest.mark.parametrize("wrap", [nn.Identity(), "opaque"])
def test_without_gradients(x: Tensor, wrap) -> None:
    network = MLP(3, 2, width=9, depth=2).double()
    jet = Jet(Opaque(network) if wrap == "opaque" else network)
    expected = jet.directional(x, (1.0, 2.0, 3.0))[1].detach()
    with torch.no_grad():
        u, du = jet.directional(x, (1.0, 2.0, 3.0))
    assert not u.requires_grad
    assert not du.requires_grad
    torch.testing.assert_close(du, expected)


def test_counts_points() -> None:
    jet = Jet(MLP(2, 1, width=3, depth=1))
    jet(torch.zeros(7, 2))
    jet.directional(torch.zeros(5, 2), (1.0, 1.0))
    assert jet.evaluations == 12
