from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from sciml.errors import ConfigError
from sciml.network.attention import HeadNorm, PositionedAttention, diagonal_start


def attention(kind: str, width: int = 6, heads: int = 2, normalise: bool = True) -> PositionedAttention:
    torch.manual_seed(0)
    layer = PositionedAttention(width, 1, kind=kind, heads=heads, normalise=normalise).double()
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.normal_()
    return layer


def normalised(x: Tensor, eps: float = 0.0) -> Tensor:
    x = x - x.mean(dim=-1, keepdim=True)
    return x / (x.square().mean(dim=-1, keepdim=True) + eps).sqrt()


@pytest.mark.parametrize("normalise", [True, False])
@pytest.mark.parametrize("kind", ["galerkin", "fourier", "linear", "softmax"])
def test_attention_is_its_sums_written_out(kind: str, normalise: bool) -> None:
    layer = attention(kind, normalise=normalise)
    x, places = torch.randn(2, 5, 6, dtype=torch.float64), torch.rand(2, 5, 1, dtype=torch.float64)
    n, d = 5, 4  # three columns of a head and the position
    expected = torch.zeros(2, n, 2 * d, dtype=torch.float64)
    for b in range(2):
        for h in range(2):
            rows = slice(3 * h, 3 * h + 3)
            parts = [part(x[b])[:, rows] for part in (layer.query, layer.key, layer.value)]
            if normalise:
                which = (1, 2) if kind in ("galerkin", "linear") else (0, 1)
                for i, norm in zip(which, layer.norms, strict=True):
                    assert isinstance(norm, HeadNorm)
                    parts[i] = normalised(parts[i], 1e-7) * norm.weight[h] + norm.bias[h]
            q, k, v = (torch.cat([places[b], part], dim=-1) for part in parts)
            if kind == "linear":
                q, k = q.exp() / q.exp().sum(1, keepdim=True), k.exp() / k.exp().sum(0, keepdim=True)
            for i in range(n):
                weights = torch.stack([q[i] @ k[j] for j in range(n)])  # of the values of all points
                if kind in ("galerkin", "linear"):
                    weights = weights / n
                elif kind == "fourier":
                    weights = weights / (n * math.sqrt(d))
                else:
                    weights = (weights / math.sqrt(d)).exp()
                    weights = weights / weights.sum()
                for j in range(n):
                    expected[b, i, d * h : d * h + d] += weights[j] * v[j]
    torch.testing.assert_close(layer(x, places), layer.out(expected))


def test_galerkin_with_orthonormal_keys_is_the_projection_onto_them() -> None:
    layer = attention("galerkin")
    n, d = 12, 3
    keys = torch.linalg.qr(torch.randn(n, d, dtype=torch.float64)).Q * math.sqrt(n)  # orthonormal in the mean
    values = torch.randn(n, d, dtype=torch.float64)
    best = keys @ torch.linalg.lstsq(keys, values).solution
    projected = layer.attend(keys, keys, values)
    torch.testing.assert_close(projected, best)
    torch.testing.assert_close(layer.attend(keys, keys, projected), projected)
    # Petrov and Galerkin: with other queries, the element of their span that keys see as they see the values.
    queries = torch.randn(n, d, dtype=torch.float64)
    mixed = queries @ torch.linalg.inv(keys.mT @ queries / n)
    torch.testing.assert_close(keys.mT @ layer.attend(mixed, keys, values), keys.mT @ values)


@pytest.mark.parametrize("kind", ["galerkin", "fourier", "softmax"])
def test_points_have_no_order_and_no_number(kind: str) -> None:
    layer = attention(kind)
    x, places = torch.randn(2, 7, 6, dtype=torch.float64), torch.rand(2, 7, 1, dtype=torch.float64)
    y = layer(x, places)
    order = torch.tensor([3, 0, 6, 1, 5, 2, 4])
    torch.testing.assert_close(layer(x[:, order], places[:, order]), y[:, order])
    # What is summed over points is a mean: it stays where every point is there twice.
    torch.testing.assert_close(layer(torch.cat([x, x], 1), torch.cat([places, places], 1)), torch.cat([y, y], 1))
    assert (layer(x, places[:, order]) - y).abs().max() > 1e-3


def test_heads_are_normalised_apart_and_small_columns_too() -> None:
    norm = HeadNorm(2, 4).double()
    x = torch.randn(1, 2, 5, 4, dtype=torch.float64) * torch.tensor([1e-2, 1.0]).reshape(1, 2, 1, 1)
    torch.testing.assert_close(norm(x), normalised(x), rtol=5e-2, atol=5e-3)  # 1e-5 would miss by far
    with torch.no_grad():
        norm.weight[1] = 3.0
    torch.testing.assert_close(norm(x)[:, 1], 3 * normalised(x)[:, 1], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(norm(x)[:, 0], normalised(x)[:, 0], rtol=5e-2, atol=5e-3)


def test_projections_start_near_a_multiple_of_the_identity() -> None:
    torch.manual_seed(0)
    layer = diagonal_start(torch.nn.Linear(64, 64), gain=0.02, diagonal=0.3)
    rest = layer.weight - 0.3 * torch.eye(64)
    bound = 0.02 * math.sqrt(6 / 128)
    assert 0.9 * bound < rest.abs().max() <= bound + 1e-6
    assert abs(rest.std() / (bound / math.sqrt(3)) - 1) < 0.05
    assert layer.bias.count_nonzero() == 0
    assert all(torch.equal(part.bias, layer.bias) for part in _projections(PositionedAttention(64, 1)))


def _projections(layer: PositionedAttention) -> list[torch.nn.Linear]:
    return [layer.query, layer.key, layer.value]


@pytest.mark.parametrize("kind", ["galerkin", "fourier"])
def test_dropout_is_of_the_rate_that_is_asked_for_and_in_training(kind: str) -> None:
    torch.manual_seed(0)
    layer = PositionedAttention(6, 1, kind=kind, gain=1.0, dropout=0.5)
    x, places = torch.randn(1, 9, 6), torch.rand(1, 9, 1)
    assert (layer(x, places) - layer(x, places)).abs().max() > 0
    layer.eval()
    assert torch.equal(layer(x, places), layer(x, places))


def test_errors_name_the_setting() -> None:
    with pytest.raises(ConfigError, match="attention: unknown 'hard'"):
        PositionedAttention(4, 1, kind="hard")
    with pytest.raises(ConfigError, match="width is 5; 2 heads do not divide it"):
        PositionedAttention(5, 1, heads=2)
