r"""Attribution of a physics-informed network: which collocation points made the solution what it is.

An example is a point of a condition c (interior, initial, boundary ...), with the weight that it has in the run's loss
:math:`\sum_c \lambda_c \frac{1}{N_c K_c}\sum_{x \in P_c} |R_c[u_\theta](x)|^2`,

.. math:: \ell_{c,x}(\theta) = \frac{\lambda_c}{N_c K_c} |R_c[u_\theta](x)|^2 ,

:math:`K_c` the number of components of the residual. Removing a point removes its term; the others keep their weight.
The losses are squares, so the generalised Gauss-Newton matrix has the rows
:math:`\sqrt{2\lambda_c/(N_cK_c)}\,\nabla_\theta R_c`, exact and as many as there are residuals.

Influence functions of the composite loss of physics-informed networks: Naujoks et al. (2024), *PINNfluence: Influence
Functions for Physics-Informed Neural Networks*, arXiv 2409.08958. Deviations: Gauss-Newton instead of the Hessian,
which has negative eigenvalues away from an optimum that flip signs; polished parameters
(:mod:`sciml.influence.run_task`); an exact factor instead of Arnoldi iterations.

For small networks and some thousand points. :math:`\lambda_c` is read off the run's weighting at its end. Of points
that moved in training, the last ones are attributed, and a note says so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast, final

import numpy as np
import torch
from torch import Tensor

from sciml.errors import ConfigError, RunError
from sciml.influence.base import Params
from sciml.influence.drawing import scored_points
from sciml.influence.pinn_measurement.base import PinnMeasurement
from sciml.influence.run_task import RunTask, attributed
from sciml.ranges import Count, NonNegative

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from sciml.pinn.base import Points
    from sciml.pinn.module import Pinn


@final
class PinnRun(RunTask):
    """Collocation points of a finished run.

    Args:
        run: The run, see :mod:`sciml.influence.run_task`.
        measurement: What is asked of its solution.
        decay: Lambda, not part of the run's own loss: makes the optimum unique.
        tolerance: Of the gradient at an optimum.
        max_steps: Steps of a training.

    Attributes:
        conditions: Where the points of each condition stand among the examples.

    Raises:
        UsageError: No such run, see :func:`sciml.influence.run_task.attributed`.
        ConfigError: The measurement does not fit the run's problem.
        RunError: The run's residuals cannot be differentiated point by point.
    """

    run: Pinn

    def __init__(
        self,
        *,
        run: str,
        measurement: PinnMeasurement,
        decay: NonNegative = 1e-2,
        tolerance: NonNegative = 1e-8,
        max_steps: Count = 1000,
    ) -> None:
        module = cast("Pinn", attributed(run, family="pinn"))
        super().__init__(network=module.network, decay=decay, tolerance=tolerance, max_steps=max_steps)
        # Not a part of this module: only what it is asked for, on our own tensors.
        object.__setattr__(self, "run", module)
        self.measurement = measurement
        measurement.prepare(module)
        self.n_query = len(measurement.labels)
        self.conditions: dict[str, slice] = {}
        self._components: dict[str, int] = {}
        first, owner = 0, []
        for name, x in module.points.items():
            self.register_buffer(f"points_{name}", x.to(torch.float64))
            self.conditions[name] = slice(first, first + len(x))
            first += len(x)
        self.n_train = first
        with torch.no_grad():
            residuals = module.problem.residuals(module.jet, self.points)
        scale = _weights(module, {name: r.square().mean() for name, r in residuals.items()})
        for name, where in self.conditions.items():
            r = residuals[name]
            self._components[name] = r[0].numel()
            owner.append(torch.arange(where.start, where.stop).repeat_interleave(r[0].numel()))
            self.register_buffer(f"weight_{name}", scale[name] / r.numel())
        self.register_buffer("owner", torch.cat(owner))
        if getattr(module.collocation, "moves", True):
            self.notes.append(
                f"the run's collocation ({type(module.collocation).__name__}) moved its interior points in training;"
                " the last ones are attributed, as if all training had been on them"
            )

    @property
    def points(self) -> Points:
        """Training points by condition, float64."""
        return {name: self.get_buffer(f"points_{name}") for name in self.conditions}

    def losses(self, params: Params) -> Tensor:
        residuals = self.using(params, lambda: self.run.problem.residuals(self.run.jet, self.points))
        parts = [
            self.get_buffer(f"weight_{name}") * residuals[name].flatten(1).square().sum(1)
            if residuals[name].dim() > 1
            else self.get_buffer(f"weight_{name}") * residuals[name].square()
            for name in self.conditions
        ]
        return torch.cat(parts)

    def measure(self, params: Params) -> Tensor:
        return self.using(params, self.measurement, self.run)

    def rows(self, params: Params) -> Tensor:
        parts = []
        for name, x in self.points.items():

            def residual(params: Params, point: Tensor, name: str = name) -> Tensor:
                found = self.using(params, self.run.problem.residuals, self.run.jet, {name: point[None]})
                return found[name].reshape(-1)

            try:
                jacobian = torch.func.vmap(torch.func.jacrev(residual), (None, 0))(params, x)
            except RuntimeError as error:
                if "requires_grad_" not in str(error) and "functorch" not in str(error):
                    raise
                raise RunError(
                    f"the residual '{name}' of a {type(self.run.network).__name__} cannot be differentiated point by"
                    " point; attribution of a PINN run needs a network that its jet propagates through, such as mlp"
                ) from error
            scale = (2 * self.get_buffer(f"weight_{name}")).sqrt()
            rows = len(x) * self._components[name]
            parts.append(scale * torch.cat([j.reshape(rows, -1) for j in jacobian.values()], dim=1))
        return torch.cat(parts)

    def gradients(self, params: Params) -> Tensor:
        # Of squares: the rows times their residuals, which is cheaper than the losses one after the other.
        rows = self.rows(params).detach()
        with torch.no_grad():
            residuals = self.using(params, lambda: self.run.problem.residuals(self.run.jet, self.points))
        scaled = [
            (2 * self.get_buffer(f"weight_{name}")).sqrt() * residuals[name].reshape(-1) for name in self.conditions
        ]
        found = rows.new_zeros(self.n_train, rows.shape[1])
        return found.index_add_(0, self.owner, rows * torch.cat(scaled)[:, None])

    def examples(self) -> dict[str, Any]:
        """Condition of each training point, and the points of each condition in the order of the equation's inputs;
        those of a periodic one are pairs ``(n, 2, inputs)``.
        """
        names = np.repeat(list(self.points), [len(x) for x in self.points.values()])
        return {"condition": names, **{f"points_{name}": x.cpu() for name, x in self.points.items()}}

    def labels(self) -> list[str]:
        return list(self.measurement.labels)

    def figures(self, scores: Tensor) -> dict[str, Figure]:
        """Collocation points coloured by score, for the first four queries of problems with two inputs."""
        if self.run.problem.in_features != 2:
            return {}
        at = getattr(self.measurement, "at", None)
        found = {}
        for q, label in enumerate(self.measurement.labels[:4]):
            found[f"scores_{q}"] = scored_points(
                self.points,
                {name: scores[q, where] for name, where in self.conditions.items()},
                inputs=list(self.run.problem.axes),
                interior=self.run.problem.interior,
                title=label,
                marked=None if at is None else torch.tensor([at[q]]),
            )
        return found


def _weights(run: Pinn, losses: dict[str, Tensor]) -> dict[str, Tensor]:
    """The weight of each condition's mean square in the run's loss, at its end."""
    leaves = {name: loss.detach().clone().requires_grad_() for name, loss in losses.items()}
    with torch.enable_grad():
        total = run.weigh(leaves)
    if not isinstance(total, Tensor) or total.dim() != 0:
        raise ConfigError(f"the run's weighting {type(run.weighting).__name__} gives no scalar loss to attribute")
    found = torch.autograd.grad(total, list(leaves.values()), allow_unused=True)
    return {
        name: torch.zeros(()).to(loss) if g is None else g.detach()
        for (name, loss), g in zip(losses.items(), found, strict=True)
    }
