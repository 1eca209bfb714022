r"""Covariance operators: symmetric positive (semi-)definite maps on fields, seldom stored as a matrix.

Samplers and solvers need little of a covariance: its product with a field. What is known in closed form
also gives its diagonal and a root :math:`R` with :math:`R R^T = \Sigma`, which is what samples are made with. None is
inverted: it may be singular, as that of a field and its image under a map is.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import final

import torch
from torch import Tensor


class Covariance(ABC):
    """What can at least be multiplied with. Fields are ``(batch, *shape)``.

    Attributes:
        shared: It is the same for all entries of a batch.
        symmetric: It is, but for rounding, symmetric and positive; what a network makes of one need not be.
    """

    shared: bool = False
    symmetric: bool = True

    @abstractmethod
    def matvec(self, x: Tensor) -> Tensor:
        """Product with each field of ``x`` ``(batch, *shape)``.

        Where the covariance differs between the entries of a batch, ``x`` is aligned with that batch.
        """

    def gram(self, x: Tensor) -> Tensor:
        r""":math:`x_i^T \Sigma x_j` ``(batch, m, m)`` of fields ``(batch, m, *shape)``; for one that is shared."""
        rows = x.flatten(2)
        return rows @ self.matvec(x.flatten(0, 1)).reshape(rows.shape).mT

    def marginal(self, channel: int, channels: int) -> Covariance:
        """That of one of the ``channels`` of the fields, which are then ``(batch, *grid, 1)``."""
        return _Marginal(self, channel, channels)

    @final
    def dense(self, like: Tensor) -> Tensor:
        """The matrix ``(d, d)`` on fields shaped like ``like`` ``(*shape)`` in row-major order.

        For tests and small problems; takes d products. Only for covariances shared by a batch.
        """
        d = like.numel()
        identity = torch.eye(d, dtype=like.dtype, device=like.device).reshape(d, *like.shape)
        return self.matvec(identity).reshape(d, d).T


@final
class _Marginal(Covariance):
    """The other channels are zero in what is multiplied with, and left out of what is found."""

    def __init__(self, joint: Covariance, channel: int, channels: int) -> None:
        self._joint, self._channel, self._channels = joint, channel, channels
        self.shared, self.symmetric = joint.shared, joint.symmetric

    def matvec(self, x: Tensor) -> Tensor:
        whole = x.new_zeros(*x.shape[:-1], self._channels)
        whole[..., self._channel] = x[..., 0]
        return self._joint.matvec(whole)[..., self._channel, None]


class FactoredCovariance(Covariance):
    """A covariance with a root and a diagonal, shared by the whole batch."""

    shared: bool = True

    @abstractmethod
    def root(self, z: Tensor) -> Tensor:
        """Fields with this covariance from standard normal fields ``z`` ``(batch, *shape)``."""

    @abstractmethod
    def variance(self) -> Tensor:
        """The diagonal, as one field ``(*shape)``."""


class Modes(ABC):
    r"""Fields U that several covariances :math:`U\,\mathrm{diag}(w)\,U^T` have in common, orthonormal or not."""

    @abstractmethod
    def analyse(self, x: Tensor) -> Tensor:
        """:math:`U^T x` ``(batch, d)`` of each field of ``x`` ``(batch, *shape)``."""

    @abstractmethod
    def synthesise(self, z: Tensor) -> Tensor:
        """U z ``(batch, *shape)`` of each row of ``z`` ``(batch, d)``."""


class ModalCovariance(FactoredCovariance):
    r""":math:`U\,\mathrm{diag}(w)\,U^T`, so that what is known of a field under one holds for all with these modes.

    Attributes:
        modes: U.
        weight: w ``(d,)``, or one number for all, not negative.
    """

    modes: Modes
    weight: Tensor

    @final
    def matvec(self, x: Tensor) -> Tensor:
        return self.modes.synthesise(self.weight * self.modes.analyse(x))
