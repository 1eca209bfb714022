"""DiffusionPDE and FunDPS beside naive transcriptions, and what they reduce to without their guidance."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
import torch
from refusals import accepted
from torch import Tensor

from sciml.data.stream import normal, stream
from sciml.diffusion.base import Measurement, Solver
from sciml.diffusion.levels import Karras
from sciml.diffusion.measurement.points import Points
from sciml.diffusion.prior.gaussian import Gaussian
from sciml.diffusion.residual.helmholtz import Helmholtz
from sciml.diffusion.sampler.heun import Heun
from sciml.diffusion.solver.diffusionpde import DiffusionPDE
from sciml.diffusion.solver.fundps import FunDPS
from sciml.errors import RunError

SHAPE = (5, 6, 2)
PRIOR = Gaussian(shape=SHAPE, mean=0.4)
POINTS = Points(shape=SHAPE, sensors=9, noise_std=0.1)
RESIDUAL = Helmholtz(k=1.0, scale=(2.0, 0.1))
Y = torch.randn(3, 9, dtype=torch.float64, generator=stream("y", 0))
LEVELS = Karras(steps=6, sigma_max=5.0)


def solve(solver: Solver, y: Tensor = Y, measurement: Measurement = POINTS) -> Tensor:
    return solver(y, measurement, PRIOR, (len(y), *SHAPE), stream("solver", 0))


def transcribed(losses: Callable[[int, float, Tensor], list[Tensor]], guided_to_the_end: bool) -> Tensor:
    """Heun's steps as in the papers, one gradient for each loss ``(i, sigma, denoised)``, sample after sample."""
    levels = LEVELS.values()
    starts = levels[0] * normal((3, *SHAPE), stream("solver", 0), Y)
    found = []
    for sample in range(3):
        x = starts[sample : sample + 1]
        for i, (sigma, following) in enumerate(pairwise(levels)):
            x = x.detach().requires_grad_()
            denoised = PRIOR.posterior(x, sigma).mean
            first = (x - denoised) / sigma
            ahead = x + (following - sigma) * first
            if i < LEVELS.steps - 1:
                denoised = PRIOR.posterior(ahead, following).mean
                second = (ahead - denoised) / following
                ahead = x + (following - sigma) * (0.5 * first + 0.5 * second)
            if i < LEVELS.steps - 1 or guided_to_the_end:
                for loss in losses(i, sigma, denoised):
                    ahead = ahead - torch.autograd.grad(loss[sample], x, retain_graph=True)[0]
            x = ahead
        found.append(x.detach())
    return torch.cat(found)


def each(denoised: Tensor) -> tuple[Tensor, Tensor]:
    """Differences at the sensors in a and in u, rows as those of ``Y``."""
    difference = Y - POINTS(denoised)
    return difference[:, POINTS.index % 2 == 0], difference[:, POINTS.index % 2 == 1]


def test_diffusionpde_takes_the_steps_of_algorithm_1() -> None:
    def losses(i: int, sigma: float, denoised: Tensor) -> list[Tensor]:
        a, u = each(denoised)
        found = [0.3 * a.square().sum(1).sqrt(), 0.2 * u.square().sum(1).sqrt()]
        if i <= 0.5 * 6:
            return found
        left = RESIDUAL(denoised)
        pde = 0.02 * left.square().sum((1, 2)).sqrt() / 12
        return [0.1 * found[0], 0.1 * found[1], pde.expand(3)]

    solver = DiffusionPDE(zeta=[0.3, 0.2], zeta_pde=0.02, residual=RESIDUAL, late=0.5, levels=LEVELS)
    torch.testing.assert_close(solve(solver), transcribed(losses, True))


@pytest.mark.parametrize("root", [False, True])
def test_fundps_takes_the_steps_of_its_code(root: bool) -> None:
    def losses(i: int, sigma: float, denoised: Tensor) -> list[Tensor]:
        sizes = [part.square().mean(1) for part in each(denoised)]
        if root:
            sizes = [size.sqrt() for size in sizes]
        share = 1.0 if sigma > 2 else sigma / 2
        found = [share * 0.3 * sizes[0], share * 0.2 * sizes[1]]
        if sigma < 2:
            r = RESIDUAL(denoised).abs()
            found.append(0.02 * share * torch.where(r < 1, 0.5 * r**2, r - 0.5).mean((1, 2)).expand(3))
        return found

    assert LEVELS.values()[0] > 2 > LEVELS.values()[2]
    solver = FunDPS(weight=[0.3, 0.2], root=root, weight_pde=0.02, residual=RESIDUAL, levels=LEVELS)
    torch.testing.assert_close(solve(solver), transcribed(losses, False))


@pytest.mark.parametrize("solver", [DiffusionPDE(zeta=0.0, levels=LEVELS), FunDPS(weight=0.0, levels=LEVELS)])
def test_without_weights_both_are_heun_s_sampler(solver: Solver) -> None:
    heun = Heun(levels=LEVELS)(PRIOR, (3, *SHAPE), stream("solver", 0))
    torch.testing.assert_close(solve(solver), heun)


@pytest.mark.parametrize("weights", [1.0, [1.0, 0.0], [0.0, 1.0]])
def test_one_weight_is_for_all_observations_and_a_channel_s_for_its_own(weights: Any) -> None:
    found = solve(FunDPS(weight=weights, levels=LEVELS))
    unseen = Y.clone()
    unseen[:, POINTS.index % 2 == 1] += 1.0  # observations of u
    moved = (solve(FunDPS(weight=weights, levels=LEVELS), unseen) - found).abs().max()
    assert moved < 1e-12 if weights == [1.0, 0.0] else moved > 1e-2


class Nothing(Measurement):
    """A(x) = 0."""

    def forward(self, x: Tensor) -> Tensor:
        return 0 * POINTS.forward(x)


class Everything(Measurement):
    """Observations of both channels at once."""

    def forward(self, x: Tensor) -> Tensor:
        return x.sum(-1).flatten(1)


@pytest.mark.parametrize("root", [False, True])
def test_a_misfit_of_zero_has_a_gradient_of_zero(root: bool) -> None:
    heun = Heun(levels=LEVELS)(PRIOR, (3, *SHAPE), stream("solver", 0))
    nothing = Nothing(noise_std=1.0)
    for solver in (DiffusionPDE(zeta=1.0, levels=LEVELS), FunDPS(weight=1.0, root=root, levels=LEVELS)):
        torch.testing.assert_close(solve(solver, torch.zeros(3, 9, dtype=torch.float64), nothing), heun)


def test_evaluations_and_backward_passes_are_counted() -> None:
    counts = []
    for solver in (DiffusionPDE(zeta=1.0, levels=LEVELS), FunDPS(weight=1.0, levels=LEVELS)):
        before = PRIOR.evaluations, PRIOR.backwards
        solve(solver)
        counts.append((PRIOR.evaluations - before[0], PRIOR.backwards - before[1]))
    assert counts == [(11, 11), (11, 10)]  # FunDPS does not guide its last step


def test_weights_that_do_not_fit_are_named() -> None:
    with pytest.raises(RunError, match="3 weights for fields of 2 channels"):
        solve(DiffusionPDE(zeta=[1.0, 1.0, 1.0], levels=LEVELS))
    with pytest.raises(RunError, match="one channel each"):
        solve(DiffusionPDE(zeta=[1.0, 0.0], levels=LEVELS), torch.zeros(3, 30), Everything(noise_std=1.0))


def test_what_is_out_of_range_is_refused() -> None:
    assert accepted(DiffusionPDE, late=1.1) == {}
    assert accepted(FunDPS, fading=0) == {}
