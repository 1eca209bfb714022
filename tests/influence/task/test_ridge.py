from __future__ import annotations

import torch

from sciml.influence.task.ridge import Ridge


def test_the_optimum_equals_least_squares_on_augmented_rows() -> None:
    task = Ridge(n_train=10, n_query=2, features=3, decay=0.7)
    weights = torch.rand(2, 10, dtype=torch.float64)
    found = task.fit(weights)["theta"]
    for run in range(2):
        root = weights[run].sqrt()[:, None]
        rows = torch.cat([root * task.x, 0.7**0.5 * torch.eye(3, dtype=torch.float64)])
        values = torch.cat([root[:, 0] * task.y, torch.zeros(3, dtype=torch.float64)])
        torch.testing.assert_close(found[run], torch.linalg.lstsq(rows, values).solution)


def test_losses_are_halved_squares() -> None:
    task = Ridge(n_train=4, n_query=3, features=2)
    theta = torch.tensor([1.0, -2.0], dtype=torch.float64)
    expected = [(float(x[0] - 2 * x[1] - y)) ** 2 / 2 for x, y in zip(task.x, task.y, strict=True)]
    torch.testing.assert_close(task.losses({"theta": theta}), torch.tensor(expected, dtype=torch.float64))
    query = [(float(x[0] - 2 * x[1] - y)) ** 2 / 2 for x, y in zip(task.x_query, task.y_query, strict=True)]
    torch.testing.assert_close(task.measure({"theta": theta}), torch.tensor(query, dtype=torch.float64))


def test_the_data_follow_the_declared_law() -> None:
    torch.manual_seed(3)
    task = Ridge(n_train=20_000, n_query=2, features=3, noise_std=0.5, decay=1e-9)
    expected = torch.tensor([1.0, 10**-0.5, 0.1], dtype=torch.float64)
    torch.testing.assert_close(task.x.std(0), expected, rtol=0.03, atol=0)
    theta = task.fit(torch.ones(1, 20_000))["theta"][0]
    assert abs(float((task.x @ theta - task.y).std()) - 0.5) < 0.02


def test_the_seed_of_the_run_makes_the_data() -> None:
    drawn = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        drawn.append(Ridge().x)
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])
