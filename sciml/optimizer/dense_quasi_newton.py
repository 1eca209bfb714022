r"""BFGS and self-scaled Broyden methods with the full inverse Hessian: for a few thousand parameters.

With :math:`w = H y`, :math:`\rho = 1/y^T s` and :math:`v = \rho s - w / y^T w`,

.. math:: H \leftarrow \frac1\tau\Big(H - \frac{w w^T}{y^T w} + \varphi\, (y^T w)\, v v^T\Big) + \rho\, s s^T,

which is BFGS for :math:`\varphi = \tau = 1`. The self-scaled Broyden method chooses, with the step length
:math:`\alpha` and the gradient :math:`g` before the step,

.. math:: h = \rho\, y^T w, \quad b = -\alpha\rho\, s^T g, \quad a = h b - 1, \quad
          c = \min\!\big(1, h (1 - \sqrt{|a|/(1+a)})\big), \\
          \theta = \max\!\Big(\frac{c-1}{a}, \min\!\Big(\frac1c, \frac{1-b}{b}\Big)\Big), \quad \sigma = 1 + a\theta,
          \quad \varphi = \frac{1-\theta}{\sigma}, \quad \rho_k = \min(1, 1/b), \quad
          \sigma' = |\sigma|^{1/(1-n)}, \\
          \tau = \min(\rho_k \sigma', \sigma) \text{ if } \theta \le 0, \text{ else } \rho_k \min(\sigma', 1/\theta);
          \quad \text{at the first update } \tau = h/\sigma .

Sources: Al-Baali, "Numerical experience with a class of self-scaling quasi-Newton algorithms", Journal of Optimization
Theory and Applications 96 (1998); Urban, Stefanou and Pons, "Unveiling the optimization process of physics informed
neural networks: how accurate and competitive can PINNs be?", Journal of Computational Physics 523 (2025), whose
formulas these are. BFGS scales its first H by :math:`1/h` (Nocedal and Wright, (6.20)).

Where this differs: where a is zero to rounding, as it always is for a single parameter, the update is BFGS, scaled.

H is one matrix that is changed in place: s and w span all that is added, so one product of rank two does it. A step
costs two products with a vector and this one; no matrix is copied.
"""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from sciml.optimizer.quasi_newton import QuasiNewton

CHECKED_EVERY = 100  # updates between two factorisations of H that see whether it is still positive definite


class DenseQuasiNewton(QuasiNewton):
    """What BFGS and the self-scaled Broyden method share."""

    def coefficients(self, h: float, b: float, n: int, first: bool) -> tuple[float, float]:
        """(phi, tau) of the update.

        Args:
            h: yᵀ H y / yᵀ s.
            b: sᵀ H⁻¹ s / yᵀ s.
            n: Number of parameters.
            first: Whether H is still the identity.
        """
        raise NotImplementedError

    def blank(self) -> bool:
        return self.memory.get("updates", 0) == 0

    def forget(self) -> None:
        memory = self.memory
        if "inverse" in memory:
            memory["inverse"].zero_().fill_diagonal_(1)
        memory["updates"] = memory["unchecked"] = 0

    def direction(self, gradient: Tensor) -> Tensor:
        return -gradient if self.blank() else torch.mv(self.memory["inverse"], gradient).neg_()

    def update(self, s: Tensor, y: Tensor, gradient: Tensor, step: float) -> None:
        memory, n = self.memory, len(s)
        if "inverse" not in memory:
            memory["inverse"] = torch.eye(n, dtype=s.dtype, device=s.device)
            memory["updates"] = memory["unchecked"] = 0
        inverse = memory["inverse"]
        w = y if self.blank() else torch.mv(inverse, y)
        rho = 1 / float(s @ y)
        ywy = float(y @ w)
        phi, tau = self.coefficients(ywy * rho, -step * rho * float(s @ gradient), n, self.blank())
        # H/τ + [w s] C [w s]ᵀ; ([w s] C) is narrow, so that all of it is one pass over H.
        ends = torch.stack([w, s], dim=1)
        across = -phi * rho / tau
        core = ends.new_tensor([[(phi - 1) / (ywy * tau), across], [across, phi * ywy * rho * rho / tau + rho]])
        inverse.addmm_(ends @ core, ends.T, beta=1 / tau)
        memory["updates"] += 1
        memory["unchecked"] += 1

    def new_function(self) -> None:
        memory = self.memory
        if self.blank() or memory["unchecked"] < CHECKED_EVERY:
            return
        memory["unchecked"] = 0
        inverse = memory["inverse"]
        inverse.add_(inverse.T.clone()).mul_(0.5)
        if int(torch.linalg.cholesky_ex(inverse).info):
            self.say("indefinite", "H has lost its positive definiteness; restarting along -g")
            self.forget()


@final
class BFGS(DenseQuasiNewton):
    """BFGS with a dense inverse Hessian. Takes the arguments of :class:`~sciml.optimizer.quasi_newton.QuasiNewton`."""

    def coefficients(self, h: float, b: float, n: int, first: bool) -> tuple[float, float]:
        return 1.0, h if first else 1.0


@final
class SSBroyden(DenseQuasiNewton):
    """The self-scaled Broyden method. Takes the arguments of :class:`~sciml.optimizer.quasi_newton.QuasiNewton`."""

    def coefficients(self, h: float, b: float, n: int, first: bool) -> tuple[float, float]:
        a = h * b - 1
        shortest = min(1.0, 1.0 / b)
        if a <= 1e-14 * h * b or n == 1:
            return 1.0, h if first else shortest
        c = min(1.0, h * (1 - (a / (1 + a)) ** 0.5))
        theta = max((c - 1) / a, min(1 / c, (1 - b) / b))
        sigma = 1 + a * theta
        phi = (1 - theta) / sigma
        if first:
            return phi, h / sigma
        spread = abs(sigma) ** (1 / (1 - n))
        return phi, min(shortest * spread, sigma) if theta <= 0 else shortest * min(spread, 1 / theta)
