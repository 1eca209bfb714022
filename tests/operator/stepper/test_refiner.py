from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from refusals import accepted
from torch import Generator, Tensor, nn

from sciml.data.normalizer import NoNormalizer, Normalizer
from sciml.data.stream import stream
from sciml.errors import ConfigError
from sciml.network.unet import UNet
from sciml.operator.base import Dataset, Split
from sciml.operator.loss.mse import MeanSquare
from sciml.operator.rollout.autoregressive import Autoregressive
from sciml.operator.rollout.teacher_forced import TeacherForced
from sciml.operator.stepper.anchored import Anchored
from sciml.operator.stepper.balanced import Balanced
from sciml.operator.stepper.refiner import Refiner, schedule

MEAN, SPREAD = 0.7, 0.4  # of the change, given u: N(MEAN u, SPREAD²)


class Shifts(Dataset):
    """Changes that are Gaussian given the state."""

    in_channels = out_channels = 1
    grid, periodic, dt = (4,), (True,), 1.0

    def splits(self) -> dict[str, Split]:
        generator = Generator().manual_seed(0)
        u = torch.randn(50, 4, 1, generator=generator, dtype=torch.float64)
        change = MEAN * u + SPREAD * torch.randn(u.shape, generator=generator, dtype=torch.float64)
        return {"train": Split(u, (u + change)[:, None])}


class Denoiser(nn.Module):
    """The exact v of that law: y is Gaussian given u and the noised x."""

    def __init__(self, alpha: list[float], spread: float) -> None:
        super().__init__()
        self.alpha, self.spread = torch.tensor(alpha, dtype=torch.float64), spread
        self.steps: list[float] = []

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        noised, u = x.chunk(2, dim=-1)
        self.steps.append(float(condition[0]))
        a = self.alpha[(condition * (len(self.alpha) - 1) / 1000).round().long()][..., None]
        gain = a.sqrt() * self.spread**2 / (a * self.spread**2 + 1 - a)
        y = MEAN * u + gain * (noised - a.sqrt() * MEAN * u)
        return (a.sqrt() * noised - y) / (1 - a).sqrt()


class Corrector(nn.Module):
    """The same for differences from a first prediction, in units of the noise; the first one may be anything."""

    def __init__(self, alpha: list[float], spread: float, first: float = MEAN) -> None:
        super().__init__()
        self.alpha, self.spread, self.first = torch.tensor(alpha, dtype=torch.float64), spread, first

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        shown, anchor, u = x.chunk(3, dim=-1)
        k = (condition * (len(self.alpha) - 1) / 1000).round().long()[..., None]
        a = self.alpha[k]
        sigma = ((1 - a) / a.clamp_min(1e-300)).sqrt()
        y = MEAN * u + self.spread**2 / (self.spread**2 + sigma**2) * (anchor + sigma * shown - MEAN * u)
        assert bool((shown[k[:, 0, 0] == 0] == 0).all() and (anchor[k[:, 0, 0] == 0] == 0).all())
        return torch.where(k == 0, self.first * u, (y - anchor) / sigma)


def exact(spread: float, kind: type[Refiner] = Refiner, first: float = MEAN, **parameters: Any) -> Refiner:
    _, alpha = schedule(parameters.setdefault("refinements", 3), parameters.setdefault("variance", 4e-7))

    def factory(n: int, m: int, conditions: int) -> nn.Module:
        assert (n, m, conditions) == (3 if kind is Anchored else 2, 1, 1)
        return Corrector(alpha, spread, first) if kind is Anchored else Denoiser(alpha, spread)

    return kind(factory, Shifts(), NoNormalizer, **parameters)


def test_noise_falls_exponentially_to_the_last_variance() -> None:
    beta, alpha = schedule(3, 4e-7)
    assert beta == pytest.approx([1, 7.368063e-3, 5.428835e-5, 4e-7], rel=1e-6)
    assert alpha[0] == 0
    assert [1 - a for a in alpha[1:]] == pytest.approx([7.422349e-3, 5.468833e-5, 4e-7], rel=1e-5)


