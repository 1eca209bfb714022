"""Every parameter of every kind of layer is recorded, once, with its right gradient."""

from __future__ import annotations

import pytest
import torch
from network_task import given, losses_one_by_one, parameters
from torch import Tensor, nn

from sciml.errors import RunError
from sciml.influence.attributor.identity import Identity
from sciml.influence.capture import Capture
from sciml.influence.curvature import loss_gradient
from sciml.network.spectral_diagonal import SpectralDiagonal


class Image(nn.Module):
    def __init__(self, **options: object) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 4, 3, **options)  # type: ignore[arg-type]
        self.last = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(torch.relu(self.conv(x)).mean((2, 3)))


class InPlace(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(4, 6), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(torch.relu_(self.first(x)).sum(1))


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.last = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 3)
        self.second.weight = self.first.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.last(torch.tanh(self.second(torch.tanh(self.first(x)))))


class Elsewhere(nn.Module):
    """A layer is called, and its weight used once more where no hook sees it."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(4, 4), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(torch.tanh(self.first(x)) + nn.functional.linear(x, self.first.weight))


class TokensFirst(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(4, 4), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(torch.tanh(self.first(x.transpose(0, 1))).transpose(0, 1).sum(1))


class Field(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.spectral, self.last = SpectralDiagonal(1, 2, modes=3), nn.Linear(2, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(torch.tanh(self.spectral(x)).mean(1))


class Normed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.utils.parametrizations.weight_norm(nn.Linear(4, 4))
        self.last = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(torch.tanh(self.first(x)))


CASES = {
    "image": (lambda: Image(padding=1, stride=2, dilation=1), (2, 6, 5), {"conv", "last"}),
    "dilated image without bias": (lambda: Image(dilation=2, bias=False), (2, 6, 7), {"conv", "last"}),
    "grouped image": (lambda: Image(groups=2), (2, 5, 5), {"last"}),
    "in place": (InPlace, (5, 4), {"first", "last"}),
    "tied": (Tied, (4,), {"last"}),
    "elsewhere": (Elsewhere, (4,), {"last"}),
    "tokens first": (TokensFirst, (3, 4), {"last"}),
    "tokens first, as many as examples probed": (TokensFirst, (5, 4), {"last"}),
    "spectral": (Field, (8, 1), {"last"}),
    "weight norm": (Normed, (4,), {"last"}),
}


@pytest.mark.parametrize("case", CASES)
def test_recorded_gradients_are_those_of_differentiation_for_every_parameter(case: str) -> None:
    make, shape, layers = CASES[case]
    torch.manual_seed(0)
    task = given(make(), 3, *shape)
    params = parameters(task)
    capture = Capture(task, params)
    assert set(capture.layers) == layers
    owned = [name for block in [*capture.layers, *capture.rest] for name in capture.parameters(block)]
    assert sorted(owned) == sorted(params)
    records = capture(task.x, lambda z: loss_gradient(task.likelihood, z, task.y)[None])
    expected = losses_one_by_one(task, params, task.x, task.y)
    for name, record in records.items():
        found = record.gradients()[0]
        for i in range(task.n_train):
            parts = [expected[i][key].reshape(found.shape[1], -1) for key in capture.parameters(name)]
            torch.testing.assert_close(found[i], torch.cat(parts, dim=1))
    torch.testing.assert_close(Identity()(task, params), task.query_gradients(params) @ task.gradients(params).T)


def test_networks_without_gradients_of_their_own_for_each_example_are_refused() -> None:
    torch.manual_seed(0)
    task = given(nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Linear(4, 3)), 3, 4)
    task.network.train()
    with pytest.raises(RunError, match="evaluation mode"):
        Capture(task, parameters(task))

    class Mixing(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) - super().forward(x).mean(0)

    task = given(Mixing(4, 3), 3, 4)
    with pytest.raises(RunError, match="depends on the other examples"):
        Capture(task, parameters(task))
