r"""How a network becomes a denoiser, and what it is trained on.

.. math:: D(x_\sigma; \sigma) = c_{skip}(\sigma)\,x_\sigma
          + c_{out}(\sigma)\,F\big(c_{in}(\sigma)\,x_\sigma;\ c_{noise}(\sigma)\big), \qquad
          \min_F\ E_{\sigma, x, \epsilon}\ \lambda(\sigma)\,\|D(x + \sigma\epsilon; \sigma) - x\|^2

Karras et al. (2022), *Elucidating the Design Space of Diffusion-Based Generative Models*, eq. 2, 7 and table 1: every
parametrisation of a diffusion model is four functions of the noise level, a law of the levels in training and a weight.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple, final

import torch
from torch import Tensor, nn


class Coefficients(NamedTuple):
    """c_skip, c_out, c_in and c_noise, each of the shape of the noise levels."""

    skip: Tensor
    out: Tensor
    into: Tensor
    noise: Tensor


class Preconditioner(ABC):
    r"""The functions above; noise levels are those of :math:`x_\sigma = x + \sigma\epsilon`, any shape."""

    @abstractmethod
    def coefficients(self, sigma: Tensor) -> Coefficients:
        """What surrounds the network at these levels."""

    @abstractmethod
    def weight(self, sigma: Tensor) -> Tensor:
        r""":math:`\lambda(\sigma)` of the training loss."""

    @abstractmethod
    def levels(self, uniform: Tensor) -> Tensor:
        """Levels of training: the quantiles of their law at numbers between 0 and 1."""


@final
class Preconditioned(nn.Module):
    """D, made of a network.

    Args:
        network: Called with fields ``(n, *grid, channels)`` and their condition ``(n, 1)``.
        preconditioner: The functions around it.
    """

    def __init__(self, network: nn.Module, preconditioner: Preconditioner) -> None:
        super().__init__()
        self.network, self.preconditioner = network, preconditioner

    def forward(self, x: Tensor, sigma: Tensor) -> Tensor:
        """E[x | x_sigma] as the network has it.

        Args:
            x: Noisy fields ``(n, *grid, channels)``, in the dtype of the network.
            sigma: Their noise levels ``(n,)``, float64: the functions are evaluated in it.
        """
        skip, out, into, noise = (
            c.to(x.dtype)[(..., *[None] * (x.dim() - 1))] for c in self.preconditioner.coefficients(sigma)
        )
        return skip * x + out * self.network(into * x, noise.flatten(1))

    def mean(self, x: Tensor, sigma: float) -> Tensor:
        """The same for one level, in the dtype of ``x``, whatever that of the network."""
        dtype = next(self.network.parameters()).dtype
        levels = torch.full((len(x),), sigma, dtype=torch.float64, device=x.device)
        return self(x.to(dtype), levels).to(x.dtype)
