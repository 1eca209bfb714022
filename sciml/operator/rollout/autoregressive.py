r"""Feed every predicted state back in: :math:`u_{k+1} = G(u_k)`, or with h past frames in the input

.. math:: u_{k+1} = G(u_{k-h+1}, \dots, u_k),

as in Li et al. (2021), *Fourier Neural Operator for Parametric Partial Differential Equations*, section 5.3.
For one step it is the network itself.
"""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from sciml.errors import RunError
from sciml.operator.base import FieldMap, Rollout


@final
class Autoregressive(Rollout):
    """The newest state takes the place of the oldest frame of the input."""

    def __call__(self, network: FieldMap, u0: Tensor, steps: int) -> Tensor:
        states, window = [], u0
        for _ in range(steps):
            state = network(window)
            states.append(state)
            channels = state.shape[-1]
            if len(states) < steps and window.shape[-1] % channels:
                raise RunError(
                    f"an input of {window.shape[-1]} channels does not hold whole states of {channels},"
                    " so rollout autoregressive cannot feed the output back; choose another rollout"
                )
            window = torch.cat([window[..., channels:], state], dim=-1)
        return torch.stack(states, dim=1)
