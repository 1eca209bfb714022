r"""Attribution of a finished run of another family: what all such tasks share.

The run is rebuilt by :func:`sciml.run.load`, the one way in which families meet; nothing of its training code is
imported. Its network becomes the model, in float64 and with complex weights as pairs of real ones; its training set
becomes the examples, each with the weight that it had in the run's own loss:

.. math:: J(\theta; w) = \sum_i w_i\,\ell_i(\theta) + \tfrac{\lambda}{2}\|\theta\|^2, \qquad w = 1 \text{ in the run.}

Influence is a derivative of an optimum, and an optimiser stops near one. Before anything is asked, the run's weights
are therefore *polished*: moved to the nearest optimum of J by :func:`sciml.influence.gauss_newton.minimise`, and so
is every training with other weights, from there. Like is compared with like, and a removal shows its own effect and
not how far the run still was from its end. ``decay`` is no part of most runs: it makes the optimum unique where the
examples leave directions of parameter space almost free, and is best so small that it changes nothing else.

Which run is meant: :mod:`sciml.finished`.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn

from sciml.average import Average
from sciml.data import cache
from sciml.errors import RunError
from sciml.finished import finished
from sciml.influence.base import Params, Task
from sciml.influence.evaluation.truth import kept
from sciml.influence.flat import unflatten
from sciml.influence.gauss_newton import Problem, Result, minimise
from sciml.influence.retraining import checksum
from sciml.linalg.woodbury import add_moments

MOST_NUMBERS = 250_000_000  # in the Jacobian, 2 GB; several copies of it are alive at a time
MOST_SUMMED = 20 * MOST_NUMBERS  # where the Jacobian is never whole: what bounds it is time
TOGETHER = 1 << 22  # entries of all Jacobians that are made at one time
VERSION = 1  # of polishing: raise it when its numbers change


def attributed(run: str, *, family: str, which: str = "last") -> LightningModule:
    """Rebuild the run that is asked about.

    Arguments, result and errors are those of :func:`sciml.finished.finished`.
    """
    other = f"choose influence/task={{family}}_run, or another run ({family}_run attributes {family} runs)"
    return finished(run, family=family, which=which, other=other)


def use_averaged(average: Average, module: nn.Module) -> None:
    """Give a module for good the averaged weights that its run was tested with."""
    with average.applied():
        averaged = {name: value.clone() for name, value in module.state_dict().items()}
    module.load_state_dict(averaged)


class RunTask(Task):
    """The network of a run, its training set as examples, and queries about it.

    A subclass sets ``n_train``, ``n_query`` and ``owner``, and writes ``losses``, ``measure`` and ``rows``.

    Args:
        network: Of the run; taken over, made float64 and frozen.
        decay: Lambda.
        tolerance: Of the gradient at an optimum, see :mod:`sciml.influence.gauss_newton`.
        max_steps: Steps that polishing, and each training, may take.

    Attributes:
        summed: There are so many rows that they are only summed up, some examples at a time (:meth:`blocks`).
        mapped: ``losses`` and ``measure`` can be mapped over parameters by torch.func.
        owner: ``(rows,)``, the example that each row of the Jacobian belongs to.
        notes: What a reader of the scores must know about the run, one line each.
        polished: What polishing did, once it is done: objective before and after, relative gradient, steps.
    """

    optimal: ClassVar[bool] = True
    summed: ClassVar[bool] = False
    mapped: ClassVar[bool] = True
    owner: Tensor
    start: Tensor

    def __init__(self, *, network: nn.Module, decay: float, tolerance: float, max_steps: int) -> None:
        super().__init__()
        self.network = network.double()
        self._applied = _Applied(self.network)
        self.decay, self.tolerance, self.max_steps = decay, tolerance, max_steps
        self.complex = {name for name, p in network.named_parameters() if p.is_complex()}
        self.notes: list[str] = []
        self.polished: dict[str, float] = {}
        for parameter in network.parameters():
            parameter.requires_grad_(False)
            if parameter.is_complex():  # which double() leaves alone
                parameter.data = parameter.data.to(torch.complex128)
        self.register_buffer("start", torch.zeros(self.d, dtype=torch.float64))

    @property
    def d(self) -> int:
        """Number of real parameters."""
        return sum(p.numel() for p in self.of_the_run().values())

    def of_the_run(self) -> Params:
        """The run's weights as real tensors."""
        named = self.network.named_parameters()
        return {name: torch.view_as_real(p) if p.is_complex() else p for name, p in named}

    def _zero(self) -> Params:
        """The run itself: no displacement."""
        return {name: torch.zeros_like(theta) for name, theta in self.of_the_run().items()}

    def using(self, params: Params, function: Any, *args: Any) -> Any:
        """``function(*args)`` while the network has the run's weights plus ``params``."""
        swapped = {}
        for name, theta in self.of_the_run().items():
            moved = theta + params[name]
            swapped[f"inner.{name}"] = torch.view_as_complex(moved) if name in self.complex else moved
        return torch.func.functional_call(self._applied, swapped, (function, *args))

    def blocks(self, params: Params) -> Iterator[Tensor]:
        yield self.rows(params).detach()

    @abstractmethod
    def rows(self, params: Params) -> Tensor:
        """The rows of :meth:`jacobian`; differentiates by itself, so that it can be mapped over many ``params``."""

    def jacobian(self, params: Params) -> Tensor:
        self.check_size(len(self.owner), type(self).__name__)
        return self.rows(params).detach()

    def differentiated(
        self, function: Callable[..., Tensor], params: Params, *examples: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Values of ``function(params, *example)`` for each example, ``(n, m)``, and their Jacobians ``(n, m, d)``."""

        def twice(params: Params, *example: Tensor) -> tuple[Tensor, Tensor]:
            found = function(params, *example)
            return found, found

        with torch.no_grad():
            numbers = function(params, *(x[0] for x in examples)).numel()
        chunk = max(1, TOGETHER // (numbers * self.d))
        dims = (None, *[0] * len(examples))
        jacobian, values = torch.func.vmap(torch.func.jacrev(twice, has_aux=True), dims, chunk_size=chunk)(
            params, *examples
        )
        return values, torch.cat([part.flatten(2) for part in jacobian.values()], dim=2)

    def check_size(self, rows: int, who: str, *, held: bool = True) -> None:
        """Raises: RunError where the Jacobian would not fit, or, where it is not held, would take too long."""
        most = MOST_NUMBERS if held else MOST_SUMMED
        if rows * self.d > most:
            raise RunError(
                f"{who}: a Jacobian of {rows} rows and {self.d} parameters has {rows * self.d:.1e} numbers, more than"
                f" {most:.1e}; attribute a smaller network, or fewer examples"
            )

    def moments(self, params: Params, weights: Tensor) -> Tensor:
        """The Gauss-Newton matrix ``(d, d)`` with weights ``(n_train,)`` of the examples, for a task that is summed."""
        total, first = weights.new_zeros(self.d, self.d), 0
        for rows in self.blocks(params):
            owner = self.owner[first : first + len(rows)]
            first += len(rows)
            add_moments(total, rows * weights[owner, None].sqrt())
        return total

    def measured(self, params: Params) -> Tensor:
        if self.mapped:
            return super().measured(params)
        runs = len(next(iter(params.values())))
        return torch.stack([self.measure({name: p[r] for name, p in params.items()}) for r in range(runs)])

    def warnings(self) -> list[str]:
        return list(self.notes)

    def fit(self, weights: Tensor, *, repeat: int = 0) -> Params:
        """Optima of the weighted objective next to the run's own; deterministic, so ``repeat`` changes nothing."""
        if not self.polished:
            self._polish()
        found = self._minimise(self.start, weights)
        like = self.of_the_run()
        return torch.func.vmap(lambda theta: unflatten(theta, like))(found.theta)

    def _polish(self) -> None:
        start = torch.zeros_like(self.start)
        ones = torch.ones(1, self.n_train).to(start)
        with torch.no_grad():
            losses = self.losses(self._zero())
        root, weights = cache.folder(), _flat(self.of_the_run())
        settings = {
            "task": type(self).__name__,
            "weights": checksum(weights),
            "losses": checksum(losses),  # whatever else they depend on
            "decay": self.decay,
            "tolerance": self.tolerance,
            "torch": str(torch.__version__),
            "device": start.device.type,
        }

        def polish() -> Tensor:
            found = self._minimise(start, ones)
            numbers = start.new_tensor([float(found.objective[0]), float(found.gradient[0]), found.steps])
            return torch.cat([found.theta[0], numbers])

        kept_at = polish() if root is None else kept(root, "polished", settings, VERSION, polish)
        theta, (objective, gradient, steps) = kept_at[:-3], kept_at[-3:].tolist()
        self.start.copy_(theta)
        self.polished = {
            "objective_of_the_run": float(losses.sum()),
            "objective_polished": objective,
            "moved": float(theta.norm() / weights.norm().cpu()),
            "relative_gradient": gradient,
            "steps": int(steps),
        }

    def _problem(self) -> Problem:
        like = self.of_the_run()
        return Problem(
            losses=lambda theta: self.losses(unflatten(theta, like)),
            rows=lambda theta: self.rows(unflatten(theta, like)),
            owner=self.owner,
            decay=self.decay,
            moments=(lambda theta, weights: self.moments(unflatten(theta, like), weights)) if self.summed else None,
            mapped=self.mapped,
        )

    def _minimise(self, start: Tensor, weights: Tensor) -> Result:
        self.check_size(len(self.owner), "influence.task", held=not self.summed)
        return minimise(self._problem(), start, weights, tolerance=self.tolerance, max_steps=self.max_steps)


class _Applied(nn.Module):
    """Holds a network, and calls what uses it."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.inner = network

    def forward(self, function: Any, *args: Any) -> Any:
        return function(*args)


def _flat(params: Params) -> Tensor:
    return torch.cat([p.reshape(-1) for p in params.values()])
