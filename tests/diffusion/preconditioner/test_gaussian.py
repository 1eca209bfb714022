from __future__ import annotations

from typing import Any

import pytest
import torch
from refusals import accepted
from torch import Tensor, nn

from sciml.diffusion.preconditioner.edm import EDM
from sciml.diffusion.preconditioner.gaussian import GaussianPreconditioner, leading
from sciml.errors import ConfigError

SHAPE = (4, 3, 2)
D = 24


class Given(nn.Module):
    """A network with a fixed answer that remembers what it saw."""

    def __init__(self, n: int, m: int, *, conditions: int) -> None:
        super().__init__()
        assert conditions == 1
        self.answer = nn.Parameter(torch.zeros(m, dtype=torch.float64))

    def forward(self, u: Tensor, condition: Tensor) -> Tensor:
        self.seen, self.condition = u, condition
        return self.answer.expand(*u.shape[:-1], -1)


def data(n: int = 300) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(n, *SHAPE, generator=generator, dtype=torch.float64).cumsum(1).cumsum(2)
    return x * torch.tensor([1.0, 0.1], dtype=torch.float64) + x.flip(-1) * 0.05 + 0.3


def build(rank: int, train: Tensor) -> Any:
    denoiser = GaussianPreconditioner(rank=rank).denoiser(Given, tuple(train.shape[1:])).double()
    denoiser.fit(train)
    return denoiser


def test_with_all_components_an_untrained_network_is_the_best_linear_estimate() -> None:
    train = data()
    denoiser = build(D, train)
    flat = train.flatten(1)
    covariance, x = torch.cov(flat.T), train[:3] + 0.2
    sigma = torch.tensor([0.05, 0.7, 20.0], dtype=torch.float64)
    spread = []
    for one, level, found in zip(x, sigma, denoiser(x, sigma), strict=True):
        gain = covariance @ torch.linalg.inv(covariance + level**2 * torch.eye(D, dtype=torch.float64))
        expected = flat.mean(0) + gain @ (one.flatten() - flat.mean(0))
        torch.testing.assert_close(found.flatten(), expected)
        spread.append((covariance - gain @ covariance).diagonal().reshape(-1, 2).mean(0))
    torch.testing.assert_close(1 / denoiser.weight(sigma), torch.stack(spread))


def test_the_target_has_unit_variance_in_each_channel() -> None:
    """Over the data and the noise: what the network must give is of size 1, also beside the components."""
    train = data(4000)
    denoiser = build(6, train)
    for level in (0.03, 0.5, 5.0):
        sigma = torch.full((len(train),), level, dtype=torch.float64)
        noise = torch.randn(train.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
        error = denoiser(train + level * noise, sigma) - train
        target = error.square().reshape(-1, 2).mean(0) * denoiser.weight(sigma[:1])[0]
        torch.testing.assert_close(target, torch.ones(2, dtype=torch.float64), rtol=0.1, atol=0)


def test_what_the_network_says_is_added_in_units_of_the_error() -> None:
    train = data()
    denoiser = build(5, train)
    x, sigma = train[:2] + 0.1, torch.tensor([0.4, 3.0], dtype=torch.float64)
    before = denoiser(x, sigma)
    with torch.no_grad():
        denoiser.network.answer.copy_(torch.tensor([1.0, -2.0]))
    change = denoiser(x, sigma) - before
    expected = torch.tensor([1.0, -2.0], dtype=torch.float64) / denoiser.weight(sigma).sqrt()
    torch.testing.assert_close(change, expected[:, None, None].expand(change.shape))
    scale = (train.flatten(0, 2) - train.mean(0).repeat(len(train), 1, 1).flatten(0, 1)).square().mean(0)
    assert denoiser.network.seen.shape == (2, 4, 3, 4)
    torch.testing.assert_close(denoiser.network.condition[:, 0], sigma.log() / 4)
    torch.testing.assert_close(denoiser.std.square(), scale, rtol=1e-2, atol=0)
    torch.testing.assert_close(
        denoiser.network.seen[..., :2],
        (x - train.mean(0)) / (sigma[:, None, None, None] ** 2 + denoiser.std.square()).sqrt(),
    )
    torch.testing.assert_close(denoiser.network.seen[..., 2:], (before - train.mean(0)) / denoiser.std)


def test_without_components_and_with_one_channel_it_is_edm() -> None:
    train = data()[..., :1]
    train = train - train.mean(0)
    denoiser = build(0, train)
    edm = EDM(sigma_data=float(denoiser.std))
    sigma = torch.tensor([0.2, 1.0, 9.0], dtype=torch.float64)
    c = edm.coefficients(sigma)
    expected = c.skip[:, None, None, None] * train[:3]
    torch.testing.assert_close(denoiser(train[:3], sigma), expected)
    torch.testing.assert_close(denoiser.weight(sigma)[:, 0], edm.weight(sigma))
    torch.testing.assert_close(denoiser.network.seen[..., :1], c.into[:, None, None, None] * train[:3])


def test_components_of_large_data_are_those_of_all() -> None:
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(90, 70, generator=generator, dtype=torch.float64) * torch.logspace(
        0, -3, 70, dtype=torch.float64
    )
    values, vectors = leading(rows, 8)
    exact, right = torch.linalg.svd(rows, full_matrices=False)[1:]
    torch.testing.assert_close(values, exact[:8].square(), rtol=1e-4, atol=0)
    torch.testing.assert_close((right[:8] @ vectors).abs(), torch.eye(8, dtype=torch.float64), rtol=0, atol=0.02)


def test_what_cannot_be_is_said() -> None:
    with pytest.raises(ConfigError, match=r"preconditioner\.rank is 25; a field has 24 entries"):
        GaussianPreconditioner(rank=25).denoiser(Given, SHAPE)
    with pytest.raises(ConfigError, match="rank is 10; there are 10 training fields"):
        build(10, data(10))
    constant = data()
    constant[..., 1] = 2.0
    with pytest.raises(ConfigError, match="a channel of the training fields is constant"):
        build(3, constant)


def test_what_is_out_of_range_is_refused() -> None:
    assert accepted(GaussianPreconditioner, rank=-1, p_std=0) == {}
