r"""The contracts of the influence family: task and attributor.

A task is a fitted model seen through its parameters :math:`\theta`. With a weight :math:`w_i` for each training
example, 1 for all of them in the run that is asked about, they are an optimum of

.. math:: J(\theta; w) = \sum_i w_i\,\ell_i(\theta) + \tfrac{\lambda}{2}\|\theta\|^2 .

Sums, not means: removing example i sets :math:`w_i` to 0 and changes nothing else. The influence of i on a
query measurement :math:`m_q` is

.. math:: I_{qi} = -\frac{d\,m_q(\theta(w))}{d w_i}\Big|_{w=1} = \nabla m_q^T H^{-1} \nabla\ell_i,
          \qquad H = \nabla^2 J,

the first-order prediction of :math:`m_q(\theta_{-i}) - m_q(\theta)` in units of :math:`m`. Positive: removing the
example would raise the query's loss, so the example helps. Koh and Liang (2017), *Understanding Black-box
Predictions via Influence Functions*, eq. 2, with the opposite sign and without 1/n.

Tasks of any family fit this. A PINN has an example for each collocation point, whose loss is a weighted square
(:mod:`sciml.influence.task.pinn_run`), an operator one for each simulation
(:mod:`sciml.influence.task.operator_run`), a diffusion prior one for each training field, whose loss is a mean over
noise that is drawn once and kept (:mod:`sciml.influence.task.diffusion_run`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Generator, Tensor, nn

from sciml.errors import RunError
from sciml.influence.curvature import loss_gradient
from sciml.influence.flat import double, flatten, unflatten
from sciml.influence.perexample import pull_back

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Params = dict[str, Tensor]

BLOCK = 256  # examples whose rows are made at one time


class Task(nn.Module, ABC):
    """A model, its training data and its queries; bundled, or made from a finished run.

    Attributes:
        n_train: Number of training examples.
        n_query: Number of queries.
        decay: Lambda of the regulariser.
        optimal: ``fit`` finds the optimum of J to rounding, not only what a recipe for training ends with.
    """

    optimal: ClassVar[bool] = False

    n_train: int
    n_query: int
    decay: float

    @abstractmethod
    def losses(self, params: Params) -> Tensor:
        """Loss of each training example without regulariser, ``(n_train,)``; differentiable in ``params``."""

    @abstractmethod
    def measure(self, params: Params) -> Tensor:
        """What each query measures, as a rule its loss, ``(n_query,)``; differentiable in ``params``."""

    @abstractmethod
    def fit(self, weights: Tensor, *, repeat: int = 0) -> Params:
        """Train with other weights of the examples, many times at once.

        Args:
            weights: ``(runs, n_train)``, not negative; ones give the run that is asked about.
            repeat: Which of the independent trainings, that differ in initialisation and order of batches; 0 is the
                one that is asked about. A task with one optimum ignores it.

        Returns:
            Parameters with a leading dimension ``runs``.
        """

    def measured(self, params: Params) -> Tensor:
        """:meth:`measure` of parameters with a leading dimension ``runs``: ``(runs, n_query)``."""
        return torch.func.vmap(self.measure)(params)

    def identity(self) -> dict[str, Any] | None:
        """All that ``fit`` and ``measure`` depend on beside their arguments, as plain data that tells this task from
        any other, so that what they return may be kept; None: it may not.
        """
        return None

    def figures(self, scores: Tensor) -> dict[str, Figure]:
        """Scores ``(n_query, n_train)`` drawn on the task's own data, by name; as a rule nothing."""
        return {}

    def examples(self) -> dict[str, Any]:
        """What the training examples are, arrays by name for a file of scores; where there is nothing, they are those
        of the training set in its order.
        """
        return {}

    def labels(self) -> list[str]:
        """What each query asks, as a rule its number."""
        return [str(i) for i in range(self.n_query)]

    def warnings(self) -> list[str]:
        """What a reader of the scores must know about the task, one line each."""
        return []

    def jacobian(self, params: Params) -> Tensor:
        r"""Rows :math:`R` with :math:`R^T R = \sum_i J_i^T (\nabla^2_{out}\ell_i) J_i`, the generalised Gauss-Newton
        matrix (GGN) of the summed training loss without regulariser, ``(rows, d)`` in float64; the columns are the
        parameters in the order of :func:`sciml.influence.flat.flatten`.

        Raises:
            RunError: The task has no such structure.
        """
        raise RunError(f"task {type(self).__name__} gives no Jacobian; choose an attributor that needs none")

    def blocks(self, params: Params) -> Iterator[Tensor]:
        """The rows of :meth:`jacobian`, those of some examples at a time; as a rule of all of them."""
        yield self.jacobian(params)

    def gradients(self, params: Params) -> Tensor:
        """Gradient of each training loss, ``(n_train, d)`` in float64, columns as in :meth:`jacobian`."""
        return _jacobian(self.losses, params)

    def against_gradients(self, params: Params, vectors: Tensor) -> Tensor:
        """Inner products of vectors ``(k, d)`` in float64 with the gradient of each training loss, ``(k, n_train)``."""
        return vectors @ self.gradients(params).T

    def query_gradients(self, params: Params) -> Tensor:
        """Gradient of each measurement, ``(n_query, d)`` in float64, columns as in :meth:`jacobian`."""
        return _jacobian(self.measure, params)


