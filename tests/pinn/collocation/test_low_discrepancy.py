"""Even points: the boxes that each construction fills with exactly one point, however it is randomised."""

from __future__ import annotations

import math

import pytest
import torch
from pinn_problems import convection
from torch import Tensor

from sciml.network.mlp import MLP
from sciml.pinn.collocation.halton import Halton, _column, primes
from sciml.pinn.collocation.lhs import LatinHypercube
from sciml.pinn.collocation.low_discrepancy import LowDiscrepancy
from sciml.pinn.collocation.sobol import Sobol
from sciml.pinn.jet import Jet

PROBLEM = convection(n_x=8, n_t=8)
JET = Jet(MLP(2, 1, width=2, depth=1))


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def counts(unit: Tensor, boxes: tuple[int, ...]) -> Tensor:
    """How many points lie in each of ``boxes[j]`` equal intervals along input j."""
    cells = (unit * torch.tensor(boxes)).floor().long()
    index = torch.zeros(len(unit), dtype=torch.long)
    for column, number in zip(cells.T, boxes, strict=True):
        index = index * number + column
    return torch.bincount(index, minlength=math.prod(boxes))


def test_latin_hypercube_has_one_point_in_each_strip() -> None:
    unit = LatinHypercube().unit(50, 3, seeded())
    for axis in range(3):
        boxes = [1, 1, 1]
        boxes[axis] = 50
        assert (counts(unit, tuple(boxes)) == 1).all()
    within = (unit * 50) % 1
    assert within.min() < 0.1
    assert within.max() > 0.9
    assert abs(torch.corrcoef(unit.T)[0, 1]) < 4 / 50**0.5


def test_sobol_is_a_net_in_base_2() -> None:
    unit = Sobol().unit(64, 2, seeded(1))
    for m in range(7):
        assert (counts(unit, (2**m, 2 ** (6 - m))) == 1).all(), "one point in every elementary interval"


def test_halton_fills_boxes_of_its_bases() -> None:
    unit = Halton().unit(2**3 * 3**2 * 5, 3, seeded(2))
    assert (counts(unit, (8, 9, 5)) == 1).all()
    assert primes(5) == [2, 3, 5, 7, 11]


def test_halton_without_permutations_is_the_sequence() -> None:
    qmc = pytest.importorskip("scipy.stats.qmc")
    expected = torch.from_numpy(qmc.Halton(3, scramble=False).random(100))
    torch.testing.assert_close(torch.stack([_column(100, base, None) for base in (2, 3, 5)], dim=1), expected)


@pytest.mark.parametrize("rule", [LatinHypercube(), Sobol(), Halton()], ids=lambda rule: type(rule).__name__)
def test_each_point_alone_is_uniform(rule: LowDiscrepancy) -> None:
    """The first point over many randomisations: Kolmogorov-Smirnov, 0.1 % level."""
    generator = seeded(3)
    first = torch.stack([rule.unit(8, 2, generator)[0] for _ in range(200)])
    steps = torch.arange(1, 201, dtype=torch.float64) / 200
    for column in first.T:
        assert (column.sort().values - steps).abs().max() < 1.95 / 200**0.5


@pytest.mark.parametrize("kind", [LatinHypercube, Sobol, Halton])
def test_points_fill_the_domain_and_move_as_they_are_told(kind: type[LatinHypercube | Sobol | Halton]) -> None:
    uniform = PROBLEM.draw(32, seeded(4)).float()
    fixed, moving = kind(every=None), kind(every=1)
    first = fixed.start(PROBLEM, uniform, seeded(5))
    expected = PROBLEM.place(fixed.unit(32, 2, seeded(5))).float()
    assert torch.equal(first, expected)
    assert not fixed.moves
    assert torch.equal(fixed(PROBLEM, JET, first, torch.rand(32), seeded(6)), first)
    assert moving.moves
    assert torch.equal(moving(PROBLEM, JET, first, torch.rand(32), seeded(5)), expected)
