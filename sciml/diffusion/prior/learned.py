r"""A prior learned from data: the denoiser of a finished run, and a covariance fitted to what it was trained on.

The mean of :math:`p(x | x_\sigma)` is the run's averaged network, evaluated in its own precision. The covariance is
that of a normal distribution with the training fields' covariance :math:`\Sigma`,

.. math:: \Sigma_\sigma = (\Sigma^{-1} + \sigma^{-2} I)^{-1},

diagonal in cosines or waves but for some principal components, joint over the channels
(:mod:`sciml.diffusion.gaussian_fit`): the same for all states, so that a linear system is factored once a noise level,
and no network is differentiated. Rissanen et al. (2025), *Free Hunch: Denoiser Covariance Estimation for Diffusion
Models Without Extra Costs*, section 3.2, begin with the diagonal and update it along the way; here nothing is updated.
"""

from __future__ import annotations

import math
from copy import deepcopy
from typing import ClassVar, final

import torch
from torch import Generator, Tensor

from sciml.diffusion.base import Posterior, Prior
from sciml.diffusion.gaussian_fit import GaussianFit
from sciml.diffusion.training import Denoising
from sciml.errors import ConfigError, UsageError
from sciml.finished import finished


@final
class Learned(Prior):
    """The fields of a run's dataset. Truths are drawn from its test split without repetition.

    Args:
        run: The run that trained the denoiser: its folder or a part of its path (:mod:`sciml.finished`).
        shape: Shape of one field; that of the dataset.
        which: The run's ``best`` or ``last`` weights.
        rank: Principal components of the covariance; null for a prior without one.

    Raises:
        UsageError: There is no such run, or it trained no denoiser.
        ConfigError: The run's fields have another shape, or the rank is out of its range.
    """

    needs_run: ClassVar[bool] = True

    def __init__(self, *, run: str, shape: tuple[int, ...], which: str = "best", rank: int | None = 128) -> None:
        super().__init__()
        module = finished(run, family="diffusion", which=which)
        if not isinstance(module, Denoising):
            raise UsageError(f"diffusion.prior.run: {run} reconstructs fields; choose a run that trained a denoiser")
        self.dataset = module.dataset
        if tuple(shape) != tuple(self.dataset.shape):
            raise ConfigError(f"diffusion.shape is {list(shape)}; the fields of {run} are {list(self.dataset.shape)}")
        if rank is not None and rank < 0:
            raise ConfigError(f"diffusion.prior.rank is {rank}; it must be at least 0, or null")
        self.has_covariance = rank is not None  # type: ignore[misc] # the run's config says so, not the class
        self.rank = rank
        with module.average.applied():
            self.denoiser = deepcopy(module.denoiser).requires_grad_(False)
        self._splits: dict[str, Tensor] = {}
        self.fit: GaussianFit | None = None

    def forward(self, x_t: Tensor, sigma: float) -> Posterior:
        fit = self._fitted() if self.rank is not None or math.isinf(sigma) else None
        if math.isinf(sigma):
            assert fit is not None
            return Posterior(fit.mean.expand(x_t.shape), fit.covariance(sigma) if self.has_covariance else None)
        mean = self.denoiser.mean(x_t, sigma)
        return Posterior(mean, None if fit is None else fit.covariance(sigma))

    def sample(self, n: int, generator: Generator) -> Tensor:
        return self._draw("test", n, generator)

    def examples(self, n: int, generator: Generator) -> Tensor:
        return self._draw("train", n, generator)

    def _draw(self, split: str, n: int, generator: Generator) -> Tensor:
        there = self._split(split)
        if n > len(there):
            raise ConfigError(
                f"the {split} split of the prior's dataset has {len(there)} fields, not the {n} asked for"
            )
        return there[torch.randperm(len(there), generator=generator)[:n]].double().to(self.device)

    def _split(self, name: str) -> Tensor:
        if not self._splits:
            self._splits = self.dataset.splits()
        return self._splits[name]

    def _fitted(self) -> GaussianFit:
        """The normal distribution, fitted when it is first needed."""
        if self.fit is None:
            train = self._split("train")
            most = min(len(train) - 1, train[0].numel())
            if (self.rank or 0) > most:
                raise ConfigError(
                    f"diffusion.prior.rank is {self.rank}; the run's training fields allow at most {most}"
                )
            self.fit = GaussianFit(train, self.dataset.periodic, rank=self.rank or 0).to(self.device)
        return self.fit
