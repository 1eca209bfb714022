"""A small regression with a network, for tests: data made on the spot, float64, trained in a blink."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor

from sciml.influence.likelihood.softmax import Softmax
from sciml.influence.likelihood.squared import Squared
from sciml.influence.retraining import Recipe
from sciml.influence.task.supervised import Supervised
from sciml.network.mlp import MLP


def data(n: int, classes: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(5)
    x = torch.randn(n, 3, generator=generator, dtype=torch.float64)
    y = (x[:, :1] * x[:, 1:2]).tanh() + 0.1 * torch.randn(n, 1, generator=generator, dtype=torch.float64)
    return (x, (x[:, 0] + 0.5 * x[:, 1] > 0).long() + (x[:, 2] > 0)) if classes else (x, y)


def toy(*, seed: int = 0, classes: int = 0, n: int = 40, **parameters: Any) -> Supervised:
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(seed)
    settings = {
        "data": data(n, classes),
        "network": partial(MLP, width=6, depth=2, activation="tanh"),
        "likelihood": Softmax() if classes else Squared(),
        "recipe": Recipe(epochs=3, batch_size=7, lr=0.1, momentum=0.8),
        "n_train": 30,
        "n_query": 8,
        "decay": 0.3,
    }
    return Supervised(**settings | parameters)
