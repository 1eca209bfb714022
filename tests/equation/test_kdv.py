"""Two solitons by hand, and the computed solution's convergence, invariants and residual."""

from __future__ import annotations

import math

import torch
from equations import inside, residual
from refusals import accepted

from sciml.equation.kdv import KdVCosine, KdVSolitons, cosine

SOLITONS, COSINE = KdVSolitons(), KdVCosine()


def test_residuals_of_another_function() -> None:
    for equation, transport, dispersion in ((SOLITONS, 6.0, 1.0), (COSINE, 1.0, 0.022**2)):
        x = inside(equation)
        t, along = x[:, :1], x[:, 1:]
        found = residual(equation, lambda p: p[:, :1] * p[:, 1:] ** 3, x)
        torch.testing.assert_close(found, along**3 + transport * 3 * t**2 * along**5 + dispersion * 6 * t)


def test_solitons_solve_it() -> None:
    x = inside(SOLITONS)
    assert residual(SOLITONS, SOLITONS.reference, x).abs().max() < 1e-11
    # In float32 and outside of the box, where exponentials would overflow.
    far = torch.tensor([[0.0, 400.0], [5.0, -400.0]])
    assert torch.equal(SOLITONS.initial(far), torch.zeros(2, 1))


def test_solitons_far_apart_are_single_solitons() -> None:
    # Before they meet, each is c/2 sech²(√c (x − c t − place) / 2); passing shifts the places by ∓ log(A) / k.
    equation = KdVSolitons(c1=6.0, c2=2.0, x1=-40.0, x2=0.0)
    k1, k2 = math.sqrt(6), math.sqrt(2)
    shift = math.log((k1 + k2) / (k1 - k2))
    along = torch.linspace(-45, 5, 300, dtype=torch.float64)
    found = equation.initial(torch.stack([torch.zeros_like(along), along], dim=1))[:, 0]
    expected = sum(
        c / 2 / torch.cosh(math.sqrt(c) * (along - place) / 2) ** 2
        for c, place in ((6.0, -40 - shift / k1), (2.0, 0.0 + shift / k2))
    )
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


def test_the_computed_solution_converges_with_order_four() -> None:
    # Until the first solitons are there; fewer modes do for that.
    x = inside(COSINE, 60) * torch.tensor([0.4, 1.0], dtype=torch.float64)
    coarse, middle, fine = (cosine(1.0, 0.022, modes=120, h=h, end=0.4)(x) for h in (8e-4, 4e-4, 2e-4))
    order = math.log2(float((coarse - middle).norm() / (middle - fine).norm()))
    assert 3.7 < order < 4.5
    more = cosine(1.0, 0.022, modes=150, h=2e-4, end=0.4)(x)
    assert (more - fine).abs().max() < 1e-10


def test_mass_and_energy_stay() -> None:
    x = torch.cartesian_prod(
        torch.tensor([0.0, 0.3, 1.0], dtype=torch.float64), torch.arange(1024, dtype=torch.float64) / 512 - 1
    )
    u = COSINE.reference(x).reshape(3, 1024)
    assert u.mean(dim=1).abs().max() < 1e-13
    torch.testing.assert_close(u.square().mean(dim=1), torch.full((3,), 0.5, dtype=torch.float64), rtol=1e-9, atol=0)
    torch.testing.assert_close(u[0], torch.cos(math.pi * x[:1024, 1]), rtol=0, atol=1e-13)


def test_what_is_out_of_range_is_refused() -> None:
    assert accepted(KdVSolitons, c2=0) == {}
