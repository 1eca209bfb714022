r"""The contracts of the diffusion family: prior, measurement, sampler, solver.

A field x is drawn from a prior :math:`p(x)`, observed as :math:`y = A(x) + \eta`,
:math:`\eta \sim N(0, \sigma_y^2 I)`, and a solver draws from :math:`p(x | y)`. The prior is known through its
noisy versions :math:`x_\sigma = x + \sigma\epsilon` (variance exploding, as in Karras et al. 2022,
*Elucidating the Design Space of Diffusion-Based Generative Models*); a method in another
parametrisation rescales to it.

Fields are ``(batch, *grid, channels)`` and observations ``(batch, m)``, both float64: the last steps of a
sampler subtract numbers that agree in many digits. A network inside a prior casts for itself.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from itertools import chain
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, final

import torch
from torch import Generator, Tensor, nn

from sciml.data.stream import normal
from sciml.diffusion.units import Units
from sciml.linalg.covariance import Covariance
from sciml.ranges import Positive

if TYPE_CHECKING:
    from sciml.diffusion.coloured import Noise


class Posterior(NamedTuple):
    """Mean and covariance of p(x | x_sigma); ``covariance`` is None for a prior that does not know it."""

    mean: Tensor
    covariance: Covariance | None


class ExactPosterior(ABC):
    """p(x | y) in closed form, for each row of the observations that it was made for."""

    @property
    @abstractmethod
    def mean(self) -> Tensor:
        """``(rows, *shape)``."""

    @property
    @abstractmethod
    def variance(self) -> Tensor:
        """Of each entry, ``(rows, *shape)`` or, the same for all rows, ``(*shape)``."""

    @abstractmethod
    def sample(self, generator: Generator) -> Tensor:
        """One independent draw for each row, ``(rows, *shape)``."""


class Prior(nn.Module, ABC):
    """What knows p(x).

    Attributes:
        axes: Of the grids of its fields; None for any number.
        channels: Of its fields; None for any number.
        gaussian: p(x) is a normal distribution, so that its two moments are all of it.
        has_covariance: :meth:`posterior` returns a covariance.
        needs_run: It is made of a finished run, which its parameter ``run`` names.
        needs_files: It is made of files of the user's own, which its parameter ``path`` names.
        evaluations: Calls of :meth:`posterior` so far, each for a whole batch.
        backwards: How many of them a gradient was taken through, as solvers report.
        noise: The law of the noise in its noisy versions, where that is not white.
        units: Of the data that it was learned from.
        names: Of the channels, where it knows them.
    """

    axes: ClassVar[int | None] = None
    channels: ClassVar[int | None] = None
    gaussian: bool = False
    has_covariance: bool = False
    needs_run: ClassVar[bool] = False
    needs_files: ClassVar[bool] = False
    units: Units = Units()
    names: tuple[str, ...] = ()

    def __init__(self) -> None:
        super().__init__()
        self.evaluations = self.backwards = 0
        self.noise: Noise | None = None

    @property
    def device(self) -> torch.device:
        """Where its numbers live."""
        return next(chain(self.buffers(), self.parameters())).device

    @final
    def posterior(self, x_t: Tensor, sigma: float) -> Posterior:
        """Moments of x given ``x_t = x + sigma * noise``.

        Args:
            x_t: Noisy fields ``(batch, *grid, channels)``.
            sigma: Positive noise level; ``math.inf`` gives the moments of p(x) itself.
        """
        self.evaluations += 1
        return self(x_t, sigma)

    @abstractmethod
    def forward(self, x_t: Tensor, sigma: float) -> Posterior:
        """What :meth:`posterior` returns and counts."""

    def exact(self, measurement: Measurement, y: Tensor) -> ExactPosterior | None:
        """The exact posterior given ``y`` ``(rows, m)``; None where it has no closed form."""
        return None

    def log_density(self, x: Tensor, sigma: float = 0.0) -> Tensor | None:
        """Logarithm of the density of fields with noise of this level, in nats; None where it has no closed form.

        Args:
            x: Fields ``(batch, *grid, channels)``; the result is ``(batch,)``.
            sigma: Noise level; 0 gives p(x) itself.
        """
        return None

    @abstractmethod
    def sample(self, n: int, generator: Generator) -> Tensor:
        """Independent draws from p(x) ``(n, *grid, channels)``; a learned prior gives data it was not fitted to.

        Raises:
            ConfigError: There are not so many.
        """

    def examples(self, n: int, generator: Generator) -> Tensor:
        """As many draws that a method may learn from; a learned prior gives data that it was fitted to.

        Raises:
            ConfigError: There are not so many.
        """
        return self.sample(n, generator)


class Dataset(ABC):
    """Fields to fit a prior to.

    Attributes:
        shape: Of one field, ``(*grid, channels)``.
        names: Of the channels.
        periodic: Of each axis of the grid.
        units: Of the numbers in its files.
    """

    shape: tuple[int, ...]
    names: tuple[str, ...]
    periodic: tuple[bool, ...]
    units: Units = Units()

    @abstractmethod
    def splits(self) -> dict[str, Tensor]:
        """``train``, ``val`` and ``test``, each ``(n, *shape)`` in float32, without a field in common."""


class Measurement(nn.Module, ABC):
    """The forward model A. Differentiable unless it says otherwise.

    Args:
        noise_std: Standard deviation of the noise, in units of y; positive.

    Attributes:
        axes: Of the grids of its fields; None for any number.
        needs_files: As that of a prior.
        calls: Applications of A and of its adjoint so far, each for a whole batch.
    """

    axes: ClassVar[int | None] = None
    needs_files: ClassVar[bool] = False

    def __init__(self, *, noise_std: Positive) -> None:
        super().__init__()
        self.noise_std = noise_std
        self.calls = 0

    def __call__(self, *args: Any, **kwargs: Any) -> Tensor:
        """A(x) without noise: ``(batch, *grid, channels)`` to ``(batch, m)``."""
        self.calls += 1
        return super().__call__(*args, **kwargs)

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """What calling the measurement returns and counts."""


class LinearMeasurement(Measurement):
    """A measurement with ``A(x) = A x``, in the plain inner products of x and y."""

    @final
    def adjoint(self, y: Tensor) -> Tensor:
        """Transpose of A: ``(batch, m)`` to ``(batch, *grid, channels)``."""
        self.calls += 1
        return self.transpose(y)

    @abstractmethod
    def transpose(self, y: Tensor) -> Tensor:
        """What :meth:`adjoint` returns and counts."""


class Sampler(ABC):
    """Integrates a reverse process from noise to a sample of p(x).

    Attributes:
        order: Order of the global error in the step size, for a deterministic sampler of the
            probability-flow equation; None for one that draws noise along the way. Such a
            deterministic sampler draws one standard normal field and starts at ``sigma_max`` times it.
        sigma_max: Noise level of the start.
    """

    order: int | None = None
    sigma_max: float

    @abstractmethod
    def __call__(self, prior: Prior, shape: tuple[int, ...], generator: Generator) -> Tensor:
        """Samples of ``shape`` ``(batch, *grid, channels)``."""


Denoiser = Callable[[Tensor, float], Tensor]  # (x_sigma, sigma) -> a guess of E[x | x_sigma, y]


class Guidance(ABC):
    """Turns a prior's denoiser into that of the posterior, which any sampler can then follow.

    Attributes:
        claims: As those of a :class:`Solver`, once a sampler's steps are small.
    """

    claims: frozenset[str] = frozenset()

    @abstractmethod
    def __call__(self, prior: Prior, measurement: Measurement, y: Tensor) -> Denoiser:
        """The denoiser given observations, the i-th state of a batch the i-th row of ``y``.

        Raises:
            RunError: It cannot be had for this prior or measurement.
        """


def start(prior: Prior, shape: tuple[int, ...], sigma: float, generator: Generator) -> Tensor:
    """Pure noise at a level far above the data: where a sampler begins."""
    return sigma * normal(shape, generator, torch.empty(0, dtype=torch.float64, device=prior.device))


class Solver(ABC):
    """Draws from p(x | y). Called without gradients; one that needs them turns them on (``torch.enable_grad``).

    Attributes:
        claims: Which moments of the posterior its samples match on a Gaussian problem, out of
            ``mean`` and ``covariance``. Point estimates and floors claim nothing.
        measures: The kind of measurement that it inverts.
        random: Its samples depend on the generator.
    """

    claims: frozenset[str] = frozenset()
    measures: ClassVar[type[Measurement]] = Measurement
    random: ClassVar[bool] = True

    @abstractmethod
    def __call__(
        self, y: Tensor, measurement: Measurement, prior: Prior, shape: tuple[int, ...], generator: Generator
    ) -> Tensor:
        """Samples of ``shape`` ``(batch, *grid, channels)``, the i-th given the i-th row of ``y`` ``(batch, m)``."""


class Score(ABC):
    """A measure of how far an estimate is from the truth, beside the relative error of whole fields.

    Attributes:
        names: Of the channels, where it knows them.
    """

    names: tuple[str, ...] = ()

    @abstractmethod
    def __call__(self, estimate: Tensor, truth: Tensor) -> dict[str, Tensor]:
        """Numbers ``(problems,)`` by name, from ``(problems, *grid, channels)`` both."""
