"""Any sampler, following a denoiser that knows the observations."""

from __future__ import annotations

from typing import final

import torch
from torch import Generator, Tensor

from sciml.diffusion.base import Denoiser, Guidance, Measurement, Posterior, Prior, Sampler, Solver


@final
class Guided(Solver):
    """Args:
    sampler: Integrates the reverse process.
    guidance: Makes the denoiser of the posterior.
    """

    def __init__(self, *, sampler: Sampler, guidance: Guidance) -> None:
        self.sampler, self.guidance = sampler, guidance
        self.claims = guidance.claims  # the guidance's, not the class's

    def __call__(
        self, y: Tensor, measurement: Measurement, prior: Prior, shape: tuple[int, ...], generator: Generator
    ) -> Tensor:
        return self.sampler(Conditional(prior, self.guidance(prior, measurement, y)), shape, generator)


@final
class Conditional(Prior):
    """What a sampler sees: the posterior as a prior. The calls are counted by the prior itself.

    Args:
        prior: What the denoiser was made of.
        denoiser: Of the posterior.
    """

    def __init__(self, prior: Prior, denoiser: Denoiser) -> None:
        super().__init__()
        self._prior, self._denoiser = [prior], denoiser

    @property
    def device(self) -> torch.device:
        return self._prior[0].device

    def forward(self, x_t: Tensor, sigma: float) -> Posterior:
        return Posterior(self._denoiser(x_t, sigma), None)

    def sample(self, n: int, generator: Generator) -> Tensor:
        raise NotImplementedError("a posterior has no samples of its own here")
