"""How a solution of a PINN problem is judged: errors on the evaluation grid, and the residual beside it."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from sciml.data.stream import stream
from sciml.equation.operator import Operator
from sciml.errors import ConfigError
from sciml.given import given
from sciml.metric import max_error, relative_l2
from sciml.pinn.base import Points, Problem
from sciml.pinn.jet import Jet
from sciml.taylor import Unsupported

if TYPE_CHECKING:
    from matplotlib.figure import Figure


# Held-out residual (mean square) over the training residual at the end above which a row carries a warning.
# A network that solves the equation between its points stays near 1 (below 1 where the points gather at large
# residuals); one that meets it at its points only reaches hundreds.
ALARM = 10.0


def grid(problem: Problem) -> Tensor:
    """The evaluation grid as points (n, d), float64, the last axis fastest."""
    return torch.cartesian_prod(*problem.axes.values()).reshape(-1, problem.in_features)


def own_points(points: Any, problem: Problem, like: nn.Module) -> Tensor:
    """A user's points ``(n, inputs)``, of a module's precision and on its device.

    Raises:
        ValueError: The points have another shape, or a number is not finite.
    """
    x, inputs = given(points, like), problem.in_features
    if x.ndim != 2 or x.shape[1] != inputs:
        names = ", ".join(problem.axes)
        raise ValueError(f"points have the shape {tuple(x.shape)}, expected (n, {inputs}): {names}")
    return x


def check_derivatives(problem: Problem, network: nn.Module, points: Points, *, mode: str) -> None:
    """Refuse a network that cannot be what a problem asks for, before anything is trained.

    Args:
        problem: What is to be solved.
        network: The field; it is not changed.
        points: Some points by condition, in its dtype.
        mode: Of the jet.

    Raises:
        ConfigError: Its values have another shape than the unknowns, or it is not as often differentiable as the
            residuals need: a ReLU network, say, has no second derivative.
    """
    # At other parameters: a network may well be constant or linear where it starts.
    probe = copy.deepcopy(network)
    generator, name = torch.Generator().manual_seed(0), type(network).__name__
    with torch.no_grad():
        for p in probe.parameters():
            p += 0.3 * torch.randn(p.shape, generator=generator, dtype=p.dtype).to(p.device)
    x = points[problem.interior]
    try:
        with torch.no_grad():
            u = probe(x)
    except RuntimeError as error:
        raise ConfigError(f"the network {name} does not take {x.shape[1]} inputs of {x.dtype}: {error}") from error
    if u.shape != (len(x), problem.out_features):
        raise ConfigError(
            f"the network {name} returns {tuple(u.shape)} for {len(x)} points; the problem has"
            f" {problem.out_features} unknowns ({', '.join(problem.outputs)})"
        )
    jet = _Recorder(probe, mode=mode)
    try:
        with torch.no_grad():
            problem.residuals(jet, points)
    except (Unsupported, RuntimeError) as error:
        raise ConfigError(f"the residuals cannot be taken of the network {name}: {error}") from error
    if jet.vanishing:
        raise ConfigError(
            f"the residual asks for {jet.vanishing[0]}, which is zero everywhere for the network {name};"
            " it needs a smooth activation, such as tanh"
        )


class _Recorder(Jet):
    """Notes the operators of second and higher order whose result is exactly zero."""

    def __init__(self, network: nn.Module, *, mode: str) -> None:
        super().__init__(network, mode=mode)
        self.vanishing: list[Operator] = []

    def derivatives(self, x: Tensor, *operators: Operator) -> tuple[Tensor, ...]:
        found = super().derivatives(x, *operators)
        pairs = zip(operators, found[1:], strict=True)
        self.vanishing += [one for one, value in pairs if min(map(len, one.terms)) > 1 and not value.any()]
        return found


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
        no training set. Without a reference, in place of the errors ``residual_<condition>`` of each condition.
    """
    points = problem.sample(n, stream("pinn/test", 0))
    asked = [problem.interior] if problem.known else [*points]
    with torch.no_grad():
        residuals = problem.residuals(jet, {name: points[name].to(like) for name in asked})
    left = {name: float(residual.double().square().mean().sqrt()) for name, residual in residuals.items()}
    interior = left.pop(problem.interior)
    if not problem.known:
        return {"residual": interior, **{f"residual_{name}": value for name, value in left.items()}}
    x = grid(problem)
    with torch.no_grad():
        prediction, reference = jet(x.to(like)).cpu(), problem.reference(x)
    return {
        "rel_l2": relative_l2(prediction, reference),
        "max_error": max_error(prediction, reference),
        "residual": interior,
    }


def propagation_failure(problem: Problem, jet: Jet, trained: Tensor, unseen: Tensor) -> list[str]:
    """A warning if the network meets the equation at its training points only; else nothing.

    Args:
        problem: What was to be solved.
        jet: The solution.
        trained: The interior points (n, d) that the last step was taken at.
        unseen: Interior points (m, d) that were never trained on.
    """
    interior = problem.interior
    with torch.no_grad():
        at_trained, at_unseen = (
            float(problem.residuals(jet, {interior: x})[interior].square().mean()) for x in (trained, unseen)
        )
    if at_unseen <= ALARM * at_trained:
        return []
    message = (
        f"PROPAGATION FAILURE LIKELY: the interior residual (mean square) is {at_unseen:.2g} on held-out points and "
        f"{at_trained:.2g} on the training points; more points, or a collocation that moves them, would help"
    )
    return [message]


def solution_figures(problem: Problem, jet: Jet, like: Tensor, points: Tensor | None = None) -> dict[str, Figure]:
    """Solution, reference and error of every unknown, for problems with two inputs; nothing for others.

    Without a reference the size of the interior residual stands in place of the error.

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
        prediction = jet(x.to(like)).cpu().double()
        reference = problem.reference(x) if problem.known else None
        left = None if problem.known else problem.residuals(jet, {problem.interior: x.to(like)})[problem.interior]
    found = {}
    for m, (name, p) in enumerate(zip(problem.outputs, prediction.unbind(-1), strict=True)):
        panels = {f"{name}, network": p}
        if reference is not None:
            panels |= {f"{name}, reference": reference[:, m], f"|error of {name}|": (p - reference[:, m]).abs()}
        elif left is not None:
            panels["|residual|"] = left.cpu().double().reshape(len(x), -1).norm(dim=1)
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