def test_a_law_without_spread_is_predicted_exactly_by_every_step_and_the_network_is_told_which() -> None:
    refiner = exact(0.0)
    u = torch.randn(5, 4, 1, dtype=torch.float64)
    torch.testing.assert_close(refiner.start()(u), u + MEAN * u)
    assert refiner.network.steps == pytest.approx([0, 1000 / 3, 2000 / 3, 1000])  # type: ignore[arg-type]
    assert len(refiner.network.steps) == refiner.evaluations  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", [Refiner, Anchored, Balanced])
@pytest.mark.parametrize(("refinements", "variance"), [(3, 0.05), (1, 0.2), (3, 4e-7)])
def test_moments_of_the_prediction_are_those_of_the_law_of_the_process(
    kind: type[Refiner], refinements: int, variance: float
) -> None:
    # Linear and Gaussian: x_k has mean p_k m and variance q_k, followed from step to step in closed form.
    refiner = exact(SPREAD, kind, refinements=refinements, variance=variance)
    beta, alpha = schedule(refinements, variance)
    p, q = 0.0, 0.0
    for k in range(refinements + 1):
        gain = math.sqrt(alpha[k]) * SPREAD**2 / (alpha[k] * SPREAD**2 + 1 - alpha[k])
        mean, slope = (1 - gain * math.sqrt(alpha[k])) + gain * p, gain  # E[y | x] = mean of it, and how x enters
        if k == refinements:
            break
        to_y = math.sqrt(alpha[k + 1]) * beta[k] / (1 - alpha[k])
        to_x = math.sqrt(1 - beta[k]) * (1 - alpha[k + 1]) / (1 - alpha[k])
        q = (to_y * slope + to_x) ** 2 * q + beta[k] * (1 - alpha[k + 1]) / (1 - alpha[k])
        p = to_y * mean + to_x * p
    u = torch.full((100_000, 1, 1), 2.0, dtype=torch.float64)
    change = refiner.start()(u) - u
    assert mean == pytest.approx(1)  # the posterior mean is exact whatever the noise
    spread = slope * math.sqrt(q)
    assert float(change.mean()) == pytest.approx(2 * MEAN, abs=5 * spread / math.sqrt(len(u)) + 1e-12)
    assert float(change.std()) == pytest.approx(spread, rel=0.02, abs=1e-12)


def test_the_loss_is_that_of_the_velocity_written_out() -> None:
    torch.manual_seed(0)

    def factory(n: int, m: int, conditions: int) -> nn.Module:
        return UNet(n, m, dims=1, width=4, multipliers=(1, 2), blocks=1, periodic=True, conditions=conditions)

    refiner = Refiner(factory, Shifts(), Normalizer, refinements=2, variance=1e-4).double()
    train = Shifts().splits()["train"]
    refiner.fit(train)
    u, target = train.whole()
    change = target[:, 0] - u
    torch.testing.assert_close(refiner.output.std, change.flatten().std(correction=0)[None])
    generator = Generator().manual_seed(3)
    found = refiner.loss(u, target, Autoregressive(), MeanSquare((True,)), generator)

    generator.manual_seed(3)
    k = torch.randint(3, (50,), generator=generator)
    noise = torch.randn(u.shape, generator=generator, dtype=torch.float64)
    y = (change - change.mean()) / change.std(correction=0)
    last, middle = 1 - 1e-4, (1 - 1e-4) * (1 - 1e-2)
    total = 0.0
    for i in range(50):
        a = [0.0, middle, last][k[i]]
        e = torch.zeros_like(y[i]) if k[i] == 0 else noise[i]
        x, v = math.sqrt(a) * y[i] + math.sqrt(1 - a) * e, math.sqrt(a) * e - math.sqrt(1 - a) * y[i]
        seen = torch.cat([x, refiner.input.encode(u[i])], dim=-1)
        condition = torch.tensor([[500.0 * k[i]]], dtype=torch.float64)
        total += float((refiner.network(seen[None], condition)[0] - v).detach().square().mean()) / 50
    assert float(found.detach()) == pytest.approx(total)
    assert set(k.tolist()) == {0, 1, 2}


