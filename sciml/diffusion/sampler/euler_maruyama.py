r"""The method of Euler and Maruyama for the reverse process, in its own time.

Song et al. (2021), *Score-Based Generative Modeling through Stochastic Differential Equations*, eq. 6, in even steps
:math:`h` from time 1:

.. math:: x \leftarrow x - \big(f x - g^2\nabla\log p_t(x)\big)\,h + g\sqrt{h}\,z .

First order in its moments. One evaluation a step and one for the denoiser at the end, see
:class:`~sciml.diffusion.reverse.Reverse`.
"""

from __future__ import annotations

from typing import final

from sciml.diffusion.reverse import Reverse


@final
class EulerMaruyama(Reverse):
    """Draws noise along the way; arguments as in :class:`~sciml.diffusion.reverse.Reverse`."""

    def kernel(self, before: float, t: float) -> tuple[float, float]:
        return self.sde.euler(before, t)
