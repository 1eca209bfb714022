"""Training a physics-informed neural network: min_θ Σ_c λ_c mean_{x ∈ P_c} |R_c[u_θ](x)|² over the conditions c.

Source: Raissi, Perdikaris and Karniadakis, "Physics-informed neural networks", Journal of Computational
Physics 378 (2019), doi:10.1016/j.jcp.2018.10.045. One step: residuals of all conditions at their points, the
weighted loss, the interior points of the next step from the same residuals, the optimiser step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, Literal, cast

import torch
from torch import Generator, Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from sciml.conflict.base import Direction, put_direction
from sciml.data.stream import stream
from sciml.errors import ConfigError
from sciml.given import numbers
from sciml.loop import step_with
from sciml.optimizer.base import ObjectiveOptimizer
from sciml.parallel import ranks
from sciml.pinn.base import Collocation, Points, Problem, Weighting
from sciml.pinn.compiled import CompiledStep, Mode, magnitude_of
from sciml.pinn.evaluation import check_derivatives, errors, own_points, propagation_failure, solution_figures
from sciml.pinn.jet import Jet
from sciml.pinn.objective import PinnObjective
from sciml.pinn.sharing import check_parts, check_points, shared_terms
from sciml.ranges import Count
from sciml.trained import Trained, check_slots

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.figure import Figure

Terms = dict[str, Tensor]


class Pinn(Trained):
    """A network trained on the residuals of a problem.

    Args:
        problem: Equation, conditions and reference.
        network: Called with the dimensions of domain and solution.
        collocation: Picks the interior points of each step.
        weighting: Weighs the loss terms, or makes one direction of their gradients.
        optimizer: Called with the parameters.
        scheduler: Called with the optimiser; stepped once an optimiser step.
        n_points: Interior points of a step.
        log_every: Steps between two records of the loss terms.
        val_every: Steps between two evaluations of the held-out loss, a multiple of ``log_every``.
        n_val: Interior points of the held-out loss and of the final residual.
        compile: Whether a training step is compiled, see :class:`sciml.pinn.compiled.CompiledStep`.
        derivatives: ``taylor``, ``nested`` or ``auto``, see :class:`sciml.pinn.jet.Jet`.

    Raises:
        ConfigError: A slot is empty, a condition has no points, ``val_every`` is no multiple of ``log_every``, or the
            network cannot be what the problem asks for.
    """

    def __init__(
        self,
        *,
        problem: Problem,
        network: Callable[[int, int], nn.Module],
        collocation: Collocation,
        weighting: Weighting | Direction,
        optimizer: Callable[[Iterable[nn.Parameter]], Optimizer],
        scheduler: Callable[[Optimizer], LRScheduler] | None = None,
        n_points: Count = 1000,
        log_every: Count = 100,
        val_every: Count = 500,
        n_val: Count = 5000,
        compile: Mode = "auto",  # noqa: A002 - what torch calls it
        derivatives: Literal["auto", "taylor", "nested"] = "auto",
    ) -> None:
        super().__init__(optimizer=optimizer, scheduler=scheduler, log_every=log_every, val_every=val_every)
        check_slots("pinn", network=network, optimizer=optimizer)
        self.problem, self.collocation, self.weighting = problem, collocation, weighting
        self.network = problem.field(network)
        self.n_val = n_val
        self.derivatives: str = derivatives
        self.compile_mode: Mode = compile
        self.jet = self._jet()
        self.backward_passes, self.steps = 0, 0
        self._evaluations = torch.zeros((), dtype=torch.float64)  # of all ranks, not yet counted
        self._alarms: list[str] = []
        self._trained_on: Tensor | None = None  # the interior points before they last moved
        self._version = 0
        self._generator, self._generator_state = stream("pinn/collocation"), None
        # Drawn from streams of their own, so that the held-out points are the same in every run.
        held_out = ("held_out", n_val, stream("pinn/held-out", 0))
        parameters = list(self.network.parameters())
        for kind, n, generator in (("points", n_points, self._generator), held_out):
            for name, points in problem.sample(n, generator).items():
                if len(points) == 0:
                    raise ConfigError(f"condition '{name}' received no points ({kind}); each needs at least 1")
                if (kind, name) == ("points", problem.interior):
                    points = collocation.start(problem, points, generator)
                self.register_buffer(f"{kind}_{name}", points.to(parameters[0].dtype))
        self.conditions = tuple(problem.sample(1, stream("pinn/names", 0)))
        if isinstance(weighting, Direction):
            weighting.prepare([*weighting.losses(self.conditions)], parameters)
        else:
            weighting.prepare(self.conditions)
        check_derivatives(problem, self.network, {name: x[:7] for name, x in self.held_out.items()}, mode=derivatives)
        self._objective: PinnObjective | None = None
        self._compiled: CompiledStep | None = None

    @property
    def points(self) -> Points:
        """Training points by condition."""
        return {name: self.get_buffer(f"points_{name}") for name in self.conditions}

    @property
    def held_out(self) -> Points:
        """Points of the held-out loss by condition."""
        return {name: self.get_buffer(f"held_out_{name}") for name in self.conditions}

    def predict(self, points: Any) -> np.ndarray:
        """The solution at points of your own; ``network`` itself gives tensors that can be differentiated.

        Args:
            points: ``(n, inputs)`` in the order and the units of the equation's inputs, such as t and x.

        Returns:
            ``(n, outputs)``.

        Raises:
            ValueError: The points have another shape, or a number is not finite.
        """
        x = own_points(points, self.problem, self.network)
        with torch.no_grad():
            return numbers(self.network(x))

    def _jet(self) -> Jet:
        return Jet(self.network, mode=self.derivatives)

    def weigh(self, terms: Terms) -> Tensor:
        """The loss from its terms; their sum where a rule combines gradients instead."""
        if isinstance(self.weighting, Direction):
            return sum((term for term in terms.values()), start=torch.zeros(()))
        return self.weighting(terms)

    def training_step(self, batch: int, batch_idx: int) -> None:
        raw = cast("Any", self.optimizers()).optimizer
        if isinstance(raw, ObjectiveOptimizer | torch.optim.LBFGS):
            self.take = self._step_with_objective
        elif isinstance(self.weighting, Direction):
            self.take = self._step_along_direction
        elif ranks().size == 1:
            self.take = self._step_with_gradient
        super().training_step(batch, batch_idx)

    def losses(self) -> tuple[Tensor, Terms]:
        """The loss of a step and its terms; leaves the next step's points behind."""
        self._adapt()
        if ranks().size == 1:
            terms, magnitude = self.terms()
        else:
            terms, magnitude, evaluations = shared_terms(self.problem, self.jet, self.points)
            self._evaluations = self._evaluations + evaluations  # read when needed: a GPU is not waited for
        self._move(magnitude)
        self.backward_passes += 1
        return self.weigh(terms), terms

    def scaled(self, residuals: dict[str, Tensor]) -> dict[str, Tensor]:
        """Training residuals with the weight of each point."""
        interior = self.problem.interior
        gate = self.collocation.gate(self.problem, self.points[interior])
        if gate is not None:
            residual = residuals[interior]
            residuals = {**residuals, interior: gate.reshape(-1, *[1] * (residual.dim() - 1)) * residual}
        if isinstance(self.weighting, Weighting) and self.weighting.pointwise:
            return self.weighting.scale(residuals, self.points)
        return residuals

    def terms(self) -> tuple[Terms, Tensor]:
        """Mean squares by condition, and the interior residual's magnitude at each point."""
        residuals = self.problem.residuals(self.jet, self.points)
        magnitude = magnitude_of(residuals[self.problem.interior].detach())
        return {name: r.square().mean() for name, r in self.scaled(residuals).items()}, magnitude

    def _adapt(self) -> None:
        """Let the weights change, where they do."""
        rule = self.weighting
        if isinstance(rule, Direction) or rule.every is None or self.steps % rule.every:
            return
        self.backward_passes += rule.adapt(
            lambda: self.problem.residuals(self.jet, self.points), list(self.network.parameters())
        )
        if self._objective is not None:
            self._objective.version += 1

    def _move(self, magnitude: Tensor | None) -> None:
        """Let the points move, where they do, and count the step."""
        self.steps += 1
        if self.steps % self.collocation.every:
            self._trained_on = None
            return
        interior = self.problem.interior
        points = self._trained_on = self.points[interior]
        if magnitude is None:
            with torch.no_grad():
                magnitude = magnitude_of(self.problem.residuals(self.jet, {interior: points})[interior])
        self._buffers[f"points_{interior}"] = self.collocation(
            self.problem, self.jet, points, magnitude, self._generator
        )
        if self._objective is not None:
            self._objective.version += 1

    def gradient(self) -> tuple[Tensor, Terms, Tensor]:
        """Put the gradient of the loss at the present points into ``.grad``.

        Returns:
            The loss and its terms, without graph, and the interior residual's magnitude at each point.
        """
        self.backward_passes += 1
        compiled, rule = self._compiled, self.weighting
        if compiled is None or isinstance(rule, Direction) or not compiled.ready(self.points):
            for p in self.network.parameters():
                p.grad = None
            with torch.enable_grad(), self.fusing():
                terms, magnitude = self.terms()
                loss = self.weigh(terms)
                loss.backward()
            return loss.detach(), {name: term.detach() for name, term in terms.items()}, magnitude
        weights = rule.weights()
        stack = self._like.new_tensor([weights.get(name, 1.0) for name in self.conditions])
        values, magnitude, gradients = compiled(self.points, stack)
        for p, g in zip(self.network.parameters(), gradients, strict=True):
            p.grad = g
        return (stack * values).sum(), dict(zip(self.conditions, values.unbind(), strict=True)), magnitude

    def fusing(self) -> AbstractContextManager[object]:
        """A block in which the loss may be computed in a way that can be differentiated once only."""
        return nullcontext() if self._compiled is None else self._compiled.fusing(self.points)

    def _step_with_gradient(self, optimizer: Any) -> tuple[Tensor, Terms]:
        self._adapt()
        loss, terms, magnitude = self.gradient()
        self._move(magnitude)
        optimizer.step()
        return loss, terms

    def _step_with_objective(self, optimizer: Any) -> tuple[Tensor, Terms]:
        objective = self._objective
        assert objective is not None, "made when training starts"
        self._adapt()
        loss = step_with(optimizer, objective)
        # The points were part of the function that the whole step was about; they move after it.
        if self.collocation.moves:
            self._move(None)
        else:
            self.steps += 1
        return loss, objective.latest

    def _step_along_direction(self, optimizer: Any) -> tuple[Tensor, Terms]:
        rule = cast("Direction", self.weighting)
        with self.fusing():
            terms, magnitude = self.terms()  # all are logged; only the backward passes are those of the rule
        self.backward_passes += put_direction(rule, terms, list(self.network.parameters()), step=self.steps)
        self._move(magnitude)
        optimizer.step()
        return self.weigh(terms).detach(), terms

    def check_shares(self, size: int) -> None:
        check_parts(self.optimizer, self.weighting, self.collocation)
        check_points(self.points, self.network, size)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any, **kwargs: Any) -> None:
        # A collocation that adds points has more of them in the checkpoint than a run begins with.
        key = f"points_{self.problem.interior}"
        if prefix + key in state_dict:
            self._buffers[key] = self.get_buffer(key).new_empty(state_dict[prefix + key].shape)
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)

    def _count(self) -> int:
        """Evaluations so far, those of the other ranks included."""
        self.jet.evaluations += round(float(self._evaluations))
        self._evaluations = torch.zeros((), dtype=torch.float64)
        return self.jet.evaluations

    def held_out_metrics(self) -> dict[str, Tensor]:
        return {"val/loss": self.held_out_loss()}

    def held_out_loss(self) -> Tensor:
        """The weighted loss on points that are never trained on."""
        self.eval()
        with torch.no_grad():
            residuals = self.problem.residuals(self._jet(), self.held_out)
            loss = self.weigh({name: r.square().mean() for name, r in residuals.items()})
        self.train()
        return loss

    def test_step(self, batch: int, batch_idx: int) -> None:
        # Jets may need autograd, which inference mode forbids.
        with torch.inference_mode(False):
            self.log_dict(errors(self.problem, self._jet(), self._like, n=self.n_val), batch_size=1)

    def on_fit_start(self) -> None:
        if self._generator.device.type != self.device.type:
            seed = self._generator.initial_seed()
            self._generator = Generator(self.device).manual_seed(seed)
        if self._generator_state is not None:
            self._generator.set_state(self._generator_state.cpu())
        # Residuals are differences of derivatives: ten bits of mantissa (TF32) are too few for them.
        torch.set_float32_matmul_precision("highest")
        plain = isinstance(self.weighting, Weighting) and not self.weighting.pointwise
        gated = type(self.collocation).gate is not Collocation.gate
        if ranks().size == 1:
            self._compiled = CompiledStep(
                self.problem.residuals,
                self.jet,
                interior=self.problem.interior,
                mode=self.compile_mode,
                steps=max(self.trainer.max_steps, 0),
                # Points that grow in number would be another function each time.
                whole=plain and not gated and not self.collocation.grows,
            )
        self._objective = PinnObjective(self)
        self._objective.version = self._version

    def on_fit_end(self) -> None:
        interior = self.problem.interior
        # Points that moved after the last step are no training points: no step was taken at them.
        points = self.points[interior] if self._trained_on is None else self._trained_on
        self._alarms = propagation_failure(self.problem, self._jet(), points, self.held_out[interior])

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["pinn"] = {
            "generator": self._generator.get_state(),
            "evaluations": self._count(),
            "backward_passes": self.backward_passes,
            "steps": self.steps,
            "version": 0 if self._objective is None else self._objective.version,
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        state = checkpoint["pinn"]
        self._generator_state = state["generator"]
        self.jet.evaluations, self.backward_passes = state["evaluations"], state["backward_passes"]
        self.steps, self._version = state["steps"], state["version"]

    def cost(self) -> dict[str, int]:
        """Points at which training evaluated the network, and its backward passes."""
        return {"network_evaluations": self._count(), "backward_passes": self.backward_passes}

    def warnings(self) -> list[str]:
        """Says when the network meets the equation at its training points only."""
        return self._alarms

    def figures(self) -> dict[str, Figure]:
        """Solution, reference, error, and where the last interior points lie."""
        return solution_figures(self.problem, self._jet(), self._like, self.points[self.problem.interior])

    @property
    def _like(self) -> Tensor:
        return self.held_out[self.problem.interior]
