r"""What a normal distribution can say of a field is said in closed form; the network learns the rest.

With the mean :math:`\mu` of the training fields, their K leading principal components V with the variances
:math:`\lambda_k`, and the mean variance :math:`\rho_c` of an entry of channel c beside these,

.. math:: G(x_\sigma) = \mu + V \tfrac{\lambda}{\lambda + \sigma^2} V^T (x_\sigma - \mu)
          + \tfrac{\rho}{\rho + \sigma^2} (I - V V^T)(x_\sigma - \mu), \\
          D(x_\sigma; \sigma) = G(x_\sigma) + c_{out,c}(\sigma)\,F\Big(\frac{x_\sigma - \mu}{\sqrt{\sigma^2 + s_c^2}},
          \frac{G(x_\sigma) - \mu}{s_c};\ \tfrac14\ln\sigma\Big), \\
          c_{out,c}^2 = \Big\langle \sum_k V_k^2 \frac{\sigma^2\lambda_k}{\lambda_k + \sigma^2} \Big\rangle_c
          + \frac{\sigma^2\rho_c}{\rho_c + \sigma^2}\Big(1 - \Big\langle\sum_k V_k^2\Big\rangle_c\Big), \qquad
          \lambda_c = 1 / c_{out,c}^2,

:math:`s_c` the standard deviation of channel c and :math:`\langle\cdot\rangle_c` the mean over its points. This is the
preconditioning of Karras et al. (2022), *Elucidating the Design Space of Diffusion-Based Generative Models*, with the
covariance of the data (that of probabilistic PCA, Tipping and Bishop 1999) in place of :math:`\sigma_{data}^2 I`: for
K = 0, zero mean and one channel it is theirs but for the network's second input. The target of the network has unit
variance in each channel at every level, so that a smooth solution counts as much as a rough coefficient, and an
untrained network is the best linear estimate from the components. Not in that paper.
"""

from __future__ import annotations

import math
from typing import final

import torch
from torch import Tensor, nn

from sciml.data.stream import stream
from sciml.diffusion.preconditioner.base import Denoiser, NetworkFactory, Preconditioner
from sciml.errors import ConfigError
from sciml.ranges import Natural, Positive

EXTRA = 16  # columns beyond the rank in the search for the components
PASSES = 3  # times that the data sharpen them


@final
class GaussianPreconditioner(Preconditioner):
    """Args:
    rank: Principal components K.
    p_mean: Mean of the logarithm of the noise level in training.
    p_std: Its standard deviation.
    """

    def __init__(self, *, rank: Natural = 512, p_mean: float = 0.3, p_std: Positive = 1.6) -> None:
        self.rank, self.p_mean, self.p_std = rank, p_mean, p_std

    def levels(self, uniform: Tensor) -> Tensor:
        return (self.p_mean + self.p_std * torch.special.ndtri(uniform)).exp()

    def denoiser(self, network: NetworkFactory, shape: tuple[int, ...]) -> Denoiser:
        if self.rank > math.prod(shape):
            raise ConfigError(f"preconditioner.rank is {self.rank}; a field has {math.prod(shape)} entries")
        return GaussianDenoiser(network(2 * shape[-1], shape[-1], conditions=1), shape, self.rank)


