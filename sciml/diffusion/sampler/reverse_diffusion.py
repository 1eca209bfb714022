r"""The reverse-diffusion sampler: the reverse process in the steps of the Markov chain that it is the limit of.

Song et al. (2021), *Score-Based Generative Modeling through Stochastic Differential Equations*, appendix E: with the
forward step :math:`x_i = a_i x_{i-1} + b_i z`

.. math:: x_{i-1} = (2 - a_i)\,x_i + b_i^2\nabla\log p_{t_i}(x_i) + b_i z .

For the variance-exploding process the chain is eq. 8, for the variance-preserving one eq. 10; the sub-VP process has
none of its own and takes Euler's. The ancestral sampler of DDPM (appendix F) is this one up to higher orders in
:math:`\beta_i`; DDIM with :math:`\eta = 1` is here the one that is exact for a known :math:`x_0`.
"""

from __future__ import annotations

from typing import final

from sciml.diffusion.reverse import Reverse


@final
class ReverseDiffusion(Reverse):
    """Draws noise along the way; arguments as in :class:`~sciml.diffusion.reverse.Reverse`."""

    def kernel(self, before: float, t: float) -> tuple[float, float]:
        return self.sde.chain(before, t)
