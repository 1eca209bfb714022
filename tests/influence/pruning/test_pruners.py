"""Pruners against naive transcriptions, and what all of them promise. They are found by their configs."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from refusals import accepted
from torch import Tensor, nn

from sciml.data.labelled import Examples
from sciml.influence.pruning.base import Pruner, Weights, schedule, without_lowest
from sciml.influence.pruning.diagonal import Diagonal
from sciml.influence.pruning.magnitude import Magnitude
from sciml.influence.pruning.mfac import MFAC

FOLDER = Path(str(files("sciml.conf"))) / "influence/pruner"
NAMES = sorted(path.stem for path in FOLDER.glob("*.yaml"))


def model() -> Weights:
    """Of a network with 35 weights, in float64."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3)).double()
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(40, 4, dtype=torch.float64, generator=generator)
    return Weights(network, Examples(x, x[:, :3].argmax(1)), torch.Generator().manual_seed(2))


def start() -> tuple[Weights, Tensor, Tensor]:
    """Weights of which five are gone already."""
    seen = model()
    mask = torch.ones(35, dtype=torch.bool)
    mask[[0, 7, 8, 20, 34]] = False
    return seen, seen.flat() * mask, mask


def inverse_fisher(rows: Tensor, damping: float, block_size: int | None) -> Tensor:
    """The paper's static algorithm: the inverse by one gradient after the other, kept in square blocks."""
    m, d = rows.shape
    size = block_size or d
    inverse = torch.zeros(d, d, dtype=torch.float64)
    for first in range(0, d, size):
        block = rows[:, first : first + size]
        own = torch.eye(block.shape[1], dtype=torch.float64) / damping
        for g in block:
            v = own @ g
            own = own - torch.outer(v, v) / (m + g @ v)
        inverse[first : first + size, first : first + size] = own
    return inverse


@pytest.mark.parametrize("block_size", [None, 7, 1])
@pytest.mark.parametrize("m", [6, 50])
def test_mfac_is_brain_surgery_weight_by_weight(m: int, block_size: int | None) -> None:
    seen, weights, mask = start()
    kept, gone = mask.nonzero()[:, 0].tolist(), (~mask).nonzero()[:, 0].tolist()
    new, thinned = MFAC(gradients=m, batch_size=4, damping=1e-3, block_size=block_size)(seen, weights, mask, 12)
    rows = start()[0].gradients(weights, m, 4)  # the same batches
    inverse = inverse_fisher(rows[:, kept], 1e-3, block_size)
    saliency = {i: float(weights[i] ** 2 / (2 * inverse[k, k])) for k, i in enumerate(kept)}
    dropped = sorted(kept, key=lambda i: saliency[i])[: len(kept) - 12]
    expected = weights.clone()
    for i in dropped:
        k = kept.index(i)
        expected[kept] -= weights[i] / inverse[k, k] * inverse[:, k]
    expected[dropped] = 0
    assert (~thinned).nonzero()[:, 0].tolist() == sorted(dropped + gone)
    torch.testing.assert_close(new, expected)


def test_the_diagonal_is_mfac_with_blocks_of_one() -> None:
    settings = {"gradients": 9, "batch_size": 4, "damping": 1e-3}
    seen, weights, mask = start()
    one = MFAC(**settings, block_size=1)(seen, weights, mask, 12)  # type: ignore[arg-type]
    seen, weights, mask = start()
    other = Diagonal(**settings)(seen, weights, mask, 12)  # type: ignore[arg-type]
    assert torch.equal(one[1], other[1])
    torch.testing.assert_close(one[0], other[0])


def test_without_curvature_mfac_is_magnitude() -> None:
    seen, weights, mask = start()
    one = MFAC(gradients=4, batch_size=4, damping=1e9, block_size=None)(seen, weights, mask, 12)
    other = Magnitude()(seen, weights, mask, 12)
    assert torch.equal(one[1], other[1])
    torch.testing.assert_close(one[0], other[0])


def test_a_quadratic_loses_what_the_statistic_says() -> None:
    """Along one pruned weight, half of w H w in the model of which the inverse is taken."""
    seen, weights, mask = start()
    keep = int(mask.sum()) - 1
    new, thinned = MFAC(gradients=20, batch_size=4, damping=1e-3, block_size=None)(seen, weights, mask, keep)
    rows = start()[0].gradients(weights, 20, 4)[:, mask]
    fisher = rows.T @ rows / 20 + 1e-3 * torch.eye(30, dtype=torch.float64)
    change = (new - weights)[mask]
    gone = int((mask & ~thinned).nonzero())
    saliency = weights[gone] ** 2 / (2 * torch.linalg.inv(fisher)[int(mask[:gone].sum()), int(mask[:gone].sum())])
    torch.testing.assert_close(change @ fisher @ change / 2, saliency)


@pytest.fixture(params=NAMES)
def pruner(request: pytest.FixtureRequest) -> Pruner:
    return instantiate(OmegaConf.load(FOLDER / f"{request.param}.yaml"), _convert_="all")


def test_every_pruner_prunes_to_the_number_and_revives_nothing(pruner: Pruner) -> None:
    seen, weights, mask = start()
    before = weights.clone()
    for keep in (20, 20, 3):
        weights, new = pruner(seen, weights, mask, keep)
        assert weights.dtype == torch.float64
        assert not (new & ~mask).any()
        if pruner.prunes:
            assert int(new.sum()) == keep
            assert torch.equal(weights != 0, new)
        else:
            assert torch.equal(weights, before)
        mask = new


def test_gradients_are_those_of_the_mean_loss_of_different_batches() -> None:
    seen = model()
    rows = seen.gradients(seen.flat(), 10, 4)
    assert seen.gradients_taken == 10
    generator = torch.Generator().manual_seed(2)
    order = torch.randperm(40, generator=generator)
    again, weights = model(), seen.flat().requires_grad_()
    for k, index in enumerate(order.split(4)):
        loss = again.loss(weights, seen._train.x[index], seen._train.y[index])
        torch.testing.assert_close(rows[k], torch.autograd.grad(loss, weights)[0])


def test_the_schedule_takes_the_same_share_in_each_step_and_ends_at_the_sparsity() -> None:
    assert schedule(1000, 0.9, 1) == [100]
    assert schedule(10000, 0.99, 2) == [1000, 100]
    assert schedule(10, 0.0, 3) == [10, 10, 10]


def test_of_equal_scores_the_later_weights_stay() -> None:
    mask = torch.tensor([True, False, True, True])
    assert without_lowest(torch.zeros(3), mask, 1).tolist() == [False, False, False, True]


def test_what_is_out_of_range_is_refused() -> None:
    assert accepted(MFAC, gradients=0, damping=0, block_size=0) == {}