@final
class GaussianDenoiser(Denoiser):
    """Args:
    network: With twice as many channels in as out.
    shape: Of a field.
    rank: Principal components K.
    """

    center: Tensor
    components: Tensor
    variances: Tensor
    rest: Tensor
    std: Tensor
    inside: Tensor

    def __init__(self, network: nn.Module, shape: tuple[int, ...], rank: int) -> None:
        super().__init__(network)
        d, channels = math.prod(shape), shape[-1]
        self.register_buffer("center", torch.zeros(shape))
        self.register_buffer("components", torch.zeros(d, rank))  # V
        self.register_buffer("variances", torch.ones(rank))  # lambda
        self.register_buffer("rest", torch.ones(channels))  # rho
        self.register_buffer("std", torch.ones(channels))  # s
        self.register_buffer("inside", torch.zeros(rank, channels))  # <V^2>

    @torch.no_grad()
    def fit(self, train: Tensor) -> None:
        """Raises: ConfigError where there are no more fields than components, or a channel is constant."""
        n, rank, channels = len(train), len(self.variances), train.shape[-1]
        if rank >= n:
            raise ConfigError(
                f"preconditioner.rank is {rank}; there are {n} training fields, and it must be below that"
            )
        data = train.double()
        center = data.mean(0)
        rows = (data - center).flatten(1) / math.sqrt(n - 1)
        total = rows.square().sum(0).reshape(-1, channels).mean(0)
        if not bool((total > 0).all()):
            raise ConfigError("preconditioner gaussian: a channel of the training fields is constant")
        variances, components = leading(rows, rank)
        inside = components.square().unflatten(0, (-1, channels)).mean(0).T
        left = (total - variances @ inside).clamp_min(1e-8 * total)
        rest = left / (1 - inside.sum(0)).clamp_min(1e-8)
        found = {"center": center, "components": components, "variances": variances, "rest": rest}
        for name, value in {**found, "std": total.sqrt(), "inside": inside}.items():
            self.get_buffer(name).copy_(value)

    def forward(self, x: Tensor, sigma: Tensor) -> Tensor:
        per_channel = (slice(None), *[None] * (x.dim() - 2))
        level = sigma.to(x.dtype)
        offset = x - self.center
        linear = self._linear(offset, level[:, None])
        scale = (level[:, None].square() + self.std.square()).rsqrt()[per_channel]
        seen = torch.cat([offset * scale, linear / self.std], dim=-1)
        left = self.network(seen, (sigma.log() / 4).to(x.dtype)[:, None])
        return self.center + linear + self._spread(sigma).sqrt().to(x.dtype)[per_channel] * left

    def weight(self, sigma: Tensor) -> Tensor:
        return 1 / self._spread(sigma)

    def _linear(self, offset: Tensor, sigma: Tensor) -> Tensor:
        """G without the mean, of fields without it; ``sigma`` ``(n, 1)``."""
        square = sigma.square()
        along = offset.flatten(1) @ self.components
        gain, beside = (v / (v + square) for v in (self.variances, self.rest))
        whole = (along @ self.components.T).reshape(offset.shape)
        kept = ((along * gain) @ self.components.T).reshape(offset.shape)
        return kept + beside[(slice(None), *[None] * (offset.dim() - 2))] * (offset - whole)

    def _spread(self, sigma: Tensor) -> Tensor:
        """Mean square error of G in each channel, ``(n, channels)``, as its law has it, in float64."""
        square = sigma.double()[:, None].square()
        lam, rho, inside = self.variances.double(), self.rest.double(), self.inside.double()
        return (square * lam / (lam + square)) @ inside + square * rho / (rho + square) * (1 - inside.sum(0))


def leading(rows: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """The largest squared singular values ``(rank,)`` and their right vectors, as columns ``(d, rank)``.

    Of large data the vectors are sought in a random subspace that the data have sharpened (Halko, Martinsson and Tropp
    2011, *Finding Structure with Randomness*, algorithms 4.4 and 5.1).
    """
    if min(rows.shape) > rank + EXTRA:
        drawn = torch.randn(rows.shape[1], rank + EXTRA, dtype=rows.dtype, generator=stream("components", 0))
        found = torch.linalg.qr(rows @ drawn.to(rows.device)).Q
        for _ in range(PASSES):
            found = torch.linalg.qr(rows @ torch.linalg.qr(rows.T @ found).Q).Q
        rows = found.T @ rows
    _, values, right = torch.linalg.svd(rows, full_matrices=False)
    return values[:rank].square(), right[:rank].T