def test_windows_of_several_states_are_single_steps_from_true_states() -> None:
    refiner = exact(SPREAD)
    u = torch.randn(6, 4, 1, dtype=torch.float64)
    states = torch.randn(6, 2, 4, 1, dtype=torch.float64)
    args = (MeanSquare((True,)),)
    together = refiner.loss(u, states, TeacherForced(), *args, Generator().manual_seed(0))
    pairs = torch.cat([u, states[:, 0]]), torch.cat([states[:, 0], states[:, 1]])[:, None]
    torch.testing.assert_close(refiner.loss(*pairs, Autoregressive(), *args, Generator().manual_seed(0)), together)
    with pytest.raises(ConfigError, match="rollout=teacher_forced"):
        refiner.loss(u, states, Autoregressive(), *args, Generator())


def test_the_exact_network_has_the_least_loss() -> None:
    # What remains for v: its variance given x and u, in step 0 that of y.
    refiner = exact(SPREAD, refinements=1, variance=0.2)
    u = torch.randn(20_000, 4, 1, dtype=torch.float64)
    target = (u + MEAN * u + SPREAD * torch.randn_like(u))[:, None]
    least = []
    for a in (0.0, 0.8):
        given = SPREAD**2 * (1 - a * SPREAD**2 / (a * SPREAD**2 + 1 - a))  # var(y | x)
        least.append(given / (1 - a))  # v = (√a x − y) / √(1 − a)
    found = refiner.loss(u, target, Autoregressive(), MeanSquare((True,)), stream("test", 0))
    assert float(found) == pytest.approx(sum(least) / 2, rel=0.03)


def test_an_anchored_refinement_corrects_whatever_was_predicted_first() -> None:
    # The law has no spread: what refines knows the change, and the first prediction and the noise drop out.
    refiner = exact(0.0, Anchored, first=MEAN + 0.3, refinements=2, variance=0.01)
    u = torch.randn(5, 4, 1, dtype=torch.float64)
    torch.testing.assert_close(refiner.start()(u), u + MEAN * u)


def test_the_loss_of_anchored_refinements_is_that_of_changes_written_out() -> None:
    torch.manual_seed(0)

    def factory(n: int, m: int, conditions: int) -> nn.Module:
        return UNet(n, m, dims=1, width=4, multipliers=(1, 2), blocks=1, periodic=True, conditions=conditions)

    refiner = Anchored(factory, Shifts(), Normalizer, refinements=2, variance=1e-4, share=0.3).double()
    train = Shifts().splits()["train"]
    refiner.fit(train)
    u, target = train.whole()
    y = refiner.output.encode(target[:, 0] - u)
    found = refiner.loss(u, target, Autoregressive(), MeanSquare((True,)), Generator().manual_seed(3))

    generator = Generator().manual_seed(3)
    k = [0] * 15 + torch.randint(1, 3, (35,), generator=generator).tolist()
    noise = torch.randn(u.shape, generator=generator, dtype=torch.float64)

    def network(shown: Tensor, anchor: Tensor, i: int, k: int) -> Tensor:
        seen = torch.cat([shown, anchor, refiner.input.encode(u[i])], dim=-1)
        return refiner.network(seen[None], torch.tensor([[500.0 * k]], dtype=torch.float64))[0]

    total, nothing = torch.zeros((), dtype=torch.float64), torch.zeros_like(y[0])
    for i in range(50):
        first = network(nothing, nothing, i, 0)
        if k[i] == 0:
            total = total + (first - y[i]).square().mean() / 50
            continue
        a = [1.0, (1 - 1e-4) * (1 - 1e-2), 1 - 1e-4][k[i]]
        sigma = math.sqrt((1 - a) / a)
        anchor = first.detach()
        shown = (y[i] + sigma * noise[i] - anchor) / sigma
        total = total + (anchor + sigma * network(shown, anchor, i, k[i]) - y[i]).square().mean() / 50
    torch.testing.assert_close(found, total)
    weights = list(refiner.network.parameters())
    for mine, written in zip(torch.autograd.grad(found, weights), torch.autograd.grad(total, weights), strict=True):
        torch.testing.assert_close(mine, written)


