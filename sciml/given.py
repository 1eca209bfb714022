"""Arrays that a user hands to a finished run, and numbers back."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn


def given(array: Any, like: nn.Module) -> Tensor:
    """What a module can be called with, from lists, a NumPy array or a tensor: of its precision, on its device.

    Raises:
        ValueError: A number is not finite.
    """
    parameter = next(like.parameters())
    # NumPy keeps what a list holds in double precision; torch would round it to its default.
    tensor = array if isinstance(array, Tensor) else torch.as_tensor(np.asarray(array))
    tensor = tensor.to(device=parameter.device, dtype=torch.empty(0, dtype=parameter.dtype).real.dtype)
    if not bool(torch.isfinite(tensor).all()):
        raise ValueError("a number of the input is not finite")
    return tensor


def numbers(result: Tensor) -> np.ndarray:
    """A NumPy array of a result."""
    return result.detach().cpu().numpy()
