from __future__ import annotations

import math

import torch

from sciml.operator.dataset.heat import HeatDataset


def test_every_mode_decays_as_the_equation_says() -> None:
    fields = HeatDataset(points=32, modes=4, nu=0.02, dt=0.1, steps=3, n_test=5).splits()["test"]
    before = torch.fft.rfft(fields.input.double(), dim=1)[:, 1:5, 0]
    for step in range(3):
        after = torch.fft.rfft(fields.target[:, step].double(), dim=1)[:, 1:5, 0]
        k = torch.arange(1, 5, dtype=torch.float64)
        expected = torch.exp(-0.02 * (2 * math.pi * k) ** 2 * 0.1 * (step + 1)).expand(5, 4)
        torch.testing.assert_close((after / before).real, expected, rtol=1e-4, atol=1e-5)


def test_the_fine_test_holds_the_same_trajectories() -> None:
    splits = HeatDataset(n_train=2, n_val=2, n_test=3).splits()
    torch.testing.assert_close(splits["test_fine"].input[:, ::2], splits["test"].input)
    torch.testing.assert_close(splits["test_fine"].target[:, :, ::2], splits["test"].target)
