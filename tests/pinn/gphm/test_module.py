"""Training: an equation is solved, both kinds of training descend the same function, and a run goes on bit for bit."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import cast

import numpy as np
import pytest
import torch
from lightning.pytorch import Trainer

from sciml.equation.poisson1d import Poisson1d
from sciml.equation.poisson2d import Poisson2d
from sciml.errors import ConfigError, RunError
from sciml.pinn.condition import Dirichlet
from sciml.pinn.gphm import module as gphm
from sciml.pinn.gphm.kernel import SpectralMixture
from sciml.pinn.gphm.module import GpHm
from sciml.pinn.problem.box import Box


def build(*, solution: str = "multi_scale", n: int = 60, **settings) -> GpHm:
    problem = Box(equation=Poisson1d(solution=solution), conditions={"boundary": Dirichlet(n=2)}, grid={"x": 301})
    return GpHm(
        **{
            "problem": problem,
            "kernel": partial(SpectralMixture, components=12, frequency=20.0),
            "optimizer": partial(torch.optim.Adam, lr=0.1),
            "points": {"x": n},
            "values": "profiled",
            "log_every": 5,
            "val_every": 10,
            "n_val": 50,
            **settings,
        }
    )


def kernels(module: GpHm) -> list[SpectralMixture]:
    return cast("list[SpectralMixture]", list(module.kernels))


def trainer(steps: int) -> Trainer:
    return Trainer(
        max_steps=steps,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )


def test_a_multi_scale_equation_is_solved() -> None:
    torch.manual_seed(0)
    module = build(n=80, kernel=partial(SpectralMixture, components=12, frequency=20.0, scatter=0.25))
    fit = trainer(90)
    fit.fit(module)
    (metrics,) = fit.test(module, verbose=False)
    assert metrics["rel_l2"] < 1e-4
    assert not module.warnings()
    assert module.cost()["solver_iterations"] >= 60
    (kernel,) = kernels(module)
    assert kernel.mu[0] == 0, "the component of slow parts stays"
    found = kernel.mu[kernel.log_weight.argsort(descending=True)[:6]].detach().abs()
    assert (found - 100 / 6.283185307).abs().min() < 0.5, "the highest frequency of the solution is found"


def test_the_gradient_of_the_profile_is_that_of_the_maximum() -> None:
    """dF/dθ of F(θ) = min_U joint, by differences, is the gradient that a step uses: U needs no derivative."""
    module = build(n=12, boundary_weight=3.0, jitter=1e-2, tau_step=0.0)
    loss, _ = module.losses()
    loss.backward()
    (kernel,) = kernels(module)
    mu = kernel.mu
    assert mu.grad is not None
    for index in (3, 7):
        sides = []
        for h in (1e-5, -1e-5):
            with torch.no_grad():
                mu[index] += h
                sides.append(module.losses()[0])
                mu[index] -= h
        difference = float((sides[0] - sides[1]).detach()) / 2e-5
        assert float(mu.grad[index]) == pytest.approx(difference, rel=1e-5)


def test_joint_training_starts_on_the_same_function() -> None:
    """Given the profiled values, joint training has the same loss and slopes, and no slope in the values."""
    profiled = build(n=20)
    loss, _ = profiled.losses()
    loss.backward()
    joint = build(n=20, values="trained")
    with torch.no_grad():
        joint.values.copy_(profiled._covariance().values(profiled.whitened))
    whole, _ = joint.losses()
    whole.backward()
    torch.testing.assert_close(whole, loss, rtol=1e-9, atol=0)
    for a, b in zip(joint.kernels.parameters(), profiled.kernels.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("values", ["trained", "profiled"])
def test_an_interrupted_run_goes_on_bit_for_bit(values: str, tmp_path: Path) -> None:
    whole = build(n=20, values=values)
    trainer(20).fit(whole)
    first = build(n=20, values=values)
    fit = trainer(10)
    fit.fit(first)
    fit.save_checkpoint(tmp_path / "half.ckpt")
    second = build(n=20, values=values)
    trainer(20).fit(second, ckpt_path=tmp_path / "half.ckpt", weights_only=True)
    for key, value in whole.state_dict().items():
        assert torch.equal(second.state_dict()[key], value), key
    assert whole.cost() == second.cost()


def test_what_is_met_on_the_grid_only_is_said() -> None:
    module = build(solution="parabola", n=30)
    trainer(10).fit(module)
    assert "BETWEEN THE POINTS" in module.warnings()[0]


def test_missed_boundary_values_are_said() -> None:
    module = build(n=80, boundary_weight=1e-12)
    trainer(5).fit(module)
    assert any("BOUNDARY VALUES MISSED" in warning for warning in module.warnings())


def test_precisions_rise_to_their_end_in_a_profiled_run() -> None:
    module = build(n=20, log_tau=1.0, tau_step=0.4, log_tau_max=1.7)
    seen = []
    for _ in range(4):
        seen.append(module.log_tau.tolist())
        module.losses()
    torch.testing.assert_close(torch.tensor(seen), torch.tensor([[t, t] for t in (1.0, 1.4, 1.7, 1.7)]))


def test_a_covariance_that_is_not_positive_definite_is_said() -> None:
    module = build(jitter=1e-300, kernel=partial(SpectralMixture, spectrum="gaussian", components=1))
    with pytest.raises(RunError, match=r"covariance of 60 points is not positive definite.*pinn\.jitter 1e-300"):
        module.losses()


def test_points_of_another_dimension_are_refused() -> None:
    module = build(n=20)
    with pytest.raises(ValueError, match=r"grid of 1 axes is asked for points \(n, 1\), not \(4, 2\)"):
        module.field()(torch.zeros(4, 2, dtype=torch.float64))


def test_predictions_are_the_conditional_mean_on_the_grid_and_at_scattered_points(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    box = Box(equation=Poisson2d(), conditions={"boundary": Dirichlet(n=8)}, grid={"x": 5, "y": 5})
    kernel = partial(SpectralMixture, components=3, frequency=2.0)
    module = build(problem=box, kernel=kernel, points={"x": 7, "y": 6}, values="trained", jitter=1e-4)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        module.values.copy_(torch.randn(7, 6, generator=generator, dtype=torch.float64))
    # With the matrix of the whole grid, as Gaussian processes are written down.
    grid, covariances = module.observations.points, kernels(module)
    scattered = 2 * torch.pi * torch.rand(40, 2, generator=generator, dtype=torch.float64)

    def between(x: torch.Tensor) -> torch.Tensor:
        one, other = (k(x[:, a, None] - grid[:, a])[0] for a, k in enumerate(covariances))
        return one * other

    single = [k(axis[:, None] - axis)[0] for k, axis in zip(covariances, module.observations.axes, strict=True)]
    whole = torch.kron(*(c + 1e-4 * torch.eye(len(c)) for c in single))
    weights = torch.linalg.solve(whole, module.values.flatten())
    for x in (grid, grid.flip(0), scattered, torch.cat([scattered[:5], grid])):
        expected = (between(x) @ weights).detach().numpy()[:, None]
        np.testing.assert_allclose(module.predict(x.numpy()), expected, atol=1e-9)
        monkeypatch.setattr(gphm, "CHUNK", 9)
        np.testing.assert_allclose(module.predict(x.tolist()), expected, atol=1e-9)
        monkeypatch.undo()
    assert module.predict(np.empty((0, 2))).shape == (0, 1)
    with pytest.raises(ValueError, match=r"shape \(40,\), expected \(n, 2\): x, y"):
        module.predict(scattered[:, 0])
    with pytest.raises(ValueError, match="not finite"):
        module.predict([[0.0, np.inf]])


def test_figures() -> None:
    module = build(n=20)
    module.losses()
    assert set(module.figures()) == {"u", "spectrum"}


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        ({"log_tau": 3.0, "log_tau_max": 2.0}, "pinn.log_tau_max"),
        ({"points": {"t": 20}}, "pinn.points"),
        ({"kernel": None}, "pinn.kernel"),
    ],
)
def test_wrong_settings_are_named(bad: dict, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        build(**bad)
