r"""What an optimiser may ask of its function, and the base of those that ask for more than a gradient.

A plain ``torch.optim`` optimiser takes the gradients that it finds in ``.grad``. A line search, a quasi-Newton or
Gauss-Newton step, a product with the Hessian or a gradient for each loss term need the function itself: an
:class:`Objective`. A new optimiser of that kind inherits :class:`ObjectiveOptimizer` and implements ``step``; whoever
has a new kind of loss inherits :class:`Objective` and implements ``terms``, and ``residuals`` if the loss is a sum of
squares, or hands both to :class:`FunctionObjective`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping

import torch
from torch import Tensor
from torch.optim import Optimizer

from sciml.errors import RunError
from sciml.jacobian import Rows

Terms = dict[str, Tensor]


class Objective(ABC):
    """The function that one training step minimises.

    Between two changes of ``version`` it is one function of the parameters: same points, same weights, no noise.

    Args:
        parameters: Of the function, in the order of the optimiser's; those that do not require a gradient are left
            out, here as in every :class:`ObjectiveOptimizer`.

    Attributes:
        parameters: The P numbers that are optimised, as a list of tensors. Flat vectors are their concatenation.
        version: Grows whenever the function itself has changed; what an optimiser remembers of values and gradients
            (not of curvature) is then void. It belongs into the checkpoint of whoever changes the function.
    """

    def __init__(self, parameters: Iterable[Tensor]) -> None:
        self.parameters = [p for p in parameters if p.requires_grad]
        self.version = 0
        self._rows: Rows | None = None

    @abstractmethod
    def terms(self) -> Terms:
        """The weighted loss terms, scalars, differentiable; their sum is the loss."""

    def terms_once(self) -> Terms:
        """The same for who differentiates them once at most, which may be faster."""
        return self.terms()

    def residuals(self) -> Terms:
        """What the loss is the sum of squares of, by condition, differentiable: each (n,) or (n, components).

        Row i of a condition should depend on its i-th point only: :meth:`rows` is then fast.

        Raises:
            RunError: The loss is no sum of squares.
        """
        raise RunError("this optimiser needs a loss that is a sum of squared residuals, which this one is not")

    def __call__(self) -> Tensor:
        """The loss as a detached scalar, with its gradients in ``.grad``: what torch calls a closure."""
        for p in self.parameters:
            p.grad = None
        with torch.enable_grad():
            loss = _total(self.terms_once())
            loss.backward()
        return loss.detach()

    def value(self) -> Tensor:
        """The loss as a detached scalar; ``.grad`` is left alone."""
        with torch.no_grad():
            return _total(self.terms_once())

    def residual(self) -> Tensor:
        """All residuals as one vector (n,), differentiable: ``loss = residual.square().sum()``."""
        return torch.cat([r.reshape(-1) for r in self.residuals().values()])

    def rows(self) -> tuple[Tensor, Tensor]:
        """The residual vector (n,) and its Jacobian (n, P), detached. Valid until the next call."""
        if self._rows is None:
            self._rows = Rows(lambda: list(self.residuals().values()), self.parameters)
        return self._rows()

    def second_order(self) -> tuple[Tensor, Tensor, Callable[[Tensor], Tensor]]:
        """Loss, gradient (P,) and the product with the Hessian, (P,) -> (P,) or (k, P) -> (k, P); all detached.

        The product is that at the present parameters; it keeps the function's graph.
        """
        with torch.enable_grad():
            loss = _total(self.terms())
            grads = torch.autograd.grad(loss, self.parameters, create_graph=True, materialize_grads=True)
            gradient = torch.cat([g.reshape(-1) for g in grads])

        def product(v: Tensor) -> Tensor:
            if not gradient.requires_grad:  # the loss is linear
                return torch.zeros_like(v)
            out = torch.empty_like(v)
            for row, vector in zip(out.view(-1, v.shape[-1]), v.reshape(-1, v.shape[-1]), strict=True):
                parts = torch.autograd.grad(
                    gradient, self.parameters, grad_outputs=vector, retain_graph=True, materialize_grads=True
                )
                torch.cat([part.reshape(-1) for part in parts], out=row)
            return out

        return loss.detach(), gradient.detach(), product


class FunctionObjective(Objective):
    """An objective from functions.

    Args:
        parameters: See :class:`Objective`.
        terms: Gives the weighted loss terms; the sums of the squared residuals by default.
        residuals: Gives the weighted residuals by condition.

    Raises:
        ValueError: Neither is given.
    """

    def __init__(
        self,
        parameters: Iterable[Tensor],
        *,
        terms: Callable[[], Mapping[str, Tensor]] | None = None,
        residuals: Callable[[], Mapping[str, Tensor]] | None = None,
    ) -> None:
        super().__init__(parameters)
        if terms is None and residuals is None:
            raise ValueError("an objective needs its terms or its residuals")
        self._terms, self._residuals = terms, residuals

    def terms(self) -> Terms:
        if self._terms is not None:
            return dict(self._terms())
        return {name: r.square().sum() for name, r in self.residuals().items()}

    def residuals(self) -> Terms:
        return super().residuals() if self._residuals is None else dict(self._residuals())


class ObjectiveOptimizer(Optimizer, ABC):
    """An optimiser whose step is given the function, not only a gradient."""

    @abstractmethod
    def step(self, objective: Objective) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Take one step.

        Args:
            objective: What is minimised, of the parameters that the optimiser was given; the same object at every
                step, with a greater ``version`` where it has become another function.

        Returns:
            The loss before the step, a detached scalar.
        """


def _total(terms: Mapping[str, Tensor]) -> Tensor:
    return torch.stack(list(terms.values())).sum()
