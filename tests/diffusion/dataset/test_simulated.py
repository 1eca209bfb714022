"""Joint fields against the simulation's own numbers, and against the equation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from refusals import accepted

from sciml.diffusion.base import Dataset
from sciml.diffusion.dataset.darcy import Darcy
from sciml.diffusion.dataset.navier_stokes import NavierStokes
from sciml.diffusion.dataset.simulated import Simulated
from sciml.errors import ConfigError
from sciml.folder import placed
from sciml.simulation import darcy, navier_stokes
from sciml.simulation.store import found

FLOW = darcy.Darcy(points=9, modes=8)
TORUS = navier_stokes.NavierStokes(points=8, resolution=16, modes=4, dt=0.5, frames=3)
COUNTS: dict[str, Any] = {"n_train": 3, "n_val": 1, "n_test": 2, "seed": 5}


def cases() -> list[tuple[Dataset, list[np.ndarray]]]:
    """Data sets, and their channels by hand."""
    flow, torus = FLOW.samples(0, 6, 5), TORUS.samples(0, 6, 5)["vorticity"]
    return [
        (Darcy(simulation=FLOW, scale=0.02, **COUNTS), [np.where(flow["nu"] > 7, 1, -1), flow["tensor"][:, 0] / 0.02]),
        (NavierStokes(simulation=TORUS, scale=0.5, **COUNTS), [torus[:, 0] / 0.5, torus[:, 2] / 0.5]),
    ]


@pytest.mark.parametrize("case", [0, 1], ids=["darcy", "navier_stokes"])
def test_channels_are_the_scaled_samples_and_no_two_splits_share_one(case: int) -> None:
    dataset, channels = cases()[case]
    splits = dataset.splits()
    expected = torch.from_numpy(np.stack(channels, -1)).float()
    torch.testing.assert_close(splits["test"], expected[:2])
    torch.testing.assert_close(splits["val"], expected[2:3])
    torch.testing.assert_close(splits["train"], expected[3:])
    assert all(part.dtype == torch.float32 and part.shape[1:] == dataset.shape for part in splits.values())
    assert dataset.periodic == ((True, True) if case else (False, False))


def test_training_on_more_leaves_the_others_what_they_were() -> None:
    few, more = (Darcy(simulation=FLOW, scale=0.02, **(COUNTS | {"n_train": n})).splits() for n in (1, 4))
    for name in ("val", "test"):
        torch.testing.assert_close(few[name], more[name])


def test_the_fields_solve_the_equation_once_they_are_scaled_back() -> None:
    a, u = Darcy(simulation=FLOW, scale=0.02, **COUNTS).splits()["train"].double().unbind(-1)
    a, u = 7.5 + 4.5 * a, 0.02 * u
    flux_x = (a[:, 1:] + a[:, :-1]) / 2 * u.diff(dim=1) * 8
    flux_y = (a[:, :, 1:] + a[:, :, :-1]) / 2 * u.diff(dim=2) * 8
    divergence = flux_x.diff(dim=1)[:, :, 1:-1] * 8 + flux_y.diff(dim=2)[:, 1:-1] * 8
    torch.testing.assert_close(divergence, -torch.ones_like(divergence), rtol=0, atol=1e-4)  # u is in float32


def test_in_a_run_the_samples_are_those_of_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with placed(tmp_path):
        first = Darcy(simulation=FLOW, scale=0.02, **COUNTS).splits()
        monkeypatch.setattr(darcy.Darcy, "samples", lambda *args: 1 / 0)  # the second time nothing is made
        second = Darcy(simulation=FLOW, scale=0.02, **COUNTS).splits()
    torch.testing.assert_close(first["train"], second["train"])
    node = {"_target_": "sciml.simulation.darcy.Darcy", **FLOW.parameters()}
    assert found(tmp_path / ".data", node, 6, 5) is not None, "the file is that of whoever asks for the same samples"


def test_outside_of_a_run_nothing_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    Darcy(simulation=FLOW, scale=0.02, **COUNTS).splits()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"simulation": darcy.Darcy(law="lognormal")}, "law: threshold and sampling: nodes"),
        ({"simulation": darcy.Darcy(sampling="cells")}, "law: threshold and sampling: nodes"),
        ({"simulation": TORUS}, "must be darcy"),
    ],
)
def test_what_makes_no_such_fields_is_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Darcy(**({"simulation": FLOW, "scale": 0.02} | COUNTS | wrong))


def test_one_state_is_no_pair() -> None:
    with pytest.raises(ConfigError, match="two frames or more"):
        NavierStokes(simulation=navier_stokes.NavierStokes(frames=1), scale=1.0)


def test_what_is_out_of_range_is_refused() -> None:
    assert accepted(Simulated, scale=0.0, n_val=0, seed=-1) == {}
