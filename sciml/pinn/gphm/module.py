r"""GP-HM: the values of a solution on a grid, under a Gaussian process whose spectrum is learned with them.

The parameters are the covariance of each input (:mod:`sciml.pinn.gphm.kernel`), the values U on the grid, and the
precisions τ of boundary values and equation; what is maximised is their log joint probability
(:mod:`sciml.pinn.gphm.likelihood`).

Source: Fang, Cooley, Long, Li, Kirby and Zhe, "Solving High Frequency and Multi-Scale PDEs with Gaussian Processes",
ICLR 2024 (arXiv 2311.04465), sections 3 and 4. With ``values="trained"`` all parameters are trained together, as
there. ``values="profiled"`` is not in the paper: U is not trained but is, in every step, the most probable one given
the rest (:mod:`sciml.pinn.gphm.profile`), found by a linear solve; the gradient of the maximum over U is the partial
gradient at that U, so the covariance is trained as before, in hundreds of steps where joint training takes 10⁵ to 10⁶.
Both τ are then no parameters but rise from step to step, by a factor each, to a largest value. Equation and boundary
values are exact, so that nothing is to be learned of their noise; where τ follows its own maximum, N/|residual|², noise
may explain for good what the covariance does not explain yet. Were τ largest at once, any covariance would meet the
equation on the grid before the spectrum is learned.
On several axes the solve is iterative, warm-started at the last one, and may be cut short.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Literal, cast

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from sciml.data.stream import stream
from sciml.errors import ConfigError
from sciml.given import numbers
from sciml.pinn.evaluation import errors, own_points, solution_figures
from sciml.pinn.gphm.field import ConditionalMean
from sciml.pinn.gphm.kernel import SpectralMixture
from sciml.pinn.gphm.likelihood import Covariance, negative_log_joint, observe
from sciml.pinn.gphm.profile import most_probable
from sciml.pinn.jet import Jet
from sciml.pinn.problem.box import Box
from sciml.ranges import Count, NonNegative, Positive
from sciml.trained import Trained, check_slots

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.figure import Figure

CHUNK = 2**14  # points of a user that are evaluated at a time
# Held-out residual over the residual of the zero function, and missed boundary values over prescribed ones, root mean
# squares, above which a row carries a warning.
ALARM = 0.05


class GpHm(Trained):
    """A Gaussian process that solves an equation.

    Args:
        problem: Equation, and values on faces of its box.
        kernel: Called with ``generator``, once an input.
        optimizer: Called with the parameters.
        scheduler: Called with the optimiser; stepped once an optimiser step.
        points: Number of points of the grid along each input, by its name.
        values: ``trained`` or ``profiled``.
        jitter: ε, added to the diagonal of each input's covariance.
        boundary_weight: λ, the weight of the boundary likelihood.
        log_tau: log τ of both likelihoods at the start.
        tau_step: In a profiled run, by how much log τ rises in a step; 0 holds it fixed.
        log_tau_max: In a profiled run, where it ends.
        iterations: Most iterations of a profiled step on several axes; one axis never needs many.
        log_every: Steps between two records of the loss terms.
        val_every: Steps between two evaluations of the held-out residual, a multiple of ``log_every``.
        n_val: Points of the held-out residual and of the final one.

    Raises:
        ConfigError: A slot is empty, ``log_tau_max`` lies below ``log_tau``, or the problem
            is not one that GP-HM can solve (:func:`sciml.pinn.gphm.likelihood.observe`).
    """

    held_out: Tensor
    whitened: Tensor
    values: Tensor
    log_tau: Tensor

    def __init__(
        self,
        *,
        problem: Box,
        kernel: Callable[..., SpectralMixture],
        optimizer: Callable[[Iterable[nn.Parameter]], Optimizer],
        scheduler: Callable[[Optimizer], LRScheduler] | None = None,
        points: dict[str, Count],
        values: Literal["trained", "profiled"] = "trained",
        jitter: Positive = 1e-6,
        boundary_weight: Positive = 200.0,
        log_tau: float = 0.0,
        tau_step: NonNegative = 0.1,
        log_tau_max: float = 20.0,
        iterations: Count = 20,
        log_every: Count = 100,
        val_every: Count = 500,
        n_val: Count = 1000,
    ) -> None:
        super().__init__(optimizer=optimizer, scheduler=scheduler, log_every=log_every, val_every=val_every)
        check_slots("pinn", kernel=kernel, optimizer=optimizer)
        if log_tau_max < log_tau:
            raise ConfigError(f"pinn.log_tau_max ({log_tau_max}) must be at least pinn.log_tau ({log_tau})")
        if not isinstance(problem, Box) or problem.harmonics or problem.ansatz:
            raise ConfigError("gphm takes a problem of Box with its conditions, without `periodic` and `ansatz`")
        self.problem, self.profiled = problem, values == "profiled"
        self.jitter, self.iterations, self.n_val = jitter, iterations, n_val
        self.tau_step, self.log_tau_max = tau_step, log_tau_max
        self.observations = observe(problem.equation, problem.conditions, dict(points), weight=boundary_weight)
        generator = stream("pinn/kernel")
        self.kernels = nn.ModuleList(kernel(generator=generator) for _ in self.observations.axes)
        tau = torch.full((2,), float(log_tau), dtype=torch.float64)
        zero = torch.zeros(self.observations.fixed.shape, dtype=torch.float64)
        if self.profiled:
            self.register_buffer("whitened", zero)
            self.register_buffer("values", zero.clone())
            self.register_buffer("log_tau", tau)
        else:
            self.values = nn.Parameter(zero)
            self.log_tau = nn.Parameter(tau)
        self.register_buffer("held_out", problem.draw(n_val, stream("pinn/held-out", 0)).double())
        self.solver_iterations = 0
        self._alarms: list[str] = []

    def _apply(self, *args: Any, **kwargs: Any) -> GpHm:
        super()._apply(*args, **kwargs)
        self.observations = self.observations.to(self.device)
        return self

    def _covariance(self) -> Covariance:
        kernels = cast("list[SpectralMixture]", list(self.kernels))
        return Covariance(kernels, self.observations.axes, self.observations.top, self.jitter)

    def _profile(self, covariance: Covariance) -> tuple[Tensor, int]:
        # Under a covariance that has changed either the last values or the last whitened values are the better start.
        starts = (self.whitened, covariance.whitened(self.values))
        return most_probable(covariance, self.observations, starts, self.log_tau, iterations=self.iterations)

    def losses(self) -> tuple[Tensor, dict[str, Tensor]]:
        """The negative log joint and its terms; in a profiled run at the most probable values."""
        covariance = self._covariance()
        if self.profiled:
            self._buffers["whitened"], taken = self._profile(covariance)
            self.solver_iterations += taken
            self._buffers["values"] = covariance.values(self.whitened)
        terms, gaps = negative_log_joint(covariance, self.observations, self.values, self.log_tau)
        loss = terms["prior"] + terms["boundary"] + terms["equation"]
        if self.profiled:
            self._buffers["log_tau"] = (self.log_tau + self.tau_step).clamp_max(self.log_tau_max)
        return loss, terms | {f"{name}_gap": gap for name, gap in gaps.items()}

    def field(self) -> ConditionalMean:
        """The conditional mean at present, without graph."""
        with torch.no_grad():
            covariance = self._covariance()
            if self.profiled:
                # The last optimiser step has changed the covariance, and with it the most probable values.
                coefficients = covariance.from_whitened(self._profile(covariance)[0])
            else:
                coefficients, _ = covariance.coefficients(self.values)
        kernels = cast("list[SpectralMixture]", list(self.kernels))
        return ConditionalMean(kernels, self.observations.axes, coefficients)

    def predict(self, points: Any) -> np.ndarray:
        """The conditional mean at points of your own, on the grid or between its points; ``field()`` has derivatives.

        Args:
            points: ``(n, inputs)`` in the order and the units of the equation's inputs, such as x and y.

        Returns:
            ``(n, 1)``, float64.

        Raises:
            ValueError: The points have another shape, or a number is not finite.
        """
        x, solution = own_points(points, self.problem, self.kernels), self.field()
        return numbers(torch.cat([solution(part) for part in x.split(CHUNK)]))

    @property
    def _jet(self) -> Jet:
        # It is asked for what a Jet is asked for there, values and derivatives of a field.
        return cast("Jet", self.field())

    def held_out_metrics(self) -> dict[str, float]:
        """Mean square of the equation's residual on points that are not on the grid."""
        return {"val/loss": float(self.problem.equation.residual(self.field(), self.held_out).square().mean())}

    def test_step(self, batch: int, batch_idx: int) -> None:
        with torch.inference_mode(False):
            self.log_dict(errors(self.problem, self._jet, self.held_out, n=self.n_val), batch_size=1)

    def on_fit_end(self) -> None:
        self._alarms = []
        equation, solution = self.problem.equation, self.field()
        zero = torch.zeros_like(solution.coefficients)
        kernels = [SpectralMixture(components=1).to(self.device) for _ in self.observations.axes]
        nothing = ConditionalMean(kernels, self.observations.axes, zero)
        left, whole = (
            float(equation.residual(field, self.held_out).square().mean().sqrt()) for field in (solution, nothing)
        )
        if left > ALARM * whole:
            message = (
                "NOT SOLVED BETWEEN THE POINTS OF THE GRID: the residual (root mean square) is "
                f"{left:.2g} there, and {whole:.2g} for the zero function; more pinn.points, other frequencies of the "
                "kernel, or more steps would help"
            )
            self._alarms.append(message)
        known = self.observations
        missed, size = (
            float((values - known.values).square().mean().sqrt())
            for values in (solution(known.points[known.fixed.flatten()]).squeeze(-1), torch.zeros_like(known.values))
        )
        if missed > ALARM * max(size, 1e-3):
            self._alarms.append(
                f"BOUNDARY VALUES MISSED by {missed:.2g} (root mean square); a larger pinn.boundary_weight or more "
                "steps would help"
            )

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["gphm"] = {"solver_iterations": self.solver_iterations}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.solver_iterations = checkpoint["gphm"]["solver_iterations"]

    def cost(self) -> dict[str, int]:
        """Iterations of conjugate gradients."""
        return {"solver_iterations": self.solver_iterations}

    def warnings(self) -> list[str]:
        """Says when the equation is met on the grid only, or the boundary values are missed."""
        return self._alarms

    def figures(self) -> dict[str, Figure]:
        """Solution, reference and error, and the spectrum that was learned."""
        from sciml.pinn.gphm.figure import solution, spectrum

        if len(self.observations.axes) == 1:
            ((name, x),) = self.problem.axes.items()
            line = x.unsqueeze(-1)
            mean = self.field()(line.to(self.held_out)).cpu()
            true = self.problem.reference(line).squeeze(-1) if self.problem.known else None
            found = {"u": solution(name, x, mean.squeeze(-1), true)}
        else:
            found = solution_figures(self.problem, self._jet, self.held_out)
        lines = {
            name: (kernel.mu.detach().abs().cpu(), kernel.log_weight.detach().exp().cpu())
            for name, kernel in zip(self.problem.axes, cast("list[SpectralMixture]", list(self.kernels)), strict=True)
        }
        return {**found, "spectrum": spectrum(lines)}
