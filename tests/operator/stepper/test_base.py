from __future__ import annotations

import torch
from torch import nn

from sciml.data.normalizer import Normalizer
from sciml.operator.base import Split
from sciml.operator.dataset.heat import HeatDataset
from sciml.operator.stepper.base import coordinates
from sciml.operator.stepper.direct import Direct


def test_coordinates_leave_out_the_end_of_a_circle() -> None:
    x = coordinates((4, 3), (True, False))
    assert x[:, 0, 0].tolist() == [0.0, 0.25, 0.5, 0.75]
    assert x[0, :, 1].tolist() == [0.0, 0.5, 1.0]


def test_positions_are_the_last_channels_and_not_normalised() -> None:
    seen = []

    class Look(nn.Module):
        def __init__(self, in_features: int, out_features: int) -> None:
            super().__init__()
            self.features = in_features, out_features

        def forward(self, u: torch.Tensor) -> torch.Tensor:
            seen.append(u)
            return u[..., :1]

    dataset = HeatDataset(points=8, modes=2)
    stepper = Direct(Look, dataset, Normalizer, positions=True)
    assert stepper.network.features == (2, 1)
    u = 5 + 3 * torch.randn(20, 8, 1)
    stepper.fit(Split(u, (7 * u)[:, None]))
    torch.testing.assert_close(stepper.predict(u), 7 * u)  # the identity between two normalisers
    assert seen[0][..., 1].unique().tolist() == [i / 8 for i in range(8)]
    assert abs(float(seen[0][..., 0].mean())) < 1e-5
    plain = Direct(Look, dataset, Normalizer)
    assert plain.network.features == (1, 1)
