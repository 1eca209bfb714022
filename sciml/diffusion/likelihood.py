r"""The density of any prior, by the change of variables along its probability flow.

Song et al. (2021), *Score-Based Generative Modeling through Stochastic Differential Equations*, eq. 39: with the right
side v of the flow (eq. 13) from a state at ``t_min`` to time 1, where the law is nearly normal,

.. math:: \log p(x) = \log p_1(x_1) + \int_{t_{min}}^1 \nabla\cdot v(x_t, t)\,dt + d\,\log m(t_{min}), \qquad
          \nabla\cdot v = d f - \tfrac12 g^2\,\nabla\cdot\nabla\log p_t(x_t) .

Deviations. The state at ``t_min`` is :math:`m x`, not x, and the last term the volume that this takes: what is found
is then the density of data with noise of the level :math:`\sigma(t_{min})` and no other change, the same for every
process. The divergence is that of the Jacobian's diagonal while a field has few entries, and the estimate of Skilling
and Hutchinson (eq. 40) with random signs beyond: unbiased, with the same signs all along a path.
"""

from __future__ import annotations

import math
from typing import final

import torch
from torch import Generator, Tensor

from sciml.diffusion.adaptive import State, check, integrate
from sciml.diffusion.base import Prior
from sciml.diffusion.coloured import White
from sciml.diffusion.process import SDE
from sciml.ranges import Count, Natural, Positive


@final
class Likelihood:
    """Args:
        sde: The process; its ``t_min`` says how much noise the data have.
        exact_up_to: Entries of a field up to which the divergence is exact.
        probes: Signs for each field beyond that.
        method: One of :data:`sciml.diffusion.adaptive.METHODS`.
        rtol: Relative tolerance of the error of a step, root mean square over the batch.
        atol: Absolute one.
        batch_size: Fields that are integrated together.

    Raises:
        UsageError: torchdiffeq is not installed.
        ConfigError: There is no such method.
    """

    def __init__(
        self,
        *,
        sde: SDE,
        exact_up_to: Natural = 64,
        probes: Count = 1,
        method: str = "dopri5",
        rtol: Positive = 1e-5,
        atol: Positive = 1e-5,
        batch_size: Count = 512,
    ) -> None:
        check(method)
        self.sde, self.exact_up_to, self.probes = sde, exact_up_to, probes
        self.method, self.rtol, self.atol, self.batch_size = method, rtol, atol, batch_size

    def __call__(self, prior: Prior, x: Tensor, generator: Generator) -> Tensor:
        """Log densities in nats ``(n,)`` of fields ``(n, *grid, channels)``.

        Raises:
            RunError: The flow could not be integrated.
        """
        if prior.noise is None:
            return torch.cat([self._one(prior, part, generator) for part in x.split(self.batch_size)])
        white = White(prior, prior.noise)  # where its noise is white; the last term is the volume that this takes
        found = self(white, white.inverse.matvec(x), generator) - prior.noise.variance.log().sum() / 2
        prior.backwards += white.backwards
        return found

    def _one(self, prior: Prior, x: Tensor, generator: Generator) -> Tensor:
        sde, d = self.sde, x[0].numel()
        signs = self._signs(x, generator)

        def slope(t: float, state: State) -> State:
            drift, diffusion = sde.coefficients(t)
            score, trace = self._score(prior, state[0], t, signs)
            half = diffusion**2 / 2
            return drift * state[0] - half * score, d * drift - half * trace

        mean, _ = sde.marginal(sde.t_min)
        begin = (mean * x, x.new_zeros(len(x)))
        numbers = {"method": self.method, "rtol": self.rtol, "atol": self.atol}
        with torch.no_grad():
            end, volume = integrate(slope, begin, sde.t_min, 1.0, **numbers)
        square = (end.flatten(1) / sde.prior_std).square().sum(1)
        latent = -square / 2 - d * math.log(sde.prior_std * math.sqrt(2 * math.pi))
        return latent + volume + d * math.log(mean)

    def _signs(self, x: Tensor, generator: Generator) -> Tensor | None:
        """Of each probe, or None where the divergence is exact."""
        if x[0].numel() <= self.exact_up_to:
            return None
        drawn = torch.randint(0, 2, (self.probes, *x.shape), generator=generator, device=generator.device)
        return (2 * drawn - 1).to(x)

    def _score(self, prior: Prior, x: Tensor, t: float, signs: Tensor | None) -> tuple[Tensor, Tensor]:
        """The score ``x.shape`` and its divergence ``(batch,)``."""
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            score = self.sde.score(prior, x, t)
        rows = _entries(score) if signs is None else signs.unbind(0)
        total = x.new_zeros(len(x))
        for row in rows:
            (product,) = torch.autograd.grad(score, x, row, retain_graph=True)
            total = total + (product * row).flatten(1).sum(1)
        prior.backwards += len(rows)
        return score.detach(), total if signs is None else total / len(rows)


def _entries(like: Tensor) -> tuple[Tensor, ...]:
    """For each entry of a field, fields like these that are 1 there and 0 elsewhere."""
    d = like[0].numel()
    ones = torch.eye(d, dtype=like.dtype, device=like.device).reshape(d, 1, *like.shape[1:])
    return ones.expand(d, *like.shape).unbind(0)
