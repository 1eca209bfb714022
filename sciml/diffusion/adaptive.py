"""Integration of ordinary differential equations with control of the error by torchdiffeq, which is an extra."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec

import torch
from torch import Tensor

from sciml.errors import ConfigError, RunError, UsageError

State = tuple[Tensor, ...]
METHODS = ("dopri5", "dopri8", "bosh3", "fehlberg2", "adaptive_heun")  # torchdiffeq's with control of the error


def check(method: str) -> None:
    """Refuse early.

    Raises:
        UsageError: torchdiffeq is not installed.
        ConfigError: It has no such method.
    """
    if find_spec("torchdiffeq") is None:
        raise UsageError("the probability flow needs torchdiffeq: pip install 'sciml[ode]' or torchdiffeq")
    if method not in METHODS:
        raise ConfigError(f"method is '{method}'; it must be one of {', '.join(METHODS)}")


def integrate(
    slope: Callable[[float, State], State],
    state: State,
    begin: float,
    end: float,
    *,
    method: str,
    rtol: float,
    atol: float,
) -> State:
    """The state at time ``end``.

    Args:
        slope: Time and state to the state's derivative.
        state: Tensors, at time ``begin``.
        begin: A time.
        end: A later or an earlier one.
        method: One of :data:`METHODS`.
        rtol: Relative tolerance of the error of a step, root mean square over each tensor, the largest of them.
        atol: Absolute one.

    Raises:
        RunError: The step size fell to nothing, as it does where the slope is not finite.
    """
    from torchdiffeq import odeint

    ends = torch.tensor([begin, end], dtype=torch.float64, device=state[0].device)
    # Without step_t it steps over the end, where a process may not be defined, and interpolates.
    stop = {"step_t": ends[1:]}
    try:
        path = odeint(lambda t, x: slope(float(t), x), state, ends, rtol=rtol, atol=atol, method=method, options=stop)
    except AssertionError as error:  # torchdiffeq's only sign that it gave up
        raise RunError(f"the probability flow could not be integrated: {error}") from error
    return tuple(part[-1] for part in path)
