"""Training a physics-informed neural network: min_θ Σ_c λ_c mean_{x ∈ P_c} |R_c[u_θ](x)|² over the conditions c.

Source: Raissi, Perdikaris and Karniadakis, "Physics-informed neural networks", Journal of Computational
Physics 378 (2019), doi:10.1016/j.jcp.2018.10.045. One step: residuals of all conditions at their points, the
weighted loss, the interior points of the next step from the same residuals, the optimiser step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import torch
from torch import Generator, Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from sciml.data.stream import stream
from sciml.errors import ConfigError
from sciml.parallel import check_network, check_rows, ranks
from sciml.pinn.base import Collocation, Points, Problem, Weighting
from sciml.pinn.evaluation import errors, solution_figures
from sciml.pinn.jet import Jet
from sciml.trained import Trained

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Held-out residual (mean square) over the training residual at the end above which a row carries a warning.
# A network that solves the equation between its points stays near 1 (below 1 where the points gather at large
# residuals); one that meets it at its points only reaches hundreds.
ALARM = 10.0


class Pinn(Trained):
    """A network trained on the residuals of a problem.

    Args:
        problem: Equation, conditions and reference.
        network: Called with the dimensions of domain and solution.
        collocation: Picks the interior points of each step.
        weighting: Adds up the loss terms.
        optimizer: Called with the parameters.
        scheduler: Called with the optimiser; stepped once an optimiser step.
        n_points: Interior points of a step.
        log_every: Steps between two records of the loss terms.
        val_every: Steps between two evaluations of the held-out loss, a multiple of ``log_every``.
        n_val: Interior points of the held-out loss and of the final residual.

    Raises:
        ConfigError: A slot is empty, a condition has no points, or ``val_every`` is no multiple of ``log_every``.
    """

    def __init__(
        self,
        *,
        problem: Problem,
        network: Callable[[int, int], nn.Module],
        collocation: Collocation,
        weighting: Weighting,
        optimizer: Callable[[Iterable[nn.Parameter]], Optimizer],
        scheduler: Callable[[Optimizer], LRScheduler] | None = None,
        n_points: int = 1000,
        log_every: int = 100,
        val_every: int = 500,
        n_val: int = 5000,
    ) -> None:
        super().__init__(optimizer=optimizer, scheduler=scheduler, log_every=log_every, val_every=val_every)
        for slot, part, choice in (("network", network, "mlp"), ("optimizer", optimizer, "adam")):
            if part is None:
                raise ConfigError(
                    f"{slot} is null; choose one in the experiment, for instance `override /{slot}: {choice}`"
                )
        self.problem, self.collocation, self.weighting = problem, collocation, weighting
        self.network = problem.field(network)
        self.n_val = n_val
        self.jet = Jet(self.network)
        self.backward_passes = 0
        self._evaluations = torch.zeros((), dtype=torch.float64)  # of all ranks, not yet counted
        self._alarms: list[str] = []
        self._generator, self._generator_state = stream("pinn/collocation"), None
        # Drawn from streams of their own, so that the held-out points are the same in every run.
        held_out = ("held_out", n_val, stream("pinn/held-out", 0))
        for kind, n, generator in (("points", n_points, self._generator), held_out):
            for name, points in problem.sample(n, generator).items():
                if len(points) == 0:
                    raise ConfigError(f"condition '{name}' received no points ({kind}); each needs at least 1")
                if (kind, name) == ("points", problem.interior):
                    points = collocation.start(problem, points, generator)
                self.register_buffer(f"{kind}_{name}", points.to(next(self.network.parameters()).dtype))
        self.conditions = tuple(problem.sample(1, stream("pinn/names", 0)))
        weighting.prepare(self.conditions)

    @property
    def points(self) -> Points:
        """Training points by condition."""
        return {name: self.get_buffer(f"points_{name}") for name in self.conditions}

    @property
    def held_out(self) -> Points:
        """Points of the held-out loss by condition."""
        return {name: self.get_buffer(f"held_out_{name}") for name in self.conditions}

    def losses(self) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of a step and its terms; leaves the next step's points behind."""
        points, interior = self.points, self.problem.interior
        if ranks().size == 1:
            residuals = self.problem.residuals(self.jet, points)
            terms = {name: r.square().mean() for name, r in residuals.items()}
            magnitude = _magnitude(residuals[interior].detach())
        else:
            terms, magnitude = self._shared(points)
        if (self.global_step + 1) % self.collocation.every == 0:
            self._buffers[f"points_{interior}"] = self.collocation(
                self.problem, self.jet, points[interior], magnitude, self._generator
            )
        self.backward_passes += 1
        return self.weighting(terms), terms

    def _shared(self, points: Points) -> tuple[dict[str, Tensor], Tensor]:
        """Terms and interior magnitudes of all points, of which this rank evaluates its share: one exchange."""
        group, before = ranks(), self.jet.evaluations
        residuals = self.problem.residuals(self.jet, {name: group.share(x) for name, x in points.items()})
        # The mean over all points, as the sum over the ranks of what each share adds to it.
        added = [r.square().mean() * (len(r) / len(points[name])) for name, r in residuals.items()]
        magnitude = _magnitude(residuals[self.problem.interior].detach())
        own = [*added, added[0].new_tensor(self.jet.evaluations - before)]
        everywhere = group.spread(magnitude, len(points[self.problem.interior]))
        total = group.total(torch.cat([torch.stack(own), everywhere]))
        self.jet.evaluations = before
        self._evaluations = self._evaluations + total[len(added)].detach()  # read when needed: a GPU is not waited for
        return dict(zip(residuals, total[: len(added)], strict=True)), total[len(own) :].detach()

    def check_shares(self, size: int) -> None:
        check_rows({f"condition '{name}'": len(x) for name, x in self.points.items()}, size)
        check_network(self.network)

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
            residuals = self.problem.residuals(Jet(self.network), self.held_out)
            loss = self.weighting({name: r.square().mean() for name, r in residuals.items()})
        self.train()
        return loss

    def test_step(self, batch: int, batch_idx: int) -> None:
        # Jets may need autograd, which inference mode forbids.
        with torch.inference_mode(False):
            self.log_dict(errors(self.problem, Jet(self.network), self._like, n=self.n_val), batch_size=1)

    def on_fit_start(self) -> None:
        if self._generator.device.type != self.device.type:
            seed = self._generator.initial_seed()
            self._generator = Generator(self.device).manual_seed(seed)
        if self._generator_state is not None:
            self._generator.set_state(self._generator_state.cpu())

    def on_fit_end(self) -> None:
        self._alarms = self._check_generalisation()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["pinn"] = {
            "generator": self._generator.get_state(),
            "evaluations": self._count(),
            "backward_passes": self.backward_passes,
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        state = checkpoint["pinn"]
        self._generator_state = state["generator"]
        self.jet.evaluations, self.backward_passes = state["evaluations"], state["backward_passes"]

    def cost(self) -> dict[str, int]:
        """Points at which training evaluated the network, and its backward passes."""
        return {"network_evaluations": self._count(), "backward_passes": self.backward_passes}

    def warnings(self) -> list[str]:
        """Says when the network meets the equation at its training points only."""
        return self._alarms

    def figures(self) -> dict[str, Figure]:
        """Solution, reference, error, and where the last interior points lie."""
        return solution_figures(self.problem, Jet(self.network), self._like, self.points[self.problem.interior])

    @property
    def _like(self) -> Tensor:
        return self.held_out[self.problem.interior]

    def _check_generalisation(self) -> list[str]:
        interior, jet = self.problem.interior, Jet(self.network)
        with torch.no_grad():
            trained, unseen = (
                float(self.problem.residuals(jet, {interior: x[interior]})[interior].square().mean())
                for x in (self.points, self.held_out)
            )
        if unseen <= ALARM * trained:
            return []
        message = (
            f"PROPAGATION FAILURE LIKELY: the interior residual (mean square) is {unseen:.2g} on held-out points and "
            f"{trained:.2g} on the training points; more points, or a collocation that moves them, would help"
        )
        return [message]


def _magnitude(residual: Tensor) -> Tensor:
    """|r| at each point (n,), from (n,) or (n, components)."""
    return residual.abs() if residual.dim() == 1 else torch.linalg.vector_norm(residual, dim=1)
