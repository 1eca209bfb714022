"""The computed solution: convergence in steps and modes, what is known of it exactly, and residuals."""

from __future__ import annotations

import math

import torch
from equations import inside, residual

from sciml.equation.allen_cahn import AllenCahn, phases

EQUATION = AllenCahn()


def test_residual_of_another_function() -> None:
    x = inside(EQUATION)
    t, along = x[:, :1], x[:, 1:]
    found = residual(EQUATION, lambda p: p[:, :1] * p[:, 1:] ** 2, x)
    u = t * along**2
    torch.testing.assert_close(found, along**2 - 1e-4 * 2 * t - 5 * (u - u**3))


def test_steps_converge_with_order_four_and_modes_faster() -> None:
    x = inside(EQUATION, 60) * torch.tensor([0.2, 1.0], dtype=torch.float64) + torch.tensor([0.2, 0.0])
    rough, fine, best = (phases(1e-2, 5.0, modes=64, h=h, end=0.4)(x) for h in (2e-3, 5e-4, 2.5e-4))
    order = math.log((rough - fine).norm() / (fine - best).norm(), 4)
    assert 3.4 < order < 4.3, "less than four, as a step is never longer than the gap between two Chebyshev nodes"
    more, most = (phases(1e-2, 5.0, modes=modes, h=5e-4, end=0.4)(x) for modes in (128, 256))
    assert (most - more).abs().max() < 1e-10
    assert (most - more).abs().max() < (more - fine).abs().max() / 16, "of higher order than the steps"


def test_without_diffusion_every_place_is_on_its_own() -> None:
    # u' = 5 (u − u³) has u² / (1 − u²) = e^{10t} u₀² / (1 − u₀²); the Fourier series is of a smooth start here.
    x = torch.tensor([[0.1, 0.3], [0.2, -0.6], [0.3, 0.45]], dtype=torch.float64)
    start = EQUATION.initial(x)
    odds = torch.exp(10 * x[:, :1]) * start**2 / (1 - start**2)
    expected = start.sign() * (odds / (1 + odds)).sqrt()
    # ε u_xx is at most 1e-4 times a hundred here, for a third of the time.
    torch.testing.assert_close(EQUATION.reference(x), expected, rtol=0, atol=3e-3)


def test_start_and_symmetry() -> None:
    x = inside(EQUATION, 50)
    torch.testing.assert_close(EQUATION.reference(x * torch.tensor([1, -1])), EQUATION.reference(x))
    x[:, 0] = 0
    torch.testing.assert_close(EQUATION.reference(x), EQUATION.initial(x))


def test_the_ansatz_diffuses_the_kink_of_the_start() -> None:
    """Without reaction, and with ε u₀'' for the network, nothing is left but the jump of the third derivative."""
    x = inside(EQUATION, 200)
    x[:, 0] = 0.2 + 0.8 * x[:, 0]  # the Fourier series of the kink is short by then
    x[:40, 1] = 1 - 1e-3 * x[:40, 1].abs()
    with torch.enable_grad():
        along = x[:, 1:].clone().requires_grad_()
        slope = torch.autograd.grad(EQUATION.initial(torch.cat([x[:, :1], along], 1)).sum(), along, create_graph=True)
        (bend,) = torch.autograd.grad(slope[0].sum(), along)
    diffused = phases(1e-4, 0.0, modes=256, h=0.1)(x)  # exact in time
    kink = diffused - EQUATION.initial(x)
    assert kink.abs().max() > 5e-3
    torch.testing.assert_close(EQUATION.ansatz(1e-4 * bend, x), diffused, rtol=0, atol=1e-4)
