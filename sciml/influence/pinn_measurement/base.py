r"""What is asked of a solution: the measurements of :class:`sciml.influence.task.pinn_run.PinnRun`.

A measurement is a number, or a few, of the trained network. With the sign of :mod:`sciml.influence.base`, a positive
score says that removing the collocation point *raises* the number: for one where low is good (``better_low``) the point
helps; for a signed one, such as the value of the solution somewhere, it only says in which direction the point pulls.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

from torch import Tensor, nn

if TYPE_CHECKING:
    from sciml.pinn.module import Pinn


class PinnMeasurement(nn.Module, ABC):
    """Reads numbers off a trained network.

    A module, so that points and references are buffers and follow the run's device.

    Attributes:
        better_low: The number is an error or a loss.
        diagnostic: The number needs the true solution, which nobody has who needs the network; for tests of methods.
        labels: What each number is, with its unit, ``n_query`` of them; known once prepared.
    """

    better_low: ClassVar[bool]
    diagnostic: ClassVar[bool] = False
    labels: tuple[str, ...] = ()

    @abstractmethod
    def prepare(self, run: Pinn) -> None:
        """Take points and references from the run, in float64.

        Raises:
            ConfigError: The run's problem has no such point, unknown or condition.
        """

    @abstractmethod
    def forward(self, run: Pinn) -> Tensor:
        """The numbers ``(n_query,)``, for the weights that ``run.network`` has; differentiable in them."""
