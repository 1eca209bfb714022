r"""Attribution of a neural operator: which training simulations made it as good, or as bad, as it is.

An example is a simulation i of the training split, with its share of the mean over it that every batch estimates,

.. math:: \ell_i(\theta) = \frac1N L(p_i, v_i), \qquad p_i = P_\theta(u_i),

the run's own loss L of what its stepper and its rollout predict of the states that follow an input, as
:class:`sciml.operator.module.Operator` trains it. Every L there is convex in the predictions, so the generalised
Gauss-Newton matrix is :math:`\sum_i J_i^T (\nabla_p^2\ell_i) J_i` with :math:`J_i = \nabla_\theta p_i`; its rows are
those of :math:`(\nabla_p^2\ell_i)^{1/2} J_i`, exact, one for each number that is predicted. For the relative L2 error
:math:`e = \|p - v\|/\|v\|` and with :math:`\hat z` the direction of the error,

.. math:: \nabla_p^2 e = \frac{I - \hat z\hat z^T}{\|v\|^2 e} .

Nothing is smooth where a norm is zero: a run that fits its data to rounding, such as a learned multiplier for each mode
of a linear equation, has no influence to speak of and is refused.

The measurement of a query is the relative L2 error of a test simulation, a mean over its first ``steps`` states: 1 for
the one-step loss, null for the whole rollout. Low is good: with a positive score the training simulation helps.

Any network; any loss and stepper without random numbers; rollouts whose gradient is that of their loss
(``autoregressive``, ``teacher_forced``). Of a run with averaged weights, those. Gradients are taken example by example
through the function itself, so that spectral weights, real pairs or complex, are treated as all others. The statistics
of the normalisation stay those of the run.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, cast, final

import torch
from torch import Tensor

from sciml.errors import ConfigError, RunError
from sciml.influence.base import Params
from sciml.influence.drawing import scored_fields
from sciml.influence.run_task import RunTask, attributed, use_averaged
from sciml.metric import relative_l2_each
from sciml.ranges import Count, NonNegative

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
            something that is no sum over its training simulations.
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
        n_query: Count = 16,
        steps: Count | None = None,
        decay: NonNegative = 1e-2,
        tolerance: NonNegative = 1e-8,
        max_steps: Count = 1000,
    ) -> None:
        module = cast("Operator", attributed(run, family="operator"))
        _check_trained_so(module)
        use_averaged(module.average, module.stepper)
        super().__init__(network=module.stepper, decay=decay, tolerance=tolerance, max_steps=max_steps)
        object.__setattr__(self, "run", module)  # not a part of this module: only what it is asked for
        splits = module.dataset.splits()
        if split not in splits:
            raise ConfigError(f"influence.task.split is '{split}'; the run's dataset has {', '.join(splits)}")
        train, query = splits["train"].whole(), splits[split].whole()
        longest = query.target.shape[1]
        for name, number, most in (("n_query", n_query, len(query.input)), ("steps", steps or longest, longest)):
            if number > most:
                raise ConfigError(f"influence.task.{name} is {number}; split '{split}' of the run has {most}")
        self.n_train, self.n_query = len(train.input), n_query
        for name, value in (
            ("u", train.input),
            ("v", train.target),
            ("u_query", query.input[:n_query]),
            ("v_query", query.target[:n_query, : steps or longest]),
        ):
            self.register_buffer(name, value.to(torch.float64))
        with torch.no_grad():
            numbers = self._compared(self.u[0], self.v[0])[0].numel()
            predicted = self._predict(self.u, self.v.shape[1])
            smallest = float(relative_l2_each(predicted, self.v).median())
        self.register_buffer("owner", torch.arange(self.n_train).repeat_interleave(numbers))
        if smallest < ROUNDING:
            raise RunError(
                f"the run {run} fits half of its training simulations to a relative error below {smallest:.0e}, which"
                " is rounding: no example has an influence on it"
            )

    def _compared(self, u: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """What the run's loss sees of one simulation: a prediction and its target, of one shape."""
        seen: list[tuple[Tensor, Tensor]] = []

        def loss(prediction: Tensor, target: Tensor) -> Tensor:
            seen.append((prediction, target))
            return prediction.new_zeros(())

        # The stepper says what is compared; a generator is for steppers with random numbers, which are refused.
        self.run.stepper.loss(u[None], v[None], self.run.rollout, loss, torch.Generator())  # type: ignore[arg-type]
        return seen[0]

    def _predict(self, u: Tensor, steps: int) -> Tensor:
        return self.run.rollout(self.run.stepper.start(), u, steps)

    def losses(self, params: Params) -> Tensor:
        def one(u: Tensor, v: Tensor) -> Tensor:
            return self.run.loss(*self._compared(u, v))

        return self.using(params, torch.func.vmap(one), self.u, self.v) / self.n_train

    def measure(self, params: Params) -> Tensor:
        steps = self.v_query.shape[1]
        return self.using(
            params, lambda: relative_l2_each(self._predict(self.u_query, steps), self.v_query, leading=2).mean(1)
        )

    def rows(self, params: Params) -> Tensor:
        def predicted(params: Params, u: Tensor, v: Tensor) -> Tensor:
            return self.using(params, self._compared, u, v)[0].flatten()

        def root(p: Tensor, u: Tensor, v: Tensor) -> Tensor:
            target = self._compared(u, v)[1]
            return square_root(lambda p: self.run.loss(p.reshape(target.shape), target), p) / self.n_train**0.5

        p, jacobian = self.differentiated(predicted, params, self.u, self.v)
        return (torch.func.vmap(root)(p, self.u, self.v) @ jacobian).flatten(0, 1)

    def labels(self) -> list[str]:
        return [f"test simulation {i}" for i in range(self.n_query)]

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


def square_root(loss: Callable[[Tensor], Tensor], p: Tensor) -> Tensor:
    """The symmetric root of the Hessian of a convex function at ``p`` ``(m,)``."""
    hessian = torch.func.jacrev(torch.func.jacrev(loss))(p)
    values, vectors = torch.linalg.eigh((hessian + hessian.mT) / 2)
    return vectors * values.clamp(min=0).sqrt() @ vectors.mT


def _check_trained_so(module: Operator) -> None:
    """What is no sum over examples has no influence of them; random numbers would have to be kept."""
    rollout = type(module.rollout).__name__
    for slot, fits, found in (
        ("stepper", not module.stepper.stochastic, type(module.stepper).__name__),
        ("rollout", rollout in ("Autoregressive", "TeacherForced"), rollout),
        ("augmentation", module.augmentation is None, type(module.augmentation).__name__),
    ):
        if not fits:
            raise ConfigError(
                f"influence.task operator_run cannot attribute a run whose operator.{slot} is {found}: its steps follow"
                " no gradient of a sum over its training simulations"
            )
