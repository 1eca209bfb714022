r"""Attribution of a neural operator: which training simulations made it as good, or as bad, as it is.

An example is a simulation i of the training split, with its share of the mean over it that every batch estimates,

.. math:: \ell_i(\theta) = \frac1N e_i, \qquad e_i = \|z_i\|, \qquad z_i = \frac{G_\theta(u_i) - v_i}{\|v_i\|},

the relative L2 error of the states that follow an input, as :class:`sciml.operator.module.Operator` trains it. A norm
is convex with the curvature :math:`(I - \hat z\hat z^T)/\|z\|`, so the generalised Gauss-Newton matrix has the rows

.. math:: R_i = \frac{1}{\sqrt{N\,e_i}}\,(I - \hat z_i\hat z_i^T)\,\nabla_\theta z_i, \qquad \hat z = z/\|z\|,

exact, one for each number of a target. Nothing is smooth where an error is zero: a run that fits its data to rounding,
such as a learned multiplier for each mode of a linear equation, has no influence to speak of and is refused.

The measurement of a query is the relative L2 error of a test simulation, a mean over its first ``steps`` states: 1 for
the one-step loss, null for the whole rollout. Low is good: with a positive score the training simulation helps.

Any network: gradients are taken example by example through the function itself, so that spectral weights, real pairs or
complex, are treated as all others. The statistics of the normalisation stay those of the run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast, final

import torch
from torch import Tensor

from sciml.errors import ConfigError, RunError
from sciml.influence.base import Params
from sciml.influence.drawing import scored_fields
from sciml.influence.run_task import RunTask, attributed
from sciml.metric import relative_l2_each

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from sciml.operator.module import Operator

ROUNDING = 1e-6  # the data are float32: a smaller relative error is theirs, not the network's


@final
class OperatorRun(RunTask):
    """Training simulations of a finished run.

    Args:
        run: The run, see :mod:`sciml.influence.run_task`.
        split: Of the run's dataset, where the queries come from: ``test``, or another test.
        n_query: Its first simulations.
        steps: States of each that are predicted; null for all.
        decay: Lambda, of the squared distance from the run's weights.
        tolerance: Of the gradient at an optimum.
        max_steps: Steps of a training.

    Raises:
        UsageError: No such run, see :func:`sciml.influence.run_task.attributed`.
        ConfigError: The run's dataset has no such split, or not so many simulations or states, or the run minimised
            something else than the relative L2 error of the states that its rollout gives.
        RunError: The run fits its training data to rounding.
    """

    run: Operator
    u: Tensor
    v: Tensor
    u_query: Tensor
    v_query: Tensor

    def __init__(
        self,
        *,
        run: str,
        split: str = "test",
        n_query: int = 16,
        steps: int | None = None,
        decay: float = 1e-2,
        tolerance: float = 1e-8,
        max_steps: int = 1000,
    ) -> None:
        module = cast("Operator", attributed(run, family="operator"))
        super().__init__(network=module.stepper, decay=decay, tolerance=tolerance, max_steps=max_steps)
        _check_trained_so(module)
        object.__setattr__(self, "run", module)  # not a part of this module: only what it is asked for
        splits = module.dataset.splits()
        if split not in splits:
            raise ConfigError(f"influence.task.split is '{split}'; the run's dataset has {', '.join(splits)}")
        train, query = splits["train"].whole(), splits[split].whole()
        longest = query.target.shape[1]
        for name, number, most in (("n_query", n_query, len(query.input)), ("steps", steps or longest, longest)):
            if not 1 <= number <= most:
                raise ConfigError(f"influence.task.{name} is {number}; split '{split}' of the run has {most}")
        self.n_train, self.n_query = len(train.input), n_query
        for name, value in (
            ("u", train.input),
            ("v", train.target),
            ("u_query", query.input[:n_query]),
            ("v_query", query.target[:n_query, : steps or longest]),
        ):
            self.register_buffer(name, value.to(torch.float64))
        numbers = self.v[0].numel()
        self.register_buffer("owner", torch.arange(self.n_train).repeat_interleave(numbers))
        with torch.no_grad():
            smallest = float(self._errors(self._zero()).median())
        if smallest < ROUNDING:
            raise RunError(
                f"the run {run} fits half of its training simulations to a relative error below {smallest:.0e}, which"
                " is rounding: no example has an influence on it"
            )

    def _errors(self, params: Params) -> Tensor:
        return self.using(params, lambda: relative_l2_each(self._predict(self.u, self.v.shape[1]), self.v))

    def _predict(self, u: Tensor, steps: int) -> Tensor:
        return self.run.rollout(self.run.stepper.start(), u, steps)

    def losses(self, params: Params) -> Tensor:
        return self._errors(params) / self.n_train

    def measure(self, params: Params) -> Tensor:
        steps = self.v_query.shape[1]
        return self.using(
            params, lambda: relative_l2_each(self._predict(self.u_query, steps), self.v_query, leading=2).mean(1)
        )

    def rows(self, params: Params) -> Tensor:
        def error(params: Params, u: Tensor, v: Tensor) -> Tensor:
            return (self.using(params, self._predict, u[None], len(v))[0] - v).flatten() / v.norm()

        z, flat = self.differentiated(error, params, self.u, self.v)
        e = z.norm(dim=1, keepdim=True)
        along = z / e
        projected = flat - along[..., None] * (along[:, None] @ flat)
        return (projected / (self.n_train * e[..., None]).sqrt()).flatten(0, 1)

    def figures(self, scores: Tensor) -> dict[str, Figure]:
        """For the first two queries the simulations that matter most."""
        steps = self.v_query.shape[1]
        what = "one-step error" if steps == 1 else f"error over {steps} states"
        return {
            f"simulations_{q}": scored_fields(
                (self.u_query[q], self.v_query[q, 0]),
                self.u,
                self.v[:, 0],
                scores[q],
                title=f"relative L2 {what} of test simulation {q}",
            )
            for q in range(min(2, self.n_query))
        }


def _check_trained_so(module: Operator) -> None:
    """Another loss has another optimum, and other influences."""
    for slot, found, wanted in (
        ("loss", type(module.loss).__name__, "RelativeL2"),
        ("stepper", type(module.stepper).__name__, "Direct"),
        ("rollout", type(module.rollout).__name__, "Autoregressive"),
        ("augmentation", type(module.augmentation).__name__, "NoneType"),
        ("ema", module.average.decay, 0.0),
    ):
        if found != wanted:
            raise ConfigError(
                f"influence.task operator_run attributes runs whose operator.{slot} is the default one; this run's is"
                f" {found}"
            )
