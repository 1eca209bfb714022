"""Any sampler, following a denoiser that knows the observations."""

from __future__ import annotations

from torch import Generator, Tensor

from sciml.diffusion.base import Guidance, Measurement, Prior, Sampler, Solver
from sciml.diffusion.denoised import Denoised


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
        return self.sampler(Denoised(self.guidance(prior, measurement, y), prior.device), shape, generator)
