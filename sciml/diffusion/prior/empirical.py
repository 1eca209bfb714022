r"""A data set as a prior: a point mass on each of its fields, every posterior of which is known.

.. math:: p(x) = \frac1N \sum_i \delta(x - x_i), \qquad E[x|x_\sigma] = \sum_i w_i x_i, \qquad
          w_i \propto \exp\Big(-\frac{\|x_\sigma - x_i\|^2}{2\sigma^2}\Big) .

This is the denoiser that minimises the training loss on this data set (Karras et al. 2022, *Elucidating the Design
Space of Diffusion-Based Generative Models*, appendix B.3): it makes nothing new, but it has no error of a network, so
that what is left is the solver's. Given :math:`y = A(x) + N(0, \sigma_y^2 I)`, for any A, the fields are the same and
the weights :math:`w_i \propto \exp(-\|y - A(x_i)\|^2 / 2\sigma_y^2)`.

States are taken some at a time, so that no more than :data:`ENTRIES` weights are in memory; with gradients all are.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import final

import torch
from torch import Generator, Tensor

from sciml.diffusion.base import Dataset, ExactPosterior, Measurement, Posterior, Prior
from sciml.errors import ConfigError
from sciml.linalg.covariance import Covariance

ENTRIES = 2**22  # 32 MB of weights


@final
class Empirical(Prior):
    """Args:
        dataset: The fields.
        split: Of the dataset: ``train``, ``val`` or ``test``.

    Raises:
        ConfigError: There is no such split.
    """

    has_covariance: bool = True
    fields: Tensor
    half_squares: Tensor

    def __init__(self, *, dataset: Dataset, split: str = "train") -> None:
        super().__init__()
        splits = dataset.splits()
        if split not in splits:
            raise ConfigError(f"prior.split is '{split}'; it must be one of {', '.join(splits)}")
        self.shape = tuple(dataset.shape)
        fields = splits[split].double().flatten(1)
        self.register_buffer("fields", fields, persistent=False)
        self.register_buffer("half_squares", fields.square().sum(1) / 2, persistent=False)

    def weights(self, x: Tensor, sigma: float) -> Tensor:
        """Of all fields, ``(batch, N)``, given flat states ``(batch, d)`` at a noise level."""
        if math.isinf(sigma):
            return x.new_full((len(x), len(self.fields)), 1 / len(self.fields))
        return ((x @ self.fields.T - self.half_squares) / sigma**2).softmax(1)

    def forward(self, x_t: Tensor, sigma: float) -> Posterior:
        flat = x_t.flatten(1)
        parts = [self.weights(part, sigma) @ self.fields for part in flat.split(rows(len(self.fields)))]
        mean = torch.cat(parts)
        return Posterior(mean.reshape(x_t.shape), EmpiricalCovariance(self, flat, mean, sigma))

    def log_density(self, x: Tensor, sigma: float = 0.0) -> Tensor | None:
        if sigma == 0:
            return None
        n, d = self.fields.shape
        scale = d / 2 * math.log(2 * math.pi * sigma**2) + math.log(n)
        parts = []
        for part in x.flatten(1).split(rows(n)):
            distance = part.square().sum(1, keepdim=True) / 2 - part @ self.fields.T + self.half_squares
            parts.append((-distance / sigma**2).logsumexp(1) - scale)
        return torch.cat(parts)

    def exact(self, measurement: Measurement, y: Tensor) -> ExactPosterior:
        return EmpiricalPosterior(self, measurement, y)

    def sample(self, n: int, generator: Generator) -> Tensor:
        chosen = torch.randint(len(self.fields), (n,), generator=generator, device=generator.device)
        return self.fields[chosen.to(self.device)].reshape(n, *self.shape)


def rows(n: int, each: int = 1) -> int:
    """How many at a time, where each takes ``n * each`` numbers."""
    return max(1, ENTRIES // (n * each))


@final
class EmpiricalCovariance(Covariance):
    """Of the reweighted fields, one for each state; the weights are made again for each product.

    Args:
        prior: The fields.
        x: Flat states ``(batch, d)``.
        mean: Their means ``(batch, d)``.
        sigma: Noise level.
    """

    def __init__(self, prior: Empirical, x: Tensor, mean: Tensor, sigma: float) -> None:
        self._prior, self._x, self._mean, self._sigma = prior, x, mean, sigma

    def matvec(self, x: Tensor) -> Tensor:
        fields, flat = self._prior.fields, x.flatten(1)
        # One state serves any number of fields; torch has the same rule for all else that is batched.
        states, means = (part.expand(len(flat), -1) for part in (self._x, self._mean))
        parts = []
        for state, mean, part in zip(*(t.split(rows(len(fields))) for t in (states, means, flat)), strict=True):
            along = part @ fields.T - (part * mean).sum(1, keepdim=True)
            parts.append((self._prior.weights(state, self._sigma) * along) @ fields)
        return torch.cat(parts).reshape(x.shape)


@final
class EmpiricalPosterior(ExactPosterior):
    """Args:
    prior: The fields.
    measurement: A and its noise, linear or not.
    y: Observations ``(rows, m)``.
    """

    def __init__(self, prior: Empirical, measurement: Measurement, y: Tensor) -> None:
        self._prior, self._y, self._noise = prior, y, measurement.noise_std
        parts = prior.fields.split(rows(y.shape[1], 8))
        self._seen = torch.cat([measurement(part.reshape(-1, *prior.shape)) for part in parts])

    def _weights(self, each: int = 1) -> Iterator[Tensor]:
        """Of the fields, ``(some rows, N)``, all rows in turn."""
        half = self._seen.square().sum(1) / 2
        for part in self._y.split(rows(len(self._seen), each)):
            yield ((part @ self._seen.T - half) / self._noise**2).softmax(1)

    @property
    def mean(self) -> Tensor:
        return torch.cat([w @ self._prior.fields for w in self._weights()]).reshape(-1, *self._prior.shape)

    @property
    def variance(self) -> Tensor:
        fields, parts = self._prior.fields, []
        for w in self._weights(each=fields.shape[1]):
            centred = fields - (w @ fields)[:, None]  # twice through the data: their squares would cancel
            parts.append(torch.einsum("rn,rnd->rd", w, centred.square()))
        found = torch.cat(parts)
        # What is the same in all of them, up to rounding.
        return found.where(found > (1e-12 * fields.abs().max()) ** 2, 0).reshape(-1, *self._prior.shape)

    def sample(self, generator: Generator) -> Tensor:
        chosen = [torch.multinomial(w.cpu(), 1, generator=generator)[:, 0] for w in self._weights()]
        return self._prior.fields[torch.cat(chosen).to(self._y.device)].reshape(-1, *self._prior.shape)
