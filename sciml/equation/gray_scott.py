r"""Gray-Scott: two species that diffuse and react, on a periodic square of side L.

    ∂u/∂t = D_u Δu − u v² + F (1 − u) ,   ∂v/∂t = D_v Δv + u v² − (F + k) v .

u = 1, v = 0 is always a stable state. Where F > 4 (F + k)² there are two more, (F + k) v = F (1 − u) with
u = ½ (1 ± √(1 − 4 (F + k)² / F)); around them fronts, spots, worms or spirals grow out of local disturbances (Pearson,
"Complex patterns in a simple system", Science 261 (1993), doi:10.1126/science.261.5118.189: D_u = 2e-5, D_v = 1e-5,
L = 2.5). A pattern has a size of about 0.1 and forms in a few hundred to thousands of units of time.

Method: Fourier modes without aliasing of the cube (:mod:`sciml.equation.spectral`), ETDRK4
(:mod:`sciml.equation.etdrk4`) with diffusion and decay as its linear part.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from sciml.equation.etdrk4 import ETDRK4
from sciml.equation.spectral import advance, analyse, highest, march, observe, substeps, synthesise, wavenumbers


class GrayScott:
    """The equation on a square.

    Args:
        feed: F, per unit of time.
        kill: k, per unit of time.
        d_u: Diffusivity of u, length squared over time.
        d_v: Diffusivity of v.
        length: Side L.

    Raises:
        ValueError: A number is negative, or the side is not positive.
    """

    def __init__(self, *, feed: float, kill: float, d_u: float = 2e-5, d_v: float = 1e-5, length: float = 2.0) -> None:
        for name, value in {"feed": feed, "kill": kill, "d_u": d_u, "d_v": d_v}.items():
            if value < 0:
                raise ValueError(f"{name} is {value}; it must not be negative")
        if length <= 0:
            raise ValueError(f"length is {length}; it must be positive")
        self.feed, self.kill, self.d_u, self.d_v, self.length = feed, kill, d_u, d_v, length

    def rate(self, fields: Tensor) -> Tensor:
        """∂u/∂t and ∂v/∂t of fields ``(..., 2, points, points)``, differentiated by their Fourier series."""
        n = fields.shape[-1]
        hat = torch.fft.rfft2(fields)
        k = 2 * math.pi / self.length * torch.fft.fftfreq(n, 1 / n, dtype=fields.dtype, device=fields.device)
        square = k.unsqueeze(1).square() + k[: n // 2 + 1].square()
        diffusion = torch.tensor([self.d_u, self.d_v], dtype=fields.dtype, device=fields.device).reshape(2, 1, 1)
        spread = torch.fft.irfft2(-diffusion * square * hat, s=(n, n))
        u, v = fields.unbind(-3)
        reaction = u * v * v
        growth = torch.stack([self.feed * (1 - u) - reaction, reaction - (self.feed + self.kill) * v], dim=-3)
        return spread + growth

    def solve(
        self,
        start: Tensor,
        *,
        dt: float,
        frames: int,
        step: float,
        warmup: int = 0,
        points: int | None = None,
    ) -> Tensor:
        """States at equal distances in time.

        Args:
            start: u and v ``(..., 2, resolution, resolution)``; what they hold above a quarter of the resolution is
                cut off.
            dt: Time from one state to the next.
            frames: States.
            step: Largest step of the integrator.
            warmup: States to leave out at the start.
            points: Points a side of the states, by default those of ``start``.

        Returns:
            ``(..., 2, frames, points, points)``, the first at time ``warmup * dt``.

        Raises:
            RunError: The step is too large.
        """
        resolution = start.shape[-1]
        modes, wanted = highest(resolution, 3), points or resolution
        kx, ky = (2 * math.pi / self.length * k.to(start) for k in wavenumbers(modes, 2))
        square = kx**2 + ky**2
        linear = -torch.stack([self.d_u * square + self.feed, self.d_v * square + self.feed + self.kill])
        source = torch.zeros_like(linear[0])
        source[0, 0] = self.feed

        def nonlinear(hat: Tensor) -> Tensor:
            u, v = synthesise(hat, resolution, 2).unbind(-3)
            reaction = analyse(u * v * v, modes, 2)
            return torch.stack([source - reaction, reaction], dim=-3)

        steps = substeps(dt, step)
        stepper = ETDRK4(linear, nonlinear, dt / steps)
        hat = advance(stepper, analyse(start, modes, 2), warmup * steps)
        return march(stepper, hat, frames=frames, substeps=steps, view=lambda state: observe(state, wanted, 2), axis=-3)
