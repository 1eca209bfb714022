r"""Proximal Bregman response: the question that damped Gauss-Newton influence answers.

A network that is not at an optimum does not answer what leaving an example out and training from the start would
do. It answers how the outputs respond when the example is pushed out while all others, and the parameters, are held
near where they are:

.. math:: \theta_{(i)} = \arg\min_\theta \sum_j D_j(\theta, \theta^s) - \ell_i(\theta)
          + \tfrac12\sum_k \delta_k(\theta_k - \theta^s_k)^2, \qquad
          D_j(\theta, \theta^s) = \ell_j(z_j) - \ell_j(z_j^s) - \nabla_z\ell_j(z_j^s)^T(z_j - z_j^s),

with :math:`z_j` the outputs of the network: the proximal Bregman response function of Bae et al. (2022), *If Influence
Functions are the Answer, Then What is the Question?*, for sums of losses and for removal. Its linearisation is
:math:`(G + \mathrm{diag}\,\delta)^{-1}\nabla\ell_i`, the damped influence where :math:`\delta` is lambda and the
damping together; the papers have one :math:`\delta` for all parameters. Per query, the response
:math:`m_q(\theta_{(i)}) - m_q(\theta^s)` is correlated with the scores of the same examples:

- ``pearson``, ``spearman``: mean over queries,
- ``scale_ratio``: slope of response against score through the origin,
- ``residual``: largest norm of a gradient that was left, relative to :math:`\|\nabla\ell_i\|`;
- ``unanswered``: examples without a response, which are left out. A squared error has no upper bound, so where an
  example is held by little else than itself it is pushed away for ever, and there is no minimum near by.

The papers minimise by Adam or SGD. Here L-BFGS, started from :math:`(G + \mathrm{diag}\,\delta)^{-1}`, goes on
in float64 until the gradient is gone: the same minimum for all examples at once, to a stated precision.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, final

import torch
from torch import Tensor

from sciml.data import cache
from sciml.data.stream import stream
from sciml.errors import ConfigError, RunError
from sciml.influence.base import NetworkTask, Params, Task
from sciml.influence.correlation import pearson, spearman
from sciml.influence.curvature import loss_gradient
from sciml.influence.evaluation.base import Evaluation, Findings
from sciml.influence.evaluation.truth import kept
from sciml.influence.flat import flatten, unflatten
from sciml.influence.retraining import checksum
from sciml.linalg.woodbury import Woodbury
from sciml.ranges import Count, NonNegative

if TYPE_CHECKING:
    from matplotlib.figure import Figure


Objective = Callable[[Tensor, Tensor], Tensor]
Inverse = Callable[[Tensor], Tensor]
MOST_LOST = 0.1  # of the examples may have no response
MEMORY = 20  # pairs of steps and changes of the gradient that are remembered


@final
class PBRF(Evaluation):
    r"""Proximal Bregman response function.

    Args:
        examples: Training examples that are pushed out one at a time, drawn from the run's seed.
        damping: delta without the task's lambda, as a multiple of the mean eigenvalue of G.
        damping_of: Whose mean eigenvalue: that of each layer's block of G, as Kronecker-factored attributors damp, or
            that of all of G, as the exact one does. An attributor is asked the question that its own damping poses.
        tolerance: Of ``residual``.
        iterations: Steps of the descent with one preconditioner.
        rounds: How often an example that needs more gets a new one, at the place it has come to, before it is
            unanswered.
        batch_size: Examples at once.
    """

    def __init__(
        self,
        *,
        examples: Count = 50,
        damping: NonNegative = 0.1,
        damping_of: Literal["layer", "all"] = "layer",
        tolerance: NonNegative = 1e-3,
        iterations: Count = 50,
        rounds: Count = 20,
        batch_size: Count = 25,
    ) -> None:
        self.examples, self.tolerance = examples, tolerance
        self.damping, self.damping_of = damping, damping_of
        self.iterations, self.rounds, self.batch_size = iterations, rounds, batch_size

    def __call__(self, task: Task, params: Params, scores: Tensor) -> Findings:
        if not isinstance(task, NetworkTask):
            raise ConfigError(
                "influence/evaluation=pbrf needs a task with a network, for instance influence/task=concrete"
            )
        chosen = torch.randperm(task.n_train, generator=stream("pbrf"))[: self.examples]
        response, residual = self._response(task, params, chosen)
        answered = residual <= self.tolerance
        lost = int((~answered).sum())
        if lost > MOST_LOST * len(chosen):
            raise RunError(
                f"proximal Bregman response: {lost} of {len(chosen)} examples have none within"
                " influence.evaluation.rounds; raise them, or influence.evaluation.damping"
            )
        response, predicted = response[:, answered], scores[:, chosen[answered]].cpu().double()
        metrics = {
            "pearson": float(pearson(predicted, response).mean()),
            "spearman": float(spearman(predicted, response).mean()),
            "scale_ratio": float((predicted * response).sum() / predicted.square().sum()),
            "residual": float(residual[answered].max()),
            "unanswered": float(lost),
        }
        return Findings(metrics, len(chosen), {"pbrf": _figure(predicted, response)})

    def _response(self, task: NetworkTask, params: Params, chosen: Tensor) -> tuple[Tensor, Tensor]:
        """Change of every measurement, ``(n_query, examples)``, and the relative gradients left, ``(examples,)``.

        The same for all attributors, so it is kept as retrained networks are.
        """
        root, identity = cache.folder(), task.identity()

        def make() -> Tensor:
            theta, residual = self._respond(task, params, chosen)
            start = {name: p.double() for name, p in params.items()}
            with torch.no_grad():
                after = torch.func.vmap(lambda t: task.measure(unflatten(t, params)))(theta)
                return torch.cat([after - task.measure(start), residual[:, None]], dim=1).cpu()

        if root is None or identity is None:
            found = make()
        else:
            settings = {"task": identity, "params": checksum(flatten(params)), "chosen": chosen.tolist()}
            settings |= {
                name: getattr(self, name) for name in ("damping", "damping_of", "tolerance", "iterations", "rounds")
            }
            found = kept(root, "bregman_response", settings, 2, make)
        return found[:, :-1].T, found[:, -1]

    def _respond(self, task: NetworkTask, params: Params, chosen: Tensor) -> tuple[Tensor, Tensor]:
        """Parameters ``(examples, d)`` that answer, and the relative gradients left, ``(examples,)``."""
        at = flatten(params)
        rows = task.jacobian(params).to(at)
        delta = task.decay + self._damping(rows, params)
        inverse = _inverse(rows, delta)

        with torch.no_grad():
            outputs = task.outputs(unflatten(at, params), task.x)
        pull = loss_gradient(task.likelihood, outputs, task.y)

        def objective(theta: Tensor, pushed: Tensor) -> Tensor:
            z = task.outputs(unflatten(theta, params), task.x)
            losses = task.likelihood.loss(z, task.y)
            bregman = losses.sum() - (pull * (z - outputs)).sum()
            return bregman - (pushed * losses).sum() + (delta / 2 * (theta - at).square()).sum()

        pushed = torch.nn.functional.one_hot(chosen.to(at.device), task.n_train).to(at)
        theta = at.repeat(len(pushed), 1)
        scale = torch.func.vmap(torch.func.grad(objective))(theta, pushed).norm(dim=1)
        parts = [
            self._descend(objective, inverse, *part)
            for part in zip(*(x.split(self.batch_size) for x in (theta, pushed, scale)), strict=True)
        ]
        theta, residual = torch.cat([part[0] for part in parts]), torch.cat([part[1] for part in parts])
        for i in (residual > self.tolerance).nonzero()[:, 0]:
            # Far from where it started, the curvature is another one.
            for _ in range(self.rounds):
                inverse = _inverse(task.jacobian(unflatten(theta[i], params)).to(at), delta)
                one = (x[i : i + 1] for x in (theta, pushed, scale))
                theta[i], residual[i] = (x[0] for x in self._descend(objective, inverse, *one))
                if residual[i] <= self.tolerance:
                    break
        return theta, residual

    def _damping(self, rows: Tensor, params: Params) -> Tensor:
        """Delta of each parameter without lambda, ``(d,)``."""
        square = rows.square().sum(0)
        if self.damping_of == "all":
            return (self.damping * square.mean()).expand_as(square)
        layers = [name.rpartition(".")[0] for name in params]
        owner = torch.tensor([layers.index(layer) for layer in layers]).to(rows.device)
        owner = owner.repeat_interleave(torch.tensor([p.numel() for p in params.values()]).to(rows.device))
        mean = torch.zeros(len(layers)).to(rows).scatter_reduce(0, owner, square, "mean", include_self=False)
        return self.damping * mean[owner]

    def _descend(
        self, objective: Objective, inverse: Inverse, theta: Tensor, pushed: Tensor, scale: Tensor
    ) -> tuple[Tensor, Tensor]:
        """L-BFGS from ``theta`` on, and the relative gradient that is left: ``(runs, d)`` and ``(runs,)``."""
        slope = torch.func.vmap(torch.func.grad_and_value(objective))
        found, residual, active = theta.clone(), torch.zeros_like(scale), torch.arange(len(theta))
        gradient, value = slope(theta, pushed)
        rounding = 1e-13 * value.abs()
        step, pairs = torch.ones_like(value), []
        for _ in range(self.iterations):
            direction = _direction(gradient, inverse, pairs)
            trial = theta - step[:, None] * direction
            new_gradient, new_value = slope(trial, pushed[active])
            better = new_value <= value - 1e-4 * step * (gradient * direction).sum(1) + rounding[active]
            taken = better[:, None].to(theta)  # a run that stays where it is leaves a pair of zeros
            pairs.append((taken * (trial - theta), taken * (new_gradient - gradient)))
            theta, gradient = theta + pairs[-1][0], gradient + pairs[-1][1]
            value = torch.where(better, new_value, value)
            step = torch.where(better, torch.ones_like(step), step / 2)
            found[active], residual[active] = theta, gradient.norm(dim=1) / scale[active]
            keep = residual[active] > self.tolerance
            if not bool(keep.any()):
                break
            active, theta, gradient, value, step = (x[keep] for x in (active, theta, gradient, value, step))
            pairs = [(s[keep], y[keep]) for s, y in pairs[-MEMORY:]]
        return found, residual


def _inverse(rows: Tensor, delta: Tensor) -> Inverse:
    """Of ``R^T R + diag(delta)``."""
    root = delta.rsqrt()
    unit = Woodbury(rows * root, 1.0)
    return lambda v: root * unit.solve(root * v)


def _direction(gradient: Tensor, inverse: Inverse, pairs: list[tuple[Tensor, Tensor]]) -> Tensor:
    """The two loops of L-BFGS (Nocedal and Wright 2006, algorithm 7.4) for each run, from ``inverse`` on."""
    q, kept = gradient, []
    for s, y in reversed(pairs):
        product = (s * y).sum(1)
        rho = torch.where(product > 0, 1 / product, torch.zeros_like(product))[:, None]
        alpha = rho * (s * q).sum(1, keepdim=True)
        q = q - alpha * y
        kept.append((s, y, rho, alpha))
    r = inverse(q)
    for s, y, rho, alpha in reversed(kept):
        r = r + s * (alpha - rho * (y * r).sum(1, keepdim=True))
    return r


def _figure(predicted: Tensor, response: Tensor) -> Figure:
    """Predicted against actual response, for the first queries."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.5, 4), layout="constrained")
    axes = figure.add_subplot(xlabel="proximal Bregman response of the query's loss", ylabel="score")
    for scores, actual in zip(predicted[:5], response[:5], strict=True):
        axes.plot(actual, scores, ".", markersize=4)
    # A few examples move a query a thousand times as far as most do: straight near zero, logarithmic beyond.
    near = max(10 * float(response[:5].abs().median()), 1e-12)
    axes.set_xscale("symlog", linthresh=near, linscale=2)
    axes.set_yscale("symlog", linthresh=near, linscale=2)
    axes.tick_params(axis="x", labelrotation=45)
    reach = float(response[:5].abs().max())
    axes.plot([-reach, 0, reach], [-reach, 0, reach], "k", linewidth=0.8)
    return figure
