r"""Real fields on periodic boxes as Fourier coefficients that are free of aliasing.

A field with wavenumbers up to K along each of d axes is kept as the coefficients of ``rfft``, normalised so that they
do not depend on the grid,

    u(x) = Σ_k û_k e^{2πi k·x/L} ,   k = (0, ..., K, −K, ..., −1) along all axes but the last, (0, ..., K) along that.

On a grid of n points a product of p such fields is exact in the wavenumbers kept if n > (p + 1) K: the rule of two
thirds for squares (Orszag, "On the elimination of aliasing in finite-difference schemes by filtering high-wavenumber
components", J. Atmos. Sci. 28 (1971)), of one half for cubes. Coefficients beyond K, which that rule sets to zero, are
not stored: states and their arithmetic are the smaller for it.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from sciml.errors import RunError


def highest(points: int, degree: int = 2) -> int:
    """The highest wavenumber K whose products of ``degree`` fields are free of aliasing on ``points`` points."""
    return (points - 1) // (degree + 1)


def wavenumbers(modes: int, axes: int) -> tuple[Tensor, ...]:
    """The integers k of the coefficients, float64: for each axis a tensor that broadcasts with them."""
    half = torch.arange(modes + 1, dtype=torch.float64)
    full = torch.cat([half, -half[1:].flip(0)])
    lines = [full] * (axes - 1) + [half]
    return tuple(line.reshape(-1, *[1] * (axes - 1 - axis)) for axis, line in enumerate(lines))


def analyse(u: Tensor, modes: int, axes: int) -> Tensor:
    """Coefficients of point values.

    Args:
        u: Values ``(..., *grid)``, real, more than ``2 * modes`` points along each axis; what they hold above
            ``modes`` is cut off.
        modes: Highest wavenumber K.
        axes: How many of the last axes are space.

    Returns:
        Coefficients ``(..., 2K + 1, K + 1)``, for one axis ``(..., K + 1)``.
    """
    found = torch.fft.rfft(u, norm="forward")[..., : modes + 1]
    for axis in range(-2, -axes - 1, -1):
        along = torch.fft.fft(found, dim=axis, norm="forward")
        n = along.shape[axis]
        found = torch.cat([along.narrow(axis, 0, modes + 1), along.narrow(axis, n - modes, modes)], dim=axis)
    return found


def synthesise(coefficients: Tensor, points: int, axes: int) -> Tensor:
    """Values on ``points`` points along each axis, more than twice the highest wavenumber: ``(..., *grid)``."""
    found = coefficients
    for axis in range(-axes, -1):
        found = torch.fft.ifft(_spread(found, axis, points), dim=axis, norm="forward")
    return torch.fft.irfft(found, n=points, norm="forward")


def widen(coefficients: Tensor, modes: int, axes: int) -> Tensor:
    """The same field with wavenumbers up to ``modes``, no fewer than it has."""
    found = torch.nn.functional.pad(coefficients, (0, modes + 1 - coefficients.shape[-1]))
    for axis in range(-axes, -1):
        found = _spread(found, axis, 2 * modes + 1)
    return found


def _spread(coefficients: Tensor, axis: int, length: int) -> Tensor:
    """Zeros between the positive and the negative wavenumbers of an axis other than the last."""
    modes = coefficients.shape[axis] // 2
    shape = list(coefficients.shape)
    shape[axis] = length - 2 * modes - 1
    parts = coefficients.narrow(axis, 0, modes + 1), coefficients.narrow(axis, modes + 1, modes)
    return torch.cat([parts[0], coefficients.new_zeros(shape), parts[1]], dim=axis)


def observe(coefficients: Tensor, points: int, axes: int) -> Tensor:
    """Values on any number of points: of the field itself, not of what a coarse grid could represent of it."""
    modes = coefficients.shape[-1] - 1
    stride = 2 * modes // points + 1
    return synthesise(coefficients, stride * points, axes)[(..., *[slice(None, None, stride)] * axes)]


def march(
    step: Callable[[Tensor], Tensor],
    state: Tensor,
    *,
    frames: int,
    substeps: int,
    view: Callable[[Tensor], Tensor],
    axis: int,
) -> Tensor:
    """The views of ``frames`` states, the first of which is ``state`` and the others ``substeps`` steps apart.

    Args:
        step: One step in time.
        state: Where to begin.
        frames: How many.
        substeps: Steps from one to the next.
        view: What is kept of a state.
        axis: The axis along which the views are stacked.

    Raises:
        RunError: A state is no number: the step is too large.
    """
    views = [view(state)]
    for _ in range(1, frames):
        state = advance(step, state, substeps)
        views.append(view(state))
    return torch.stack(views, dim=axis)


def advance(step: Callable[[Tensor], Tensor], state: Tensor, steps: int) -> Tensor:
    """The state ``steps`` steps later.

    Raises:
        RunError: It is no number: the step is too large.
    """
    for _ in range(steps):
        state = step(state)
    if not bool(torch.isfinite(torch.view_as_real(state.sum()).sum())):
        raise RunError("the solution grew without bound: take a smaller step or a finer grid")
    return state


def substeps(dt: float, step: float) -> int:
    """How many equal steps of at most ``step`` fill ``dt``."""
    return max(1, math.ceil(dt / step - 1e-9))
