"""What the simulations make of their equations: the declared law of the inputs, resolved solutions, the right grid."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from refusals import accepted

from sciml.equation.darcy import Darcy as DarcyEquation
from sciml.equation.helmholtz import Cavity
from sciml.simulation.burgers import Burgers
from sciml.simulation.darcy import Darcy
from sciml.simulation.gray_scott import GrayScott
from sciml.simulation.helmholtz import Helmholtz
from sciml.simulation.kuramoto_sivashinsky import KuramotoSivashinsky
from sciml.simulation.navier_stokes import NavierStokes


def relative(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.linalg.norm(a - b) / np.linalg.norm(b))


@pytest.mark.parametrize("sampling", ["nodes", "cells"])
@pytest.mark.parametrize("law", ["threshold", "lognormal"])
def test_darcy_pairs_solve_the_equation_on_every_grid(sampling: str, law: str) -> None:
    made = Darcy(points=33, law=law, sampling=sampling, modes=16, source=2.0).samples(3, 2, 7)
    a, u = (torch.from_numpy(made[key]).double() for key in ("nu", "tensor"))
    left = DarcyEquation().residual(a, u[:, 0], torch.tensor(2.0))
    assert left.abs().max() < 0.02 * 2  # float32 values times 1 / h²
    if law == "threshold":
        inside = (a > 3) & (a < 12)
        assert a.min() >= 3
        assert a.max() <= 12
        assert bool(inside.any()) == (sampling == "cells")
    if sampling == "nodes":
        fine = Darcy(points=65, law=law, modes=16, source=2.0).samples(3, 2, 7)
        np.testing.assert_allclose(fine["nu"][:, ::2, ::2], made["nu"], rtol=1e-5)
        assert relative(made["tensor"], fine["tensor"][..., ::2, ::2]) < 0.05


def test_helmholtz_pairs_solve_the_equation() -> None:
    settings = {"points": 33, "wavenumber": 20.0}
    made = Helmholtz(**settings).samples(0, 2, 1)
    c, u = (torch.from_numpy(made[key]).double() for key in ("nu", "tensor"))
    x = torch.linspace(0, 1, 33, dtype=torch.float64)
    f = torch.exp(-((x.unsqueeze(1) - 0.5) ** 2 + (x - 0.25) ** 2) / (2 * 0.04**2))
    assert Cavity().residual((20 / c) ** 2, u[:, 0], f).abs().max() < 1e-3
    assert 0.8 <= c.min() < 0.95
    assert 1.05 < c.max() <= 1.2


def test_burgers_and_kuramoto_sivashinsky_are_resolved_and_the_same_on_every_grid() -> None:
    time = {"dt": 0.5, "frames": 3}
    coarse = Burgers(points=32, resolution=256, nu=0.01, modes=64, step=0.01, **time).samples(0, 2, 0)["tensor"]
    fine = Burgers(points=64, resolution=512, nu=0.01, modes=64, step=0.005, **time).samples(0, 2, 0)["tensor"]
    assert relative(coarse, fine[..., ::2]) < 1e-5
    sines = Burgers(points=32, resolution=256, nu=0.01, initial="sines", modes=64, step=0.01, **time)
    assert relative(sines.samples(0, 2, 0)["tensor"], coarse) > 0.1

    settings = {"length": 22.0, "frames": 3, "dt": 0.5, "points": 32}
    base = KuramotoSivashinsky(resolution=64, warmup=20, step=0.05, **settings).samples(0, 2, 0)["tensor"]
    finer = KuramotoSivashinsky(resolution=96, warmup=20, step=0.025, **settings).samples(0, 2, 0)["tensor"]
    earlier = KuramotoSivashinsky(resolution=64, warmup=19, step=0.05, **settings).samples(0, 2, 0)["tensor"]
    assert relative(base, finer) < 1e-4
    np.testing.assert_allclose(earlier[:, 1:], base[:, :-1], atol=1e-5)


def test_periods_and_times_vary_as_declared() -> None:
    settings = {"resolution": 32, "points": 32, "length": 20.0, "dt": 0.5, "frames": 2, "warmup": 0}
    made = KuramotoSivashinsky(length_spread=0.1, dt_spread=0.2, **settings).samples(0, 200, 0)
    assert made["tensor"].shape == (200, 2, 32)
    for name, centre, spread in (("length", 20.0, 0.1), ("dt", 0.5, 0.2)):
        values = made[name] / centre - 1
        assert np.abs(values).max() <= spread * 1.0001
        assert values.std() == pytest.approx(spread / 3**0.5, rel=0.15)


def test_two_dimensional_flows_and_patterns_are_resolved_and_the_same_on_every_grid() -> None:
    settings = {"points": 16, "dt": 1.0, "frames": 2, "modes": 7, "tau": 4.0}
    base = NavierStokes(resolution=32, step=0.05, **settings).samples(0, 2, 0)["vorticity"]
    finer = NavierStokes(resolution=48, step=0.025, **settings).samples(0, 2, 0)["vorticity"]
    assert relative(base, finer) < 1e-4
    free, turned = (NavierStokes(resolution=32, forcing=f, **settings).samples(0, 2, 0) for f in ("none", "symmetric"))
    assert np.array_equal(free["vorticity"][:, 0], base[:, 0])
    assert relative(free["vorticity"][:, 1], base[:, 1]) > 1e-3
    assert relative(turned["vorticity"][:, 1], base[:, 1]) > 1e-3

    settings = {"points": 16, "length": 0.5, "dt": 10.0, "frames": 2, "spots": 2}
    base = GrayScott(resolution=64, **settings).samples(0, 2, 0)
    finer = GrayScott(resolution=96, step=1.25, **settings).samples(0, 2, 0)
    for field in ("u", "v"):
        assert relative(base[field], finer[field]) < 1e-2
    np.testing.assert_allclose(1 - base["u"][:, 0], 2 * base["v"][:, 0], atol=1e-3)  # G / 2 and G / 4, cut off


@pytest.mark.parametrize(
    ("made", "changed", "said"),
    [
        (Darcy, {"average": "geometric"}, "harmonic"),
        (Burgers, {"resolution": 64}, "a third of 64"),
        (KuramotoSivashinsky, {"highest": 90}, "highest"),
        (NavierStokes, {"period": 3}, "even"),
        (GrayScott, {"smallest": 0.1}, "largest"),
    ],
)
def test_what_cannot_be_is_refused(made: type, changed: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        made(**changed)


def test_what_is_out_of_range_is_refused() -> None:
    assert accepted(Burgers, initial="white", modes=0, step=0) == {}
    assert accepted(Darcy, law="other", sampling="faces", average="geometric", points=2) == {}
    assert accepted(GrayScott, spots=0, resolution=7, warmup=-1) == {}
    assert accepted(Helmholtz, contrast=1.0, points=4, gain=0) == {}
    assert accepted(KuramotoSivashinsky, dt_spread=1.0, warmup=-1, highest=0) == {}
    assert accepted(NavierStokes, forcing="steady", period=0, nu=0) == {}
