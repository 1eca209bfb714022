r"""A prior learned from data: the denoiser of a finished run, and a covariance for each noise level.

The mean of :math:`p(x | x_\sigma)` is the run's averaged network, evaluated in its own precision. Its covariance, joint
over the channels, is one of three:

- ``data``: that of a normal distribution with the covariance :math:`\Sigma` of the training fields,
  :math:`\Sigma_\sigma = (\Sigma^{-1} + \sigma^{-2} I)^{-1}`, diagonal in cosines or waves but for some principal
  components (:mod:`sciml.diffusion.gaussian_fit`). Rissanen et al. (2025), *Free Hunch: Denoiser Covariance Estimation
  for Diffusion Models Without Extra Costs*, section 3.2, begin with it, diagonal, and update it along the way; here
  nothing is updated.
- ``errors``: that of the errors which the denoiser makes on training fields with noise of this level
  (:mod:`sciml.diffusion.error_covariance`).
- ``network``: that of each state, :math:`\sigma^2 \partial D / \partial x_\sigma` by Tweedie's formula, transposed, so
  that a product is one backward pass through the network (Rozet et al. 2024, *Learning Diffusion Priors from
  Observations by Expectation Maximization*, section 4.2). A trained network's Jacobian is neither symmetric nor
  positive, and says so.

The first two are the same for all states of a level, so that a linear system is factored once a level and no network is
differentiated.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from copy import deepcopy
from typing import ClassVar, Literal, final

import torch
from torch import Generator, Tensor

from sciml.diffusion.base import Posterior, Prior
from sciml.diffusion.error_covariance import ErrorCovariance, errors_of
from sciml.diffusion.fields import Fields
from sciml.diffusion.training import Denoising
from sciml.errors import UsageError
from sciml.finished import finished
from sciml.linalg.covariance import Covariance
from sciml.ranges import Count, Natural, Several


@final
class NetworkCovariance(Covariance):
    """Of each state of a batch.

    Args:
        product: With a field for each.
    """

    symmetric: bool = False

    def __init__(self, product: Callable[[Tensor], Tensor]) -> None:
        self._product = product

    def matvec(self, x: Tensor) -> Tensor:
        return self._product(x)


@final
class Learned(Prior):
    """The fields of a run's dataset. Truths are drawn from its test split without repetition.

    Args:
        run: The run that trained the denoiser: its folder or a part of its path (:mod:`sciml.finished`).
        shape: Shape of one field; that of the dataset.
        which: The run's ``best`` or ``last`` weights.
        covariance: ``data``, ``errors`` or ``network``; null for a prior without one.
        rank: Principal components of that of the data.
        fields: How many training fields the errors are taken of.

    Raises:
        UsageError: There is no such run, or it trained no denoiser.
        ConfigError: The run's fields have another shape.
    """

    needs_run: ClassVar[bool] = True

    def __init__(
        self,
        *,
        run: str,
        shape: tuple[Count, ...],
        which: str = "best",
        covariance: Literal["data", "errors", "network"] | None = "data",
        rank: Natural = 128,
        fields: Several = 1024,
    ) -> None:
        super().__init__()
        module = finished(run, family="diffusion", which=which)
        if not isinstance(module, Denoising):
            raise UsageError(f"diffusion.prior.run: {run} reconstructs fields; choose a run that trained a denoiser")
        self.fields = Fields(module.dataset, shape, rank=rank)
        self.has_covariance = covariance is not None  # the config says so, not the class
        self.covariance, self.judged = covariance, fields
        self.dihedral = module.dihedral
        self.units, self.names = module.dataset.units, module.dataset.names
        with module.average.applied():
            self.denoiser = deepcopy(module.denoiser).requires_grad_(False)
        self._errors: dict[float, Tensor] = {}

    def forward(self, x_t: Tensor, sigma: float) -> Posterior:
        if math.isinf(sigma):
            fit = self.fields.normal().to(self.device)
            return Posterior(fit.mean.expand(x_t.shape), fit.covariance(sigma) if self.has_covariance else None)
        if self.covariance == "network":
            return self._differentiated(x_t, sigma)
        mean = self.denoiser.mean(x_t, sigma)
        if self.covariance == "data":
            return Posterior(mean, self.fields.normal().to(self.device).covariance(sigma))
        if self.covariance is None:
            return Posterior(mean, None)
        closed = self.fields.dataset.periodic[0]
        return Posterior(mean, ErrorCovariance(lambda: self._left(sigma), dihedral=self.dihedral, closed=closed))

    def _differentiated(self, x_t: Tensor, sigma: float) -> Posterior:
        # Who differentiates the mean asks for a graph; who only multiplies with the covariance gets one of his own.
        wanted = torch.is_grad_enabled() and x_t.requires_grad
        with torch.enable_grad():
            x = x_t if wanted else x_t.detach().requires_grad_()
            mean = self.denoiser.mean(x, sigma)

        def product(v: Tensor) -> Tensor:
            self.backwards += 1
            return sigma**2 * torch.autograd.grad(mean, x, v, retain_graph=True)[0]

        return Posterior(mean if wanted else mean.detach(), NetworkCovariance(product))

    def _left(self, sigma: float) -> Tensor:
        """Errors of the denoiser at this level; in float32, so that all levels of a sampler can be kept."""
        if sigma not in self._errors:
            train = self.fields.split("train")[: self.judged].to(self.device)
            with torch.no_grad():
                self._errors[sigma] = errors_of(self.denoiser, train, sigma)
        return self._errors[sigma]

    def sample(self, n: int, generator: Generator) -> Tensor:
        return self.fields.draw("test", n, generator).to(self.device)

    def examples(self, n: int, generator: Generator) -> Tensor:
        return self.fields.draw("train", n, generator).to(self.device)
