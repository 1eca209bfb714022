"""A compiled step is the step; it is compiled where that pays, and where it cannot be, the run goes on without."""

from __future__ import annotations

import logging

import pytest
import torch
from modules import build, trainer
from pinn_problems import convection
from torch import Tensor, nn

from sciml.kernel.fusing import Fusing
from sciml.network.mlp import MLP
from sciml.pinn.compiled import CompiledStep, Mode, magnitude_of
from sciml.pinn.jet import Jet

PROBLEM = convection(beta=3.0)
POINTS = PROBLEM.sample(12, torch.Generator().manual_seed(0))


def step_of(mode: Mode, *, steps: int = 10, network: nn.Module | None = None) -> CompiledStep:
    torch.manual_seed(0)
    field = (network or MLP(2, 1, width=4, depth=1)).double()
    return CompiledStep(PROBLEM.residuals, Jet(field), interior="residual", mode=mode, steps=steps)


@pytest.mark.slow
def test_it_equals_the_step_that_is_not_compiled() -> None:
    step = step_of("always")
    assert step.ready(POINTS)
    network, jet = step._jet.network, Jet(step._jet.network)
    weights = torch.tensor([1.0, 100.0, 0.5], dtype=torch.float64)
    for _ in range(2):
        before = step._jet.evaluations
        terms, magnitude, gradients = step(POINTS, weights)
        assert step._jet.evaluations - before == 12 + 8 + 2 * 8
        residuals = PROBLEM.residuals(jet, POINTS)
        means = torch.stack([r.square().mean() for r in residuals.values()])
        expected = torch.autograd.grad((weights * means).sum(), list(network.parameters()))
        torch.testing.assert_close(terms, means.detach(), rtol=1e-12, atol=0)
        torch.testing.assert_close(magnitude, magnitude_of(residuals["residual"]).detach(), rtol=1e-12, atol=0)
        for mine, theirs in zip(gradients, expected, strict=True):
            torch.testing.assert_close(mine, theirs, rtol=1e-11, atol=1e-13)
        assert not any(a.requires_grad for a in (terms, magnitude, *gradients))
        with torch.no_grad():  # an optimiser changes the parameters in place
            for p in network.parameters():
                p += 0.1


@pytest.mark.parametrize("activation", ["tanh", "silu"], ids=["a stack", "layers"])
def test_steps_that_cannot_be_compiled_as_a_whole_fuse_their_layers(activation: str) -> None:
    network = MLP(2, 1, width=5, depth=1, activation=activation).double()

    def loss(step: CompiledStep) -> Tensor:
        return torch.stack([r.square().mean() for r in PROBLEM.residuals(step._jet, POINTS).values()]).sum()

    for mode, steps, fuses in (
        ("always", 1, True),
        ("never", 10**12, False),
        ("auto", 10**12, True),
        ("auto", 9, False),
    ):
        step = step_of(mode, steps=steps, network=network)  # type: ignore[arg-type]
        step._whole = False
        assert not step.ready(POINTS)
        with step.fusing(POINTS) as session:
            assert step._jet.evaluations == 0, "deciding is no evaluation"
            fused = loss(step)
        stacks = session.stacks if isinstance(session, Fusing) else ()
        assert bool(stacks) == (fuses and activation == "tanh"), (mode, steps)
        parameters = list(network.parameters())
        expected = torch.autograd.grad(loss(step), parameters)
        for keep in (True, False):  # rules that combine gradients take several
            found = torch.autograd.grad(fused, parameters, retain_graph=keep)
            for mine, theirs in zip(found, expected, strict=True):
                torch.testing.assert_close(mine, theirs, rtol=1e-12, atol=1e-14)


@pytest.mark.slow
@pytest.mark.parametrize(
    "overrides",
    [
        (),
        ("pinn/weighting=ntk",),
        ("pinn/weighting=causal",),
        ("pinn/weighting=config", "~pinn.weighting.weights"),
        ("pinn/collocation=causal_r3",),
        ("pinn/collocation=rar_d",),
        ("optimizer=multiadam",),
        ("optimizer=lbfgs",),
        ("optimizer=nncg",),
        ("optimizer=levenberg_marquardt",),
    ],
    ids=lambda overrides: " ".join(overrides) or "default",
)
def test_a_run_is_the_same_however_its_steps_are_computed(overrides: tuple[str, ...]) -> None:
    runs = []
    for mode in ("never", "always"):
        module = build(
            "+experiment=daw2023r3/convection",
            "network.width=6",
            "network.depth=2",
            "pinn.n_points=60",
            "pinn.n_val=20",
            "pinn.log_every=2",
            "pinn.val_every=2",
            f"pinn.compile={mode}",
            *overrides,
        )
        trainer(6).fit(module.double())
        runs.append(torch.cat([p.detach().flatten() for p in module.network.parameters()]))
    torch.testing.assert_close(runs[1], runs[0], rtol=0, atol=1e-9)


class Fake(CompiledStep):
    """Notes what would be compiled."""

    asked = 0

    def _compile(self, points: dict[str, Tensor], seconds: float, saved: float) -> None:
        self.asked += 1


def test_auto_compiles_long_runs_only() -> None:
    for mode, steps, times in (("auto", 1000, 0), ("auto", 10**12, 1), ("always", 1, 1), ("never", 10**12, 0)):
        step = step_of(mode, steps=steps)
        step.__class__ = Fake
        for _ in range(3):
            assert not step.ready(POINTS)
        assert step.asked == times, (mode, steps)
        step.ready({**POINTS, "residual": POINTS["residual"][:5]})
        assert step.asked == 2 * times, "other sizes are another function"
    assert step._jet.evaluations == 0


def test_a_network_that_is_differentiated_by_autograd_is_left_alone() -> None:
    class Opaque(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inside = nn.Linear(2, 1)

        def forward(self, x: Tensor) -> Tensor:
            return torch.tanh(self.inside(x.clone()))

    step = step_of("auto", steps=10**12, network=Opaque())
    step.__class__ = Fake
    assert not step.ready(POINTS)
    assert step.asked == 0


def test_without_a_compiler_the_run_goes_on(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        raise RuntimeError("no C++ compiler\nand a long story")

    monkeypatch.setattr(torch._inductor, "compile", fail)
    step = step_of("always")
    with caplog.at_level(logging.WARNING, "sciml"):
        assert not step.ready(POINTS)
        assert not step.ready(POINTS)
    assert [record.message for record in caplog.records] == [
        "compiling the training step: some 7 s",
        "the training step is not compiled, and takes longer: no C++ compiler",
    ]
