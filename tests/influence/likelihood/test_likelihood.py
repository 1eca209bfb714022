from __future__ import annotations

import pytest
import torch
from torch import Tensor

from sciml.influence.base import Likelihood
from sciml.influence.curvature import seeds
from sciml.influence.likelihood.softmax import Softmax
from sciml.influence.likelihood.squared import Squared

CASES = [(Squared(), torch.randn(4, 3)), (Softmax(), torch.tensor([0, 2, 1, 2]))]


@pytest.mark.parametrize(("likelihood", "targets"), CASES)
def test_factors_are_a_root_of_the_second_derivative(likelihood: Likelihood, targets: Tensor) -> None:
    torch.manual_seed(0)
    z = 2 * torch.randn(4, 3, dtype=torch.float64)
    factors = likelihood.factors(z)
    found = torch.einsum("kna,knb->nab", factors, factors)
    for i in range(4):
        hessian = torch.func.hessian(lambda v, i=i: likelihood.loss(v[None], targets[i : i + 1].to(targets))[0])(z[i])
        torch.testing.assert_close(found[i], hessian)


@pytest.mark.parametrize(("likelihood", "targets"), CASES)
def test_samples_are_gradients_with_the_same_second_moment(likelihood: Likelihood, targets: Tensor) -> None:
    torch.manual_seed(0)
    z = torch.randn(4, 3, dtype=torch.float64)
    n = 40_000
    drawn = likelihood.sample(z, n, torch.Generator().manual_seed(0))
    moment = torch.einsum("kna,knb->nab", drawn, drawn) / n
    exact = torch.einsum("kna,knb->nab", *[likelihood.factors(z)] * 2)
    assert (moment - exact).abs().max() < 5 * 1.5 / n**0.5
    assert drawn.mean(0).abs().max() < 5 / n**0.5
    scaled = seeds("monte_carlo", likelihood, z, targets, samples=n, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(torch.einsum("kna,knb->nab", scaled, scaled), moment)


@pytest.mark.parametrize(("likelihood", "targets"), CASES)
def test_losses_are_sums_over_outputs_and_tokens_never_means(likelihood: Likelihood, targets: Tensor) -> None:
    torch.manual_seed(0)
    z = torch.randn(4, 5, 3, dtype=torch.float64)
    shape = (4, 5, 3) if targets.is_floating_point() else (4, 5)
    y = torch.randn(shape, dtype=torch.float64) if targets.is_floating_point() else torch.randint(3, shape)
    by_token = torch.stack([likelihood.loss(z[:, t], y[:, t]) for t in range(5)])
    torch.testing.assert_close(likelihood.loss(z, y), by_token.sum(0))
    factors = likelihood.factors(z)
    assert factors.shape == (15, 4, 5, 3)
    found = torch.einsum("kntc,knsd->ntcsd", factors, factors)
    for t in range(5):
        alone = torch.einsum("knc,knd->ncd", *[likelihood.factors(z[:, t])] * 2)
        torch.testing.assert_close(found[:, t, :, t], alone)
        assert found[:, t, :, (t + 1) % 5].abs().max() == 0


def test_values_by_hand() -> None:
    z = torch.tensor([[0.0, 0.0], [1.0, -1.0]])
    torch.testing.assert_close(Squared().loss(z, z + 2), torch.tensor([4.0, 4.0]))
    torch.testing.assert_close(Softmax().loss(z, torch.tensor([1, -100])), torch.tensor([2.0, 1.0]).log())
