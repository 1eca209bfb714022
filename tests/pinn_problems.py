"""Small problems for tests of the PINN family."""

from __future__ import annotations

from sciml.equation.convection import Convection
from sciml.pinn.condition import Initial, Periodic
from sciml.pinn.problem.box import Box


def convection(*, beta: float = 30.0, n_x: int = 8, n_t: int = 8) -> Box:
    """Periodic convection on grids of these sizes."""
    return Box(
        equation=Convection(beta=beta),
        conditions={"initial": Initial(n=n_x, random=False), "boundary": Periodic(n=n_t, random=False)},
        grid={"t": n_t, "x": n_x},
    )
