"""A denoiser in the place of a prior."""

from __future__ import annotations

from typing import final

import torch
from torch import Generator, Tensor

from sciml.diffusion.base import Denoiser, Posterior, Prior


@final
class Denoised(Prior):
    """What a sampler sees of a denoiser that is not a prior's: of a posterior, or of a network in training.

    Args:
        denoiser: Counts its calls itself, where they are to be counted.
        device: Where its numbers live.
    """

    def __init__(self, denoiser: Denoiser, device: torch.device) -> None:
        super().__init__()
        self._denoiser, self._device = denoiser, device

    @property
    def device(self) -> torch.device:
        return self._device

    def forward(self, x_t: Tensor, sigma: float) -> Posterior:
        return Posterior(self._denoiser(x_t, sigma), None)

    def sample(self, n: int, generator: Generator) -> Tensor:
        raise NotImplementedError("a denoiser has no samples of its own")
