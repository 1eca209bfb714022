from __future__ import annotations

from typing import Any

import pytest
import torch
from refusals import accepted
from torch import Tensor, nn

from sciml.data.normalizer import NoNormalizer, Normalizer
from sciml.errors import ConfigError
from sciml.operator.base import Dataset, Split
from sciml.operator.loss.mse import MeanSquare
from sciml.operator.loss.relative import RelativeL2
from sciml.operator.rollout.autoregressive import Autoregressive
from sciml.operator.rollout.teacher_forced import TeacherForced
from sciml.operator.stepper.difference import Difference
from sciml.operator.stepper.integrator import INTEGRATORS
from sciml.operator.stepper.rate import Rate, difference

A = torch.tensor([[-0.3, 2.0], [-2.0, -0.1]], dtype=torch.float64)
DT = 0.4


class Oscillator(Dataset):
    """Damped oscillators u' = A u at each of three points, in windows of some states."""

    in_channels = out_channels = 2
    grid, periodic = (3,), (True,)

    def __init__(self, states: int = 5, dt: float | None = DT) -> None:
        self.states, self.dt = states, dt

    def splits(self) -> dict[str, Split]:
        u0 = torch.randn(6, *self.grid, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        window = torch.stack([self.after(u0, k * (self.dt or 1.0)) for k in range(self.states)], dim=1)
        return {"train": Split(window[:, 0], window[:, 1:])}

    def after(self, u: Tensor, time: float) -> Tensor:
        return u @ torch.linalg.matrix_exp(A * time).mT


class Linear(nn.Module):
    """The exact rate, times a factor."""

    def __init__(self, factor: float = 1.0) -> None:
        super().__init__()
        self.factor, self.seen = factor, 0

    def forward(self, u: Tensor) -> Tensor:
        self.seen += 1
        return self.factor * u @ A.mT


def exact(dataset: Dataset | None = None, normalizer: Any = NoNormalizer, **parameters: Any) -> Rate:
    return Rate(lambda n, m: Linear(), dataset or Oscillator(), normalizer, **parameters).double()


@pytest.mark.parametrize("integrator", sorted(INTEGRATORS))
def test_the_exact_rate_is_integrated_with_the_order_and_the_cost_declared(integrator: str) -> None:
    data = Oscillator()
    u0 = data.splits()["train"].input
    errors = []
    for substeps in (8, 16):
        stepper = exact(data, integrator=integrator, substeps=substeps)
        found = Autoregressive()(stepper.start(), u0, 3)
        assert stepper.network.seen == 3 * stepper.evaluations  # type: ignore[union-attr]
        errors.append(float((found[:, -1] - data.after(u0, 3 * DT)).norm()))
    order = float(torch.log2(torch.tensor(errors[0] / errors[1])))
    assert order == pytest.approx(INTEGRATORS[integrator].order, abs=0.2)


def test_adams_bashforth_takes_the_rate_of_the_step_before_across_states_and_forgets_it_at_a_start() -> None:
    stepper, u = exact(integrator="ab2"), Oscillator().splits()["train"].input
    f = Linear()
    first = u + DT * f(u)
    second = first + DT * (1.5 * f(first) - 0.5 * f(u))
    for _ in range(2):
        torch.testing.assert_close(Autoregressive()(stepper.start(), u, 2), torch.stack([first, second], dim=1))


def test_differences_are_those_of_the_textbook() -> None:
    for at, weights in {2: (1, -8, 0, 8, -1), 0: (-25, 48, -36, 16, -3), 3: (-1, 6, -18, 10, 3)}.items():
        torch.testing.assert_close(12 * difference(5, at, 4), torch.tensor(weights, dtype=torch.float64))
    assert difference(2, 1, 1).tolist() == [-1, 1]
    torch.testing.assert_close(difference(7, 6, 2)[-3:], torch.tensor([0.5, -2, 1.5], dtype=torch.float64))
    assert difference(7, 4, 2).tolist() == [0, 0, 0, -0.5, 0, 0.5, 0]


@pytest.mark.parametrize("frames", ["centre", "all"])
def test_targets_are_rates_in_units_of_time_at_the_states_they_are_paired_with(frames: str) -> None:
    data = Oscillator(states=7, dt=0.01)
    split = data.splits()["train"].whole()
    states, rates = exact(data, frames=frames).pairs(*split)
    window = torch.cat([split.input[:, None], split.target], dim=1)
    expected = window[:, 3] if frames == "centre" else window.transpose(0, 1).flatten(0, 1)
    torch.testing.assert_close(states, expected)
    torch.testing.assert_close(rates, states @ A.mT, rtol=0, atol=1e-6)
    assert (rates - states @ A.mT).abs().max() > 1e-10  # of order 4, not exact


def test_forward_differences_and_euler_give_the_next_state_itself() -> None:
    u, target = Oscillator(states=2).splits()["train"].whole()
    states, rates = exact(order=1).pairs(u, target)
    torch.testing.assert_close(states, u)
    torch.testing.assert_close(INTEGRATORS["euler"].step(lambda _: rates, states, DT, None)[0], target[:, 0])


def test_the_loss_is_that_of_rates_and_vanishes_for_the_exact_one() -> None:
    data = Oscillator(dt=0.01)
    u, target = data.splits()["train"].whole()
    generator = torch.Generator()
    assert exact(data).loss(u, target, TeacherForced(), MeanSquare(data.periodic), generator) < 1e-12
    wrong = Rate(lambda n, m: Linear(0.5), data, NoNormalizer)
    middle = target[:, 1]
    slope = (u - 8 * target[:, 0] + 8 * target[:, 2] - target[:, 3]) / (12 * 0.01)
    expected = (0.5 * middle @ A.mT - slope).square().mean()
    torch.testing.assert_close(wrong.loss(u, target, TeacherForced(), MeanSquare(data.periodic), generator), expected)


def test_states_compared_after_forward_differences_are_those_that_the_network_of_changes_gives() -> None:
    data = Oscillator(states=2)
    u, target = data.splits()["train"].whole()
    relative, generator = RelativeL2(data.periodic), torch.Generator()
    rates = Rate(lambda n, m: Linear(0.5), data, NoNormalizer, order=1, compare="states").double()
    changes = Difference(lambda n, m: Linear(0.5 * DT), data, NoNormalizer).double()
    torch.testing.assert_close(
        rates.loss(u, target, TeacherForced(), relative, generator),
        changes.loss(u, target, TeacherForced(), relative, generator),
    )


def test_a_state_almost_at_rest_outweighs_others_only_where_rates_are_compared() -> None:
    class AtRest(Oscillator):
        def after(self, u: Tensor, time: float) -> Tensor:
            return u + time * 1e-6

    class Off(nn.Module):
        def forward(self, u: Tensor) -> Tensor:
            return torch.full_like(u, 1e-6 + 1e-3)

    data = AtRest()
    u, target = data.splits()["train"].whole()
    relative, losses = RelativeL2(data.periodic), {}
    for compare in ("rates", "states"):
        stepper = Rate(lambda n, m: Off(), data, NoNormalizer, compare=compare).double()
        losses[compare] = float(stepper.loss(u, target, TeacherForced(), relative, torch.Generator()))
    state = target[:, 1] + DT * 1e-6
    each = DT * 1e-3 * state[0].numel() ** 0.5 / state.flatten(1).norm(dim=1)
    assert losses["rates"] == pytest.approx(1e3, rel=1e-6)
    assert losses["states"] == pytest.approx(float(each.mean()), rel=1e-6)


def test_states_and_rates_are_normalised_by_training_data() -> None:
    data = Oscillator()
    train = data.splits()["train"]
    stepper = exact(data, normalizer=Normalizer)
    stepper.fit(train)
    states, rates = stepper.pairs(*train.whole())
    for normalizer, x in ((stepper.input, states), (stepper.output, rates)):
        torch.testing.assert_close(normalizer.mean, x.flatten(0, -2).mean(0))
        torch.testing.assert_close(normalizer.std, x.flatten(0, -2).std(0, correction=0))
    u = train.input
    torch.testing.assert_close(stepper.rate(u), stepper.output.decode(stepper.input.encode(u) @ A.mT))


def test_what_cannot_be_is_refused() -> None:
    u, target = Oscillator().splits()["train"].whole()
    with pytest.raises(ConfigError, match=r"there are 3; set operator.dataset.steps=4"):
        exact().pairs(u, target[:, :3])
    with pytest.raises(ConfigError, match="rollout=teacher_forced"):
        exact().loss(u, target, Autoregressive(), MeanSquare((True,)), torch.Generator())
    with pytest.raises(ConfigError, match="how much time"):
        exact(Oscillator(dt=None))
    two = Oscillator()
    two.in_channels = 4
    with pytest.raises(ConfigError, match="inputs of one state, 2 channels, not 4"):
        exact(two)
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"integrator": "rk5"}, "integrator: unknown 'rk5'"),
        ({"frames": "both"}, "frames: unknown 'both'"),
        ({"compare": "norms"}, "compare: unknown 'norms'"),
    ]
    for parameters, message in wrong:
        with pytest.raises(ConfigError, match=message):
            exact(**parameters)
    assert accepted(Rate, order=0, substeps=0) == {}
