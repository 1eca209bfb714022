"""How a solution of a PINN problem is judged: errors on the evaluation grid, and the residual beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from sciml.data.stream import stream
from sciml.metric import max_error, relative_l2
from sciml.pinn.base import Problem
from sciml.pinn.jet import Jet

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def grid(problem: Problem) -> Tensor:
    """The evaluation grid as points (n, d), float64, the last axis fastest."""
    return torch.cartesian_prod(*problem.axes.values()).reshape(-1, problem.in_features)


def errors(problem: Problem, jet: Jet, like: Tensor, *, n: int) -> dict[str, float]:
    """Final metrics of a solution.

    Args:
        problem: What was to be solved.
        jet: The solution.
        like: Dtype and device in which the solution is evaluated.
        n: Number of points of the residual.

    Returns:
        ``rel_l2`` and ``max_error`` on the evaluation grid, each unknown in its own unit, and ``residual``, the
        root mean square of the interior residual on ``n`` uniform points that are the same in every run and in
        no training set.
    """
    x = grid(problem)
    with torch.no_grad():
        prediction, reference = jet(x.to(like)).cpu(), problem.reference(x)
        points = problem.sample(n, stream("pinn/test", 0))[problem.interior].to(like)
        residual = problem.residuals(jet, {problem.interior: points})[problem.interior]
    return {
        "rel_l2": relative_l2(prediction, reference),
        "max_error": max_error(prediction, reference),
        "residual": float(residual.double().square().mean().sqrt()),
    }


def solution_figures(problem: Problem, jet: Jet, like: Tensor, points: Tensor | None = None) -> dict[str, Figure]:
    """Solution, reference and error of every unknown, for problems with two inputs; nothing for others.

    Args:
        problem: What was to be solved.
        jet: The solution.
        like: Dtype and device in which the solution is evaluated.
        points: Interior points (n, 2) to draw over the error.
    """
    if problem.in_features != 2:
        return {}
    from sciml.figure import heatmaps

    x = grid(problem)
    shape = [len(axis) for axis in problem.axes.values()]
    with torch.no_grad():
        prediction, reference = jet(x.to(like)).cpu().double(), problem.reference(x)
    found = {}
    for name, p, r in zip(problem.outputs, prediction.unbind(-1), reference.unbind(-1), strict=True):
        panels = {f"{name}, network": p, f"{name}, reference": r, f"|error of {name}|": (p - r).abs()}
        error = [*panels][-1]
        if points is not None:
            # The error once bare and once under the points, which would hide it.
            panels["collocation points"] = panels[error]
        found[name] = heatmaps(
            {title: values.reshape(shape) for title, values in panels.items()},
            *problem.axes.items(),
            errors=(error, "collocation points"),
            marks={} if points is None else {"collocation points": points},
        )
    return found