class Likelihood(ABC):
    r"""A loss as a negative log-likelihood of the outputs :math:`z` of a network, and its curvature there."""

    @abstractmethod
    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Loss of each example, ``(n,)``, from outputs ``(n, C)`` and targets ``(n, ...)``."""

    @abstractmethod
    def factors(self, outputs: Tensor) -> Tensor:
        r"""The exact curvature in the outputs ("type 2"): ``(C, n, C)`` with :math:`\sum_c S_c S_c^T = \nabla_z^2\ell`
        for each example. Outputs with tokens, ``(n, T, C)``, give ``(TC, n, T, C)``; likewise below.
        """

    @abstractmethod
    def sample(self, outputs: Tensor, k: int, generator: Generator) -> Tensor:
        r"""Gradients :math:`\nabla_z\ell` for ``k`` targets drawn from the model itself, ``(k, n, C)``; the mean outer
        product over the draws is the same curvature in expectation.
        """


class NetworkTask(Task):
    r"""A network that is applied to each example by itself: what Kronecker-factored attributors need.

    Attributes:
        network: In evaluation mode; ``params`` are its named parameters.
        likelihood: Of its outputs.
        x: Training inputs ``(n_train, ...)``, y their targets, x_query and y_query those of the queries. The
            measurement of a query is its loss.
        mask: ``(n_train, tokens)`` of the tokens that count, or None for examples without padding. Padded tokens
            must leave the outputs of the others, or the output of the example, as they are.
        mask_query: The same for the queries.
        asks_losses: The measurement of a query is its loss. A task that measures something else has no ``x_query`` and
            ``y_query``, and writes ``measure``.
        forward_mode: Its network can be differentiated forwards.
    """

    asks_losses: ClassVar[bool] = True
    forward_mode: ClassVar[bool] = True

    network: nn.Module
    likelihood: Likelihood
    x: Tensor
    y: Tensor
    x_query: Tensor
    y_query: Tensor
    mask: Tensor | None = None
    mask_query: Tensor | None = None

    def outputs(self, params: Params, x: Tensor) -> Tensor:
        """What the network says of the inputs, ``(n, ..., C)``. ``params`` may hold buffers of the network as well."""
        return torch.func.functional_call(self.network, params, (x,))

    def losses(self, params: Params) -> Tensor:
        return self.likelihood.loss(self.outputs(params, self.x), self.y)

    def measure(self, params: Params) -> Tensor:
        return self.likelihood.loss(self.outputs(params, self.x_query), self.y_query)

    def jacobian(self, params: Params) -> Tensor:
        return torch.cat(list(self.blocks(params)))

    def blocks(self, params: Params) -> Iterator[Tensor]:
        for x in self.x.split(BLOCK):
            yield self._rows(params, x, self.likelihood.factors).movedim(0, 1).flatten(0, 1)

    def gradients(self, params: Params) -> Tensor:
        return torch.cat(list(self._gradients(params)))

    def against_gradients(self, params: Params, vectors: Tensor) -> Tensor:
        return torch.cat([vectors @ part.T for part in self._gradients(params)], dim=1)

    def _gradients(self, params: Params) -> Iterator[Tensor]:
        """Those of some examples at a time."""
        for x, y in zip(self.x.split(BLOCK), self.y.split(BLOCK), strict=True):
            yield self._rows(params, x, lambda z, y=y: loss_gradient(self.likelihood, z, y)[None])[0]

    def query_gradients(self, params: Params) -> Tensor:
        if not self.asks_losses:
            return super().query_gradients(params)
        return self._rows(params, self.x_query, lambda z: loss_gradient(self.likelihood, z, self.y_query)[None])[0]

    def _rows(self, params: Params, x: Tensor, seeds: Callable[[Tensor], Tensor]) -> Tensor:
        """Gradients of ``seeds(outputs)[k, i] . outputs[i]``, ``(k, n, d)`` in float64."""
        buffers = {name: double(b) for name, b in self.network.named_buffers()}
        params, x = {name: double(p.detach()) for name, p in params.items()}, double(x)

        def call(params: Params, x: Tensor) -> Tensor:
            return self.outputs({**buffers, **params}, x)

        with torch.no_grad():
            outputs = call(params, x)
        return pull_back(call, params, x, seeds(outputs))


class TrainedTask(NetworkTask):
    """A network that gradient steps have trained."""

    @abstractmethod
    def trajectory(self, checkpoints: int) -> list[tuple[float, Params]]:
        r"""The training that is asked about, in segments of equal length.

        Returns:
            For each segment the time :math:`\sum_t \eta_t` that gradient flow on the sum of the losses needs for it,
            and the parameters at its end.
        """


class Attributor(ABC):
    """Scores training examples for queries.

    Attributes:
        exact: The scores are the influence above, in sign and in scale, wherever the Hessian is positive definite.
        needs: The kind of task that it can attribute.
        trainings: How often it trains, beside the training that is asked about.
    """

    exact: ClassVar[bool] = False
    needs: type[Task] = Task
    trainings: int = 0

    @abstractmethod
    def __call__(self, task: Task, params: Params) -> Tensor:
        """Scores ``(n_query, n_train)`` at fitted parameters; positive: removing the example raises the query loss."""


def _jacobian(function: Callable[[Params], Tensor], params: Params) -> Tensor:
    """By reverse differentiation of the whole: simple, and slow where each value depends on its own example only."""
    return torch.func.jacrev(lambda vector: function(unflatten(vector, params)))(flatten(params))
