r"""The probability flow by a solver that controls its error.

Song et al. (2021), *Score-Based Generative Modeling through Stochastic Differential Equations*, eq. 13, in the time of
a process:

.. math:: \frac{dx}{dt} = f(t)\,x - \tfrac12 g(t)^2\nabla\log p_t(x),

from time 1 to ``t_min`` by the method of Dormand and Prince with the authors' tolerances (appendix D.4), and the
denoiser at the end (appendix G), which is Euler's step of the same flow to noise level 0.
"""

from __future__ import annotations

from typing import final

from torch import Generator, Tensor

from sciml.diffusion.adaptive import check, integrate
from sciml.diffusion.base import Prior, Sampler, start
from sciml.diffusion.process import SDE
from sciml.ranges import Positive


@final
class ODE(Sampler):
    """Deterministic; chooses its steps by itself, so that it has no order in their number.

    Args:
        sde: The process.
        method: One of :data:`sciml.diffusion.adaptive.METHODS`.
        rtol: Relative tolerance of the error of a step, root mean square over the batch.
        atol: Absolute one.

    Raises:
        UsageError: torchdiffeq is not installed.
        ConfigError: There is no such method.
    """

    def __init__(self, *, sde: SDE, method: str = "dopri5", rtol: Positive = 1e-5, atol: Positive = 1e-5) -> None:
        check(method)
        self.sde, self.method, self.rtol, self.atol = sde, method, rtol, atol
        self.sigma_max = sde.sigma(1.0)

    def __call__(self, prior: Prior, shape: tuple[int, ...], generator: Generator) -> Tensor:
        sde = self.sde
        x = start(prior, shape, sde.prior_std, generator)
        (x,) = integrate(
            lambda t, state: (sde.flow(prior, state[0], t),),
            (x,),
            1.0,
            sde.t_min,
            method=self.method,
            rtol=self.rtol,
            atol=self.atol,
        )
        return sde.denoise(prior, x, sde.t_min)
