"""Fourier features: the formula, and the kernel that they stand for."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from sciml.errors import ConfigError
from sciml.network.features import FourierFeatures


def test_the_kernel_is_gaussian_along_each_input() -> None:
    """E cos(2π b·d) = exp(−2π² Σ σ_i² d_i²), as half the mean of the features' products."""
    torch.manual_seed(0)
    count, sigma = 40000, (0.5, 1.5)
    features = FourierFeatures(2, count, sigma=sigma)
    d = torch.tensor([[0.3, 0.1], [0.0, 0.2], [0.4, 0.0]])
    found = features(d + 0.7) @ features(torch.full((1, 2), 0.7)).T / (count / 2)
    expected = torch.exp(-2 * math.pi**2 * (d**2 @ torch.tensor(sigma)[:, None] ** 2))
    assert (found - expected).abs().max() < 4 / (count / 2) ** 0.5


def test_cosines_come_first() -> None:
    features = FourierFeatures(1, 2, sigma=1.0)
    features.frequencies.fill_(2 * math.pi)
    torch.testing.assert_close(features(torch.tensor([[0.0], [0.25]])), torch.tensor([[1.0, 0.0], [0.0, 1.0]]))


def test_frequencies_are_trained_only_if_asked() -> None:
    assert list(FourierFeatures(2, 4, sigma=1.0).parameters()) == []
    assert "frequencies" in FourierFeatures(2, 4, sigma=1.0).state_dict()
    assert isinstance(FourierFeatures(2, 4, sigma=1.0, trainable=True).frequencies, nn.Parameter)


@pytest.mark.parametrize(
    ("features", "sigma", "message"),
    [
        (5, 1.0, "network.features is 5; it must be an even number"),
        (4, [1.0], "network.sigma has 1 numbers; it must have one for each of the 2 inputs"),
    ],
)
def test_errors_name_the_setting(features: int, sigma: float | list[float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        FourierFeatures(2, features, sigma=sigma)