@pytest.mark.parametrize("conserved", [False, True])
def test_balanced_steps_have_the_mean_logarithm_of_their_losses(conserved: bool) -> None:
    refiner = exact(0.1, Balanced, refinements=2, variance=1e-2, conserved=conserved)
    u, target = Shifts().splits()["train"].whole()
    found = refiner.loss(u, target, Autoregressive(), MeanSquare((True,)), Generator().manual_seed(3))

    noise = torch.randn(u.shape, generator=Generator().manual_seed(3), dtype=torch.float64)
    if conserved:
        noise = noise - noise.sum(1, keepdim=True) / 4
    y = target[:, 0] - u
    total = 0.0
    for k, a in enumerate([0.0, (1 - 1e-2) * (1 - 1e-1), 1 - 1e-2]):
        i = list(range(k, 50, 3))
        e = noise[i] if k else torch.zeros_like(y[i])
        x, v = math.sqrt(a) * y[i] + math.sqrt(1 - a) * e, math.sqrt(a) * e - math.sqrt(1 - a) * y[i]
        condition = torch.full((len(i), 1), 500.0 * k, dtype=torch.float64)
        square = (refiner.network(torch.cat([x, u[i]], dim=-1), condition) - v).square()
        total += math.log(float(square.mean())) / 3
    assert float(found) == pytest.approx(total)


def test_where_the_mean_is_conserved_no_noise_has_one() -> None:
    refiner = exact(SPREAD, Balanced, refinements=2, variance=0.05, conserved=True)
    u = torch.randn(200, 4, 1, dtype=torch.float64)
    change = refiner.start()(u) - u - MEAN * u
    assert float(change.mean(1).abs().max()) < 1e-12  # what is predicted without noise has the law's mean
    assert float(change.std()) > 0.05


def test_predictions_repeat_and_their_noise_is_the_runs() -> None:
    refiner, u = exact(SPREAD, variance=0.05), torch.randn(3, 4, 1, dtype=torch.float64)
    torch.manual_seed(0)
    first = Autoregressive()(refiner.start(), u, 2)
    torch.randn(7)
    assert torch.equal(Autoregressive()(refiner.start(), u, 2), first)
    torch.manual_seed(1)
    assert not torch.equal(Autoregressive()(refiner.start(), u, 2), first)


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ConfigError, match="network that takes a condition"):
        Refiner(lambda n, m: nn.Identity(), Shifts(), NoNormalizer)
    for stepper in (Refiner, Balanced, Anchored):
        assert accepted(stepper, refinements=0, variance=1.0) == {}
        assert accepted(stepper, variance=0.0) == {}
    for share in (0.0, 1.0):
        assert accepted(Anchored, share=share) == {}
    few, states = torch.zeros(3, 4, 1), torch.zeros(3, 1, 4, 1)
    with pytest.raises(ConfigError, match="batch_size: 3 examples"):
        exact(SPREAD, Balanced, refinements=3).loss(few, states, Autoregressive(), MeanSquare((True,)), Generator())
    odd = Shifts()
    odd.out_channels = 2
    with pytest.raises(ConfigError, match="1 input and 2 output channels"):
        Refiner(lambda n, m, conditions: nn.Identity(), odd, NoNormalizer)
