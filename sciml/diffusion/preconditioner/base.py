r"""How a network becomes a denoiser, and what it is trained on.

.. math:: \min_F\ E_{\sigma, x, \epsilon}\ \big\|D(x + \sigma\epsilon; \sigma) - x\big\|^2_{\lambda(\sigma)}

Karras et al. (2022), *Elucidating the Design Space of Diffusion-Based Generative Models*, eq. 2, 7 and table 1: most
parametrisations of a diffusion model surround the network F with four functions of the noise level,

.. math:: D(x_\sigma; \sigma) = c_{skip}(\sigma)\,x_\sigma
          + c_{out}(\sigma)\,F\big(c_{in}(\sigma)\,x_\sigma;\ c_{noise}(\sigma)\big),

and are told apart by these, the law of the levels in training and the weight :math:`\lambda`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import NamedTuple, final

import torch
from torch import Tensor, nn

NetworkFactory = Callable[..., nn.Module]  # (input channels, output channels, conditions=1) -> network


class Denoiser(nn.Module, ABC):
    """D, made of a network.

    Args:
        network: Called with fields ``(n, *grid, channels)`` and their condition ``(n, 1)``.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def fit(self, train: Tensor) -> None:
        """Take from the training fields ``(n, *grid, channels)`` what is taken from them, once, before training."""
        return

    @abstractmethod
    def forward(self, x: Tensor, sigma: Tensor) -> Tensor:
        """E[x | x_sigma] as the network has it.

        Args:
            x: Noisy fields ``(n, *grid, channels)``, in the dtype of the network.
            sigma: Their noise levels ``(n,)``, float64: functions of them are evaluated in it.
        """

    @abstractmethod
    def weight(self, sigma: Tensor) -> Tensor:
        r""":math:`\lambda` of the loss at levels ``(n,)``: ``(n, 1)``, or ``(n, channels)`` for each channel."""

    @final
    def mean(self, x: Tensor, sigma: float) -> Tensor:
        """:meth:`forward` for one level, in the dtype of ``x``, whatever that of the network."""
        dtype = next(self.network.parameters()).dtype
        levels = torch.full((len(x),), sigma, dtype=torch.float64, device=x.device)
        return self(x.to(dtype), levels).to(x.dtype)


class Preconditioner(ABC):
    r"""Noise levels are those of :math:`x_\sigma = x + \sigma\epsilon`."""

    @abstractmethod
    def levels(self, uniform: Tensor) -> Tensor:
        """Levels of training: the quantiles of their law at numbers between 0 and 1."""

    @abstractmethod
    def denoiser(self, network: NetworkFactory, shape: tuple[int, ...]) -> Denoiser:
        """A denoiser of fields ``(*grid, channels)``."""


class Coefficients(NamedTuple):
    """c_skip, c_out, c_in and c_noise, each of the shape of the noise levels."""

    skip: Tensor
    out: Tensor
    into: Tensor
    noise: Tensor


class Scaling(Preconditioner):
    """The four functions above."""

    @abstractmethod
    def coefficients(self, sigma: Tensor) -> Coefficients:
        """What surrounds the network at these levels, any shape."""

    @abstractmethod
    def weight(self, sigma: Tensor) -> Tensor:
        r""":math:`\lambda(\sigma)`."""

    @final
    def denoiser(self, network: NetworkFactory, shape: tuple[int, ...]) -> Denoiser:
        return Scaled(network(shape[-1], shape[-1], conditions=1), self)


@final
class Scaled(Denoiser):
    """Args:
    network: Called with fields ``(n, *grid, channels)`` and their condition ``(n, 1)``.
    functions: What is around it.
    """

    def __init__(self, network: nn.Module, functions: Scaling) -> None:
        super().__init__(network)
        self.functions = functions

    def forward(self, x: Tensor, sigma: Tensor) -> Tensor:
        skip, out, into, noise = (
            c.to(x.dtype)[(..., *[None] * (x.dim() - 1))] for c in self.functions.coefficients(sigma)
        )
        return skip * x + out * self.network(into * x, noise.flatten(1))

    def weight(self, sigma: Tensor) -> Tensor:
        return self.functions.weight(sigma)[:, None]
