"""Simulations that say how a state goes on: the exact row of tables of trajectories."""

from __future__ import annotations

import pytest
import torch

from sciml.errors import RunError
from sciml.operator.base import Dataset
from sciml.operator.dataset.recorded import Recorded
from sciml.operator.source.generated import Generated
from sciml.simulation.base import Simulation
from sciml.simulation.burgers import Burgers
from sciml.simulation.darcy import Darcy
from sciml.simulation.kuramoto_sivashinsky import KuramotoSivashinsky

SMALL = {"points": 32, "resolution": 48, "length": 22.0, "frames": 7, "warmup": 150}


def recorded(**parameters: object) -> Dataset:
    source = Generated(simulation=KuramotoSivashinsky(**{**SMALL, **parameters}), n=4)  # type: ignore[arg-type]
    return Recorded(source=source, n_train=2, n_val=1, n_test=1, history=2, time_stride=3)


def test_the_solver_goes_on_from_a_recorded_state_as_the_recording_does() -> None:
    data = recorded()
    train = data.splits()["train"].whole()
    found = data.reference(train.input)
    torch.testing.assert_close(found, train.target[:, 0], rtol=1e-5, atol=1e-5)  # float32, three frames on
    assert (found - train.input[..., -1:]).norm() > 0.01 * found.norm()


@pytest.mark.parametrize(
    ("simulation", "history"),
    [(Burgers(points=64, resolution=64, modes=21, nu=0.01, frames=3, dt=0.5), 1), (Darcy(points=17, modes=8), 0)],
)
def test_what_was_recorded_is_found_again(simulation: Simulation, history: int) -> None:
    data = Recorded(source=Generated(simulation=simulation, n=4), n_train=2, n_val=1, n_test=1, history=history)
    train = data.splits()["train"].whole()
    torch.testing.assert_close(data.reference(train.input), train.target[:, 0], rtol=1e-4, atol=1e-6)


def test_a_state_that_does_not_determine_what_follows_is_refused() -> None:
    u = torch.zeros(1, 32, 1)
    with pytest.raises(RunError, match="21 wavenumbers, of which 32 points do not hold all"):
        KuramotoSivashinsky(points=32, resolution=64).advance(u, 0.1)
    with pytest.raises(RunError, match="21 wavenumbers, of which 32 points do not hold all"):
        Burgers(points=32, resolution=64, modes=8).advance(u, 0.1)
    with pytest.raises(RunError, match="a length that a state does not tell"):
        KuramotoSivashinsky(points=32, resolution=48, length_spread=0.1).advance(u, 0.1)
    with pytest.raises(RunError, match="does not say how a state goes on"):
        Simulation.advance(KuramotoSivashinsky(), u, 0.1)
