from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from denoisers import trained
from refusals import accepted

from sciml.data.stream import normal, stream
from sciml.diffusion.error_covariance import ErrorCovariance
from sciml.diffusion.guidance.moment_matching import MomentMatching
from sciml.diffusion.levels import Karras
from sciml.diffusion.measurement.points import Points
from sciml.diffusion.prior import learned
from sciml.diffusion.prior.gaussian import Gaussian
from sciml.diffusion.prior.learned import Learned
from sciml.diffusion.sampler.dpmpp_2m import DPMpp2M
from sciml.diffusion.solver.guided import Guided
from sciml.errors import ConfigError, UsageError

SHAPE = (6, 2)


@pytest.fixture(autouse=True)
def a_finished_run(monkeypatch: pytest.MonkeyPatch) -> None:
    def finished(run: str, *, family: str, which: str) -> Any:
        assert (family, which) == ("diffusion", "best")
        return trained(SHAPE, 256) if run == "denoiser" else torch.nn.Identity()

    monkeypatch.setattr(learned, "finished", finished)


def build(**parameters: Any) -> Learned:
    return Learned(**({"run": "denoiser", "shape": SHAPE, "rank": 12} | parameters))


def test_with_the_exact_network_it_is_the_exact_prior() -> None:
    """Its moments, and what a solver makes of them."""
    prior, exact = build(), Gaussian(shape=SHAPE, mean=0.7)
    x = exact.sample(3, stream("x", 0))
    for sigma in (0.05, 1.0, 20.0, math.inf):
        found, expected = prior.posterior(x, sigma), exact.posterior(x, sigma)
        torch.testing.assert_close(found.mean, expected.mean, rtol=1e-10, atol=1e-10)
        assert found.covariance is not None
        assert expected.covariance is not None
        torch.testing.assert_close(found.covariance.dense(x[0]), expected.covariance.dense(x[0]), rtol=1e-6, atol=1e-9)
    measurement = Points(shape=SHAPE, sensors=4, noise_std=0.1)
    y = measurement(x) + 0.1 * normal((3, 4), stream("noise", 0), x)
    solver = Guided(sampler=DPMpp2M(levels=Karras(steps=10)), guidance=MomentMatching())
    draws = [solver(y, measurement, p, (3, *SHAPE), stream("solver", 0)) for p in (prior, exact)]
    torch.testing.assert_close(*draws, rtol=1e-5, atol=1e-6)


def test_the_network_computes_in_its_own_precision() -> None:
    prior = build()
    x = prior.sample(2, stream("x", 0))
    before = prior.posterior(x, 0.5).mean
    prior.denoiser.network.float()
    after = prior.posterior(x, 0.5).mean
    assert after.dtype == x.dtype == torch.float64
    torch.testing.assert_close(after, before, rtol=1e-5, atol=1e-5)
    assert not torch.equal(after, before)


def test_the_average_of_the_weights_is_taken_and_the_run_left_alone() -> None:
    run = trained(SHAPE, 256)
    buffer = next(run.average.buffers())
    buffer.fill_(2.0)
    try:
        taken, kept = (list(d.network.parameters()) for d in (build().denoiser, run.denoiser))
        assert (taken[0].item(), kept[0].item()) == (2.0, 1.0)
    finally:
        buffer.fill_(1.0)


def test_truths_come_from_the_test_split_and_examples_from_that_of_training() -> None:
    prior, splits = build(), trained(SHAPE, 256).dataset.splits()
    for draw, name in ((prior.sample, "test"), (prior.examples, "train")):
        x = draw(256, stream("draw", 0))
        assert not torch.equal(x, splits[name])  # in another order
        assert {tuple(v) for v in x.flatten(1).tolist()} == {tuple(v) for v in splits[name].flatten(1).tolist()}
        with pytest.raises(ConfigError, match=f"the {name} split of the prior's dataset has 256 fields, not the 257"):
            draw(257, stream("draw", 0))


def test_without_a_covariance_it_says_so() -> None:
    prior = build(covariance=None)
    assert not prior.has_covariance
    assert prior.posterior(torch.zeros(1, *SHAPE, dtype=torch.float64), 1.0).covariance is None


@pytest.mark.parametrize(
    ("parameters", "error", "message"),
    [
        ({"run": "reconstruction"}, UsageError, "choose a run that trained a denoiser"),
        ({"shape": (6, 1)}, ConfigError, r"\[6, 1\]; the fields of the prior's dataset are \[6, 2\]"),
    ],
)
def test_what_cannot_be_is_said(parameters: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        build(**parameters)


def test_a_rank_beyond_the_data_is_refused() -> None:
    with pytest.raises(ConfigError, match="rank is 13; the training fields allow at most 12"):
        build(rank=13).posterior(torch.zeros(1, *SHAPE, dtype=torch.float64), 1.0)


def test_the_covariance_of_the_network_is_its_derivative() -> None:
    """With the exact network that of the exact prior, a backward pass each, and none of the caller's gradients lost."""
    prior, exact = build(covariance="network"), Gaussian(shape=SHAPE, mean=0.7)
    x = exact.sample(3, stream("x", 0))
    mean, covariance = prior.posterior(x, 0.5)
    assert covariance is not None
    assert not covariance.symmetric  # of a network that has learned
    assert not mean.requires_grad
    v = exact.sample(3, stream("v", 0))
    expected = exact.posterior(x, 0.5)
    assert expected.covariance is not None
    torch.testing.assert_close(covariance.matvec(v), expected.covariance.matvec(v))
    torch.testing.assert_close(covariance.matvec(v), expected.covariance.matvec(v))  # as often as one likes
    assert prior.backwards == 2
    x.requires_grad_()
    (gradient,) = torch.autograd.grad((prior.posterior(x, 0.5).mean * v).sum(), x)
    torch.testing.assert_close(0.25 * gradient, expected.covariance.matvec(v))
    with torch.no_grad():
        assert not prior.posterior(x, 0.5).mean.requires_grad


def test_the_covariance_of_the_errors_is_that_of_the_exact_prior_but_for_their_number() -> None:
    """Over 256 errors and their products with observed entries, in units of their sampling error."""
    prior, exact = build(covariance="errors", fields=256), Gaussian(shape=SHAPE, mean=0.7)
    for sigma in (0.3, 3.0):
        covariance, expected = (p.posterior(exact.sample(1, stream("x", 0)), sigma).covariance for p in (prior, exact))
        assert covariance is not None
        assert expected is not None
        like = torch.zeros(SHAPE, dtype=torch.float64)
        found, right = covariance.dense(like), expected.dense(like)
        spread = ((right.square() + right.diagonal()[:, None] * right.diagonal()) / 256).sqrt()
        assert ((found - right) / spread).abs().max() < 5
        assert covariance.shared


def test_each_error_stands_for_its_eight_images() -> None:
    errors = torch.randn(5, 4, 4, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    covariance = ErrorCovariance(lambda: errors, dihedral=True, closed=False)
    images = [torch.rot90(e, k, (1, 2)) for e in (errors, errors.flip(1)) for k in range(4)]
    rows = torch.cat(images).flatten(1)
    torch.testing.assert_close(covariance.dense(errors[0]), rows.T @ rows / 40)


def test_what_is_out_of_range_is_refused() -> None:
    assert accepted(Learned, rank=-1, fields=1, covariance="jacobian") == {}
