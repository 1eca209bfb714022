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

Sources: Urbán, Stefanou and Pons, "Unveiling the optimization process of physics informed neural networks: how accurate
and competitive can PINNs be?", Journal of Computational Physics 523 (2025), formulas 13 to 23, which are ``SSBroyden2``
of their code; after Al-Baali and Khalfan, "A wide interval for efficient self-scaling quasi-Newton algorithms", with
:math:`\rho_k` from Al-Baali, "Numerical experience with a class of self-scaling quasi-Newton algorithms", Journal of
Optimization Theory and Applications 96 (1998). BFGS scales its first H by :math:`1/h` (Nocedal and Wright, "Numerical
Optimization", 2nd edition, (6.20)).

Where this differs: where a is zero to rounding, as it always is for a single parameter, the update is BFGS, scaled.

H itself is not kept: on small losses its eigenvalues spread over more than 13 orders of magnitude, and rounding makes
it indefinite. Kept is a factor, :math:`H = J J^T`, which is positive whatever is rounded, with the root of the spread.
With :math:`q = J^T y` and :math:`p = -\alpha J^T g`, so that :math:`J q = w` and :math:`J p = s`, the update happens in
the plane of q and p. For the orthonormal basis Q of that plane whose first vector is :math:`q/|q|`, and
:math:`(p_1, p_2)` the coordinates of p, v has the coordinates :math:`(0, \rho p_2)`, and the formulas become

.. math:: J \leftarrow J\,\Big(\frac{I}{\sqrt\tau} + Q \Big(L - \frac{I}{\sqrt\tau}\Big) Q^T\Big), \qquad
          L = \begin{pmatrix} \sqrt\rho\,p_1 & 0 \\ \sqrt\rho\,p_2 & \sqrt{h b/\sigma\tau} \end{pmatrix}, \qquad
          a = \rho^2 |q|^2 p_2^2,

in which nothing cancels. A step takes five products of J with a vector and two rank-one changes of J in place; matrix
products with two columns would be fewer, and slower.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import final

import torch
from torch import Tensor

from sciml.optimizer.quasi_newton import QuasiNewton

PARALLEL = 1e-7  # sines below which q and p count as parallel: a is zero to rounding then


class DenseQuasiNewton(QuasiNewton):
    """What BFGS and the self-scaled Broyden method share."""

    _image: tuple[Tensor | None, Tensor] = (None, torch.empty(0))  # the last gradient g, and Jᵀ g

    @abstractmethod
    def scales(self, h: float, b: float, a: float, first: bool) -> tuple[float, float]:
        """(σ, τ) of the update.

        Args:
            h: yᵀ H y / yᵀ s.
            b: sᵀ H⁻¹ s / yᵀ s.
            a: h b − 1, not negative; exactly zero where it is zero to rounding.
            first: Whether H is still the identity.
        """

    @property
    def inverse_hessian(self) -> Tensor:
        """H, (P, P)."""
        factor = self.memory["factor"]
        return factor @ factor.T

    def blank(self) -> bool:
        return self.memory.get("updates", 0) == 0

    def forget(self) -> None:
        self.memory["updates"] = 0

    def direction(self, gradient: Tensor) -> Tensor:
        if self.blank():
            return -gradient
        factor = self.memory["factor"]
        image = torch.mv(factor.T, gradient)
        self._image = gradient, image  # the update asks for it again
        return torch.mv(factor, image).neg_()

    def update(self, s: Tensor, y: Tensor, gradient: Tensor, step: float) -> None:
        memory = self.memory
        first = self.blank()
        if first:
            self._image = None, s
            memory["factor"], memory["updates"] = torch.eye(len(s), dtype=s.dtype, device=s.device), 0
        factor = memory["factor"]
        known, image = self._image
        p = (image if known is gradient else torch.mv(factor.T, gradient)) * -step
        q = torch.mv(factor.T, y)
        length, p1 = float(q.norm()), 0.0
        if length > 0:
            q = q / length
            p1 = float(q @ p)
        if not p1 > 0:  # yᵀ s, which was positive, has drowned in rounding errors
            return
        rest = torch.sub(p, q, alpha=p1)
        rest = torch.sub(rest, q, alpha=float(q @ rest))
        p2 = float(rest.norm())
        plane = p2 > PARALLEL * p1
        p2 = p2 if plane else 0.0
        rho = 1 / (length * p1)
        h, b, a = rho * length**2, rho * (p1**2 + p2**2), (rho * length * p2) ** 2
        sigma, tau = self.scales(h, b, a, first)
        shrink = 1 / math.sqrt(tau)
        along = torch.mv(factor, q)
        if plane:
            rest /= p2
            across = torch.mv(factor, rest)
            column = torch.add(along * (math.sqrt(rho) * p1 - shrink), across, alpha=math.sqrt(rho) * p2)
            factor.addr_(column, q, beta=shrink)
            factor.addr_(across, rest, alpha=math.sqrt((1 + a) / (sigma * tau)) - shrink)
        else:
            factor.addr_(along, q, beta=shrink, alpha=math.sqrt(rho) * p1 - shrink)
        memory["updates"] += 1


@final
class BFGS(DenseQuasiNewton):
    """BFGS with a dense inverse Hessian. Takes the arguments of :class:`~sciml.optimizer.quasi_newton.QuasiNewton`."""

    def scales(self, h: float, b: float, a: float, first: bool) -> tuple[float, float]:
        return 1.0, h if first else 1.0


@final
class SSBroyden(DenseQuasiNewton):
    """The self-scaled Broyden method. Takes the arguments of :class:`~sciml.optimizer.quasi_newton.QuasiNewton`."""

    def scales(self, h: float, b: float, a: float, first: bool) -> tuple[float, float]:
        shortest = min(1.0, 1.0 / b)
        if a == 0:
            return 1.0, h if first else shortest
        c = min(1.0, h * (1 - math.sqrt(a / (1 + a))))
        theta = max((c - 1) / a, min(1 / c, (1 - b) / b))
        sigma = 1 + a * theta
        if first:
            return sigma, h / sigma
        n = len(self.memory["factor"])
        spread = sigma ** (1 / (1 - n))
        return sigma, min(shortest * spread, sigma) if theta <= 0 else shortest * min(spread, 1 / theta)
