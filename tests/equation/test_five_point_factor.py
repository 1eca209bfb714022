from __future__ import annotations

import torch

from sciml.equation.darcy import Darcy
from sciml.equation.five_point import FivePoint
from sciml.equation.five_point_factor import Factored


def test_the_operator_gives_the_right_sides_back() -> None:
    generator = torch.Generator().manual_seed(0)
    a = 3 + 9 * torch.rand(2, 8, 8, dtype=torch.float64, generator=generator)
    faces = Darcy().faces(a)
    factored, operator = Factored(*faces), FivePoint(*faces)
    own, common = (torch.randn(n, 3, 6, 6, dtype=torch.float64, generator=generator) for n in (2, 1))
    for b in (own, common):
        found = factored.solve(b)
        for k in range(3):
            torch.testing.assert_close(operator.apply(found[:, k].contiguous()), b.expand_as(found)[:, k])
