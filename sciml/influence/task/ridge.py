r"""Ridge regression on synthetic data, with its optimum in closed form.

.. math:: \ell_i(\theta) = \tfrac12 (x_i^T\theta - y_i)^2, \qquad m_q(\theta) = \tfrac12 (x_q^T\theta - y_q)^2, \qquad
          \theta(w) = (X^T W X + \lambda I)^{-1} X^T W y .

Rows are standard normal, scaled column by column from 1 to 0.1 so that the Hessian is no multiple of the identity;
:math:`y = X\theta^* + \epsilon`. Training and query rows have the same law. Hoerl and Kennard (1970), *Ridge
Regression: Biased Estimation for Nonorthogonal Problems*.
"""

from __future__ import annotations

from typing import ClassVar, final

import torch
from torch import Tensor

from sciml.data.stream import stream
from sciml.influence.base import Params, Task
from sciml.ranges import Count, NonNegative


@final
class Ridge(Task):
    """The data are drawn from the run's seed.

    Args:
        n_train: Training examples.
        n_query: Queries.
        features: Dimension of theta.
        noise_std: Standard deviation of the noise in y.
        decay: Lambda.
    """

    optimal: ClassVar[bool] = True

    x: Tensor
    y: Tensor
    x_query: Tensor
    y_query: Tensor

    def __init__(
        self,
        *,
        n_train: Count = 128,
        n_query: Count = 32,
        features: Count = 8,
        noise_std: NonNegative = 0.5,
        decay: NonNegative = 1.0,
    ) -> None:
        super().__init__()
        self.n_train, self.n_query, self.decay = n_train, n_query, decay
        generator = stream("ridge")
        scale = torch.logspace(0, -1, features, dtype=torch.float64)
        truth = torch.randn(features, generator=generator, dtype=torch.float64) / scale
        for suffix, n in (("", n_train), ("_query", n_query)):
            x = torch.randn(n, features, generator=generator, dtype=torch.float64) * scale
            noise = noise_std * torch.randn(n, generator=generator, dtype=torch.float64)
            self.register_buffer(f"x{suffix}", x)
            self.register_buffer(f"y{suffix}", x @ truth + noise)

    def losses(self, params: Params) -> Tensor:
        return (self.x @ params["theta"] - self.y).square() / 2

    def measure(self, params: Params) -> Tensor:
        return (self.x_query @ params["theta"] - self.y_query).square() / 2

    def fit(self, weights: Tensor, *, repeat: int = 0) -> Params:
        weights = weights.to(self.x)
        gram = torch.einsum("rn,ni,nj->rij", weights, self.x, self.x)
        gram = gram + self.decay * torch.eye(self.x.shape[1]).to(self.x)
        moment = torch.einsum("rn,ni,n->ri", weights, self.x, self.y)
        return {"theta": torch.cholesky_solve(moment[..., None], torch.linalg.cholesky(gram))[..., 0]}

    def jacobian(self, params: Params) -> Tensor:
        return self.x
