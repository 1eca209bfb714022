"""Train on single steps from true states only (Williams and Zipser, 1989): what is tested feeds predictions back."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from sciml.operator.base import FieldMap, Rollout, feed


@final
class TeacherForced(Rollout):
    """Every state of the targets is predicted from the true states before it, all in one call of the network."""

    def train(self, network: FieldMap, u0: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        windows = [u0]
        for state in target.unbind(1)[:-1]:
            windows.append(feed(windows[-1], state))
        together = torch.stack(windows, dim=1)
        return network(together.flatten(0, 1)).unflatten(0, together.shape[:2]), target
