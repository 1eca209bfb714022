"""The contract of simulations: random inputs, and what an equation makes of them, as data for neural operators.

One file an equation; it need not know of files, processes or the cache (:mod:`sciml.simulation.store`). A new one
inherits :class:`Simulation` and defines ``version``, ``periodic``, ``coordinates`` and ``samples``.
"""

from __future__ import annotations

import inspect
import re
from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np
from torch import Generator, Tensor

from sciml.data.stream import stream
from sciml.errors import RunError


class Simulation(ABC):
    """Samples without end: number i is a function of the parameters, the seed and i, and of nothing else.

    The constructor's parameters are keyword-only, plain data, and all that the numbers depend on; each is kept in an
    attribute of its name. A value that cannot be is refused with a ValueError that names the parameter.

    Attributes:
        version: Raise it whenever the same parameters give other numbers: what is cached is then made again.
        periodic: For each axis of space, whether it closes: then it has no end point, x = i L / points; other axes
            have both ends.
        chunk: Samples made together, the unit that is kept, resumed and spread over processes. Chunk c is always
            samples ``[c * chunk, (c + 1) * chunk)``, the last one cut off at the number asked for. One should take
            seconds, not minutes: what a killed process had in hand is lost.
    """

    version: ClassVar[int]
    periodic: tuple[bool, ...]
    chunk: int = 16

    @abstractmethod
    def coordinates(self) -> dict[str, np.ndarray]:
        """``x-coordinate``, ``y-coordinate``, ``t-coordinate``: each ``(points,)``, as PDEBench names them."""

    @abstractmethod
    def samples(self, first: int, count: int, seed: int) -> dict[str, np.ndarray]:
        """Samples ``first`` to ``first + count - 1`` by dataset name, float32, with PDEBench's names and axes.

        ==============================  ===================================================
        in time, one axis of space      ``tensor`` (count, t, x)
        coefficient to solution         ``nu`` (count, x, y), ``tensor`` (count, 1, x, y)
        in time, two axes of space      a name for each field, e.g. ``vorticity`` (count, t, x, y)
        ==============================  ===================================================

        Called in processes that have one thread each; random numbers come from :func:`generators` alone.

        Raises:
            RunError: A sample cannot be computed (a solver that does not converge); the line names it.
        """

    def advance(self, u: Tensor, dt: float) -> Tensor:
        """States ``(n, *grid, channels)`` a time dt later, by the solver: the exact row of a table.

        Of a steady equation: coefficients to solutions, whatever dt.

        Raises:
            RunError: This simulation does not say how a state goes on, or a state on its grid does not determine that.
        """
        raise RunError(f"simulation {self.name()} does not say how a state goes on, so it has no exact row")

    def parameters(self) -> dict[str, Any]:
        """Every constructor parameter by its name: enough to build the same simulation."""
        return {name: getattr(self, name) for name in inspect.signature(type(self)).parameters}

    @classmethod
    def name(cls) -> str:
        """The equation's name, as of its config file: ``KuramotoSivashinsky`` is ``kuramoto_sivashinsky``."""
        return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", cls.__name__).lower()


def generators(name: str, seed: int, first: int, count: int) -> list[Generator]:
    """A random number generator for each of the samples ``first`` to ``first + count - 1``.

    Args:
        name: Of the simulation, ``self.name()``; a second kind of numbers for the same samples gets one of its own.
        seed: Of the data set.
        first: Number of the first sample.
        count: How many.
    """
    return [stream(f"{name}/{i}", seed) for i in range(first, first + count)]
