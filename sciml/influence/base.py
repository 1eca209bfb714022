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
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from torch import Tensor, nn

Params = dict[str, Tensor]


class Task(nn.Module, ABC):
    """A model, its training data and its queries; bundled, or made from a finished run.

    Attributes:
        n_train: Number of training examples.
        n_query: Number of queries.
        decay: Lambda of the regulariser.
    """

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
    def fit(self, weights: Tensor) -> Params:
        """Train with other weights of the examples, many times at once.

        Args:
            weights: ``(runs, n_train)``, not negative; ones give the run that is asked about.

        Returns:
            Parameters with a leading dimension ``runs``.
        """


class Attributor(ABC):
    """Scores training examples for queries.

    Attributes:
        exact: The scores are the influence above, in sign and in scale, wherever the Hessian is positive definite.
    """

    exact: ClassVar[bool] = False

    @abstractmethod
    def __call__(self, task: Task, params: Params) -> Tensor:
        """Scores ``(n_query, n_train)`` at fitted parameters; positive: removing the example raises the query loss."""
