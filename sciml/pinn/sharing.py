"""A PINN step on several processes: each evaluates its share of every condition's points; see :mod:`sciml.parallel`."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.optim import LBFGS

from sciml.conflict.base import Direction
from sciml.errors import ConfigError
from sciml.optimizer.base import ObjectiveOptimizer
from sciml.parallel import check_network, check_rows, ranks
from sciml.pinn.base import Collocation, Points, Problem, Weighting
from sciml.pinn.compiled import magnitude_of
from sciml.pinn.jet import Jet


def shared_terms(problem: Problem, jet: Jet, points: Points) -> tuple[dict[str, Tensor], Tensor, Tensor]:
    """Mean squares by condition of all points, of which this rank evaluates its share: one exchange.

    Returns:
        The terms; the interior residual's magnitude at each point; and at how many points all ranks together
        evaluated the network, which the jet has not counted. The last two without graph.
    """
    group, before = ranks(), jet.evaluations
    residuals = problem.residuals(jet, {name: group.share(x) for name, x in points.items()})
    # The mean over all points, as the sum over the ranks of what each share adds to it.
    added = [r.square().mean() * (len(r) / len(points[name])) for name, r in residuals.items()]
    magnitude = magnitude_of(residuals[problem.interior].detach())
    own = [*added, added[0].new_tensor(jet.evaluations - before)]
    everywhere = group.spread(magnitude, len(points[problem.interior]))
    total = group.total(torch.cat([torch.stack(own), everywhere]))
    jet.evaluations = before
    terms = dict(zip(residuals, total[: len(added)], strict=True))
    return terms, total[len(own) :].detach(), total[len(added)].detach()


def check_parts(optimizer: Any, weighting: Weighting | Direction, collocation: Collocation) -> None:
    """Refuse what needs the residuals of all points in one process.

    Raises:
        ConfigError: One of them does; the message says which.
    """
    chosen = getattr(optimizer, "func", optimizer)
    alone = {
        chosen: isinstance(chosen, type) and issubclass(chosen, ObjectiveOptimizer | LBFGS),
        type(weighting): isinstance(weighting, Direction) or weighting.pointwise or weighting.every is not None,
        type(collocation): type(collocation).gate is not Collocation.gate,
    }
    for who, needed in alone.items():
        if needed:
            raise ConfigError(f"{who.__name__} does not work on several processes; set trainer.devices=1")


def check_points(points: Points, network: torch.nn.Module, size: int) -> None:
    """Refuse conditions with fewer points than there are processes, and networks that mix them.

    Raises:
        ConfigError: There is one.
    """
    check_rows({f"condition '{name}'": len(x) for name, x in points.items()}, size)
    check_network(network)
