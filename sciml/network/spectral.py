r"""The spectral layer of Fourier neural operators: a learned matrix for every one of a few Fourier modes.

.. math:: v = F^{-1}\big(R_k \, (F u)_k\big), \qquad R_k \in \mathbb{C}^{\text{out} \times \text{in}}

Source: Li et al. (2021), *Fourier Neural Operator for Parametric Partial Differential Equations*, eq. 4 and 5, on the
modes of :mod:`sciml.network.dft`. Deviations:

* The parameters are real: the two parts of :math:`R`, which every optimiser, average and compiler handles alike.
* A product of complex numbers is two real products, :math:`RX = R_r X + R_i (iX)`, as the parts of all examples lie
  one after the other.
* Frequencies that a grid does not represent are left out; the authors' code lets the two ends overlap there.
* The start is that of neuraloperator, :math:`R_{r}, R_i \sim N(0, 1/(\text{in} + \text{out}))`, which keeps the size
  of the modes; ``uniform`` is that of the authors' code, :math:`U(0, 1) / (\text{in} \cdot \text{out})`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor, nn

from sciml.errors import ConfigError
from sciml.network.dft import kept, prefers_dft, to_grid, to_grid_along, to_modes, to_modes_along

STARTS = ("normal", "uniform")
TRANSFORMS = ("auto", "dft", "fft")


class Spectral(nn.Module):
    """Fields grid first, ``(*grid, batch, in_features)`` to ``(*grid, batch, out_features)``, on any grid.

    Args:
        in_features: Input channels.
        out_features: Output channels.
        modes: Modes by axis: frequencies of magnitude below this, and on all axes but the last also minus this.
        transform: ``dft`` multiplies with matrices, ``fft`` does not, ``auto`` takes the faster for the sizes.
        init: ``normal`` or ``uniform``.

    Attributes:
        real: Real parts of the weights, ``(k_2, ..., k_d, k_1, in_features, out_features)``.
        imag: Imaginary parts.

    Raises:
        ConfigError: Unknown name, or no modes.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        modes: Sequence[int],
        *,
        transform: str = "auto",
        init: str = "normal",
    ) -> None:
        super().__init__()
        self.modes = check_modes(modes)
        if transform not in TRANSFORMS:
            raise ConfigError(f"network.transform: unknown '{transform}'; one of {', '.join(TRANSFORMS)}")
        if init not in STARTS:
            raise ConfigError(f"network.init: unknown '{init}'; one of {', '.join(STARTS)}")
        self.in_features, self.out_features, self.transform = in_features, out_features, transform
        first, last = self.modes[0], self.modes[-1]
        counts = [last] if len(self.modes) == 1 else [*(2 * m for m in self.modes[1:-1]), last, 2 * first]
        self.real = nn.Parameter(torch.empty(*counts, in_features, out_features))
        self.imag = nn.Parameter(torch.empty(*counts, in_features, out_features))
        for weight in (self.real, self.imag):
            if init == "normal":
                nn.init.normal_(weight, std=(in_features + out_features) ** -0.5)
            else:
                nn.init.uniform_(weight, 0, 1 / (in_features * out_features))

    def forward(self, x: Tensor) -> Tensor:
        """The layer; in float32 at least, also where autocast would have less."""
        return _in_full_precision(self._all_axes, x)

    def along(self, x: Tensor, axis: int) -> Tensor:
        """A layer of one axis on fields of several: along the others each line is an example."""
        return _in_full_precision(partial(self._one_axis, axis=axis), x)

    def _all_axes(self, x: Tensor) -> Tensor:
        grid = tuple(x.shape[:-2])
        fft = self._fft(grid)
        return to_grid(self._mix(to_modes(x, self.modes, fft=fft), grid), grid, self.modes, fft=fft)

    def _one_axis(self, x: Tensor, axis: int) -> Tensor:
        (modes,), grid = self.modes, (x.shape[axis],)
        fft = self._fft(grid)
        mixed = self._mix(to_modes_along(x, modes, axis, fft=fft), grid)
        return to_grid_along(mixed, (*x.shape[:-1], self.out_features), modes, axis, fft=fft)

    def _fft(self, grid: tuple[int, ...]) -> bool:
        return self.transform == "fft" or (self.transform == "auto" and not prefers_dft(grid, self.modes))

    def _mix(self, spectrum: Tensor, grid: tuple[int, ...]) -> Tensor:
        """R X of spectra ``(modes, 2 batch, in)``."""
        real, imag = (weight.to(spectrum.dtype) for weight in self._weights(grid))
        parts = spectrum.view(len(spectrum), 2, -1, self.in_features)
        signs = torch.tensor([-1.0, 1.0], dtype=spectrum.dtype, device=spectrum.device)
        turned = (parts.flip(1) * signs[:, None, None]).view_as(spectrum)  # i X
        return torch.baddbmm(torch.bmm(spectrum, real), turned, imag)

    def _weights(self, grid: tuple[int, ...]) -> tuple[Tensor, Tensor]:
        """Those of the modes that the grid has, ``(modes, in, out)``."""
        frequencies = kept(grid, self.modes)
        places = [slice(r.start + m, r.stop + m) for r, m in zip(frequencies[:-1], self.modes[:-1], strict=True)]
        places.append(slice(0, frequencies[-1].stop))
        index = (*places[1:], places[0])
        shape = (-1, self.in_features, self.out_features)
        return self.real[index].reshape(shape), self.imag[index].reshape(shape)


def _in_full_precision(f: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    if x.dtype in (torch.bfloat16, torch.float16) or torch.is_autocast_enabled(x.device.type):
        with torch.autocast(x.device.type, enabled=False):
            return f(x.to(torch.promote_types(x.dtype, torch.float32))).to(x.dtype)
    return f(x)


def check_modes(modes: Sequence[int]) -> tuple[int, ...]:
    """Modes by axis, as a tuple.

    Raises:
        ConfigError: There is none.
    """
    if not modes:
        raise ConfigError("network.modes is empty; it must have one number for each space axis")
    return tuple(modes)
