"""A trained denoiser whose every answer is known: the best one of a Gaussian field, in the place of a network."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from sciml.data.stream import stream
from sciml.diffusion.base import Dataset
from sciml.diffusion.preconditioner.base import Scaling
from sciml.diffusion.preconditioner.edm import EDM
from sciml.diffusion.prior.gaussian import Gaussian
from sciml.diffusion.training import Denoising


class Exact(nn.Module):
    """What a network has to be so that the preconditioner makes the best denoiser of it."""

    def __init__(self, prior: Gaussian, preconditioner: Scaling, sigma: Any) -> None:
        super().__init__()
        self.prior, self.preconditioner, self.sigma = prior, preconditioner, sigma
        self.weight = nn.Parameter(torch.ones((), dtype=torch.float64))

    def forward(self, u: Tensor, condition: Tensor) -> Tensor:
        sigma = self.sigma(condition[:1, 0])
        skip, out, into, _ = self.preconditioner.coefficients(sigma)
        x = u / into
        return self.weight * (self.prior.posterior(x, float(sigma)).mean - skip * x) / out


class Fields(Dataset):
    """Training fields whose mean and covariance are exactly those of the prior, and draws from it."""

    def __init__(self, prior: Gaussian, shape: tuple[int, ...], n: int) -> None:
        self.prior, self.n, self.shape = prior, n, shape
        self.names, self.periodic = tuple("xyz"[: shape[-1]]), (False,) * (len(shape) - 1)

    def splits(self) -> dict[str, Tensor]:
        drawn = {name: self.prior.sample(self.n, stream(f"fields/{name}", 0)) for name in ("train", "val", "test")}
        white = drawn["train"].flatten(1) - drawn["train"].flatten(1).mean(0)
        white = torch.linalg.solve_triangular(torch.linalg.cholesky(torch.cov(white.T)), white.T, upper=False).T
        mean, covariance = self.prior.posterior(drawn["train"], float("inf"))
        assert covariance is not None
        root = torch.linalg.cholesky(covariance.dense(drawn["train"][0]))
        drawn["train"] = (white @ root.T).reshape(-1, *self.shape) + mean
        return drawn


@cache
def trained(shape: tuple[int, ...], n: int = 4096) -> Denoising:
    """As if a run had ended in the best denoiser of a Gaussian field."""
    prior, preconditioner = Gaussian(shape=shape, mean=0.7), EDM(sigma_data=0.8)

    def network(n: int, m: int, *, conditions: int) -> nn.Module:
        return Exact(prior, preconditioner, lambda noise: (4 * noise).exp())

    return Denoising(
        dataset=Fields(prior, shape, n),
        network=network,
        preconditioner=preconditioner,
        optimizer=torch.optim.Adam,  # type: ignore[arg-type]
        batch_size=4,
    )
