r"""Peak signal-to-noise ratio of images in decibels, :math:`10\log_{10}(R^2 / \overline{(\hat x - x)^2})`.

R is the range that the data may have, fixed: with the range of each image, or after each is stretched to it, numbers of
different estimates could not be compared.
"""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from sciml.diffusion.base import Score
from sciml.ranges import Positive


@final
class PSNR(Score):
    """``psnr`` over all entries of a field.

    Args:
        data_range: R, largest minus smallest value that a field can have.
    """

    def __init__(self, *, data_range: Positive) -> None:
        self.data_range = data_range

    def __call__(self, estimate: Tensor, truth: Tensor) -> dict[str, Tensor]:
        error = (estimate - truth).square().flatten(1).mean(1)
        return {"psnr": 10 * torch.log10(self.data_range**2 / error)}
