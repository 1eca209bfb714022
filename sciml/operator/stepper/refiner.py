r"""PDE-Refiner: a first prediction, and K refinements that each remove a smaller noise from it.

Let y be the normalised change to the next state, and :math:`\epsilon` standard normal noise. The network sees the
input, a noised y and k, and gives :math:`v_k = \sqrt{\bar\alpha_k}\,\epsilon - \sqrt{1 - \bar\alpha_k}\,y`:

.. math::
    \beta_k = s^{k/K}, \qquad \bar\alpha_k = \prod_{j=k}^{K} (1 - \beta_j), \qquad k = 0, \dots, K \\
    x_0 = 0, \quad \hat y_k = \sqrt{\bar\alpha_k}\,x_k - \sqrt{1 - \bar\alpha_k}\,v_\theta(x_k, u, k) \\
    x_{k+1} = \frac{\sqrt{\bar\alpha_{k+1}}\,\beta_k}{1 - \bar\alpha_k}\,\hat y_k
        + \frac{\sqrt{1 - \beta_k}\,(1 - \bar\alpha_{k+1})}{1 - \bar\alpha_k}\,x_k
        + \Big(\frac{1 - \bar\alpha_{k+1}}{1 - \bar\alpha_k}\,\beta_k\Big)^{1/2} \epsilon

and the next state is the input's newest one plus :math:`\hat y_K`, decoded. As :math:`\beta_0 = 1`, step 0 is the
one-step prediction that is trained with the mean square error. Trained on one k an example, uniform.

Source: Lippe, Veeling, Perdikaris, Turner and Brandstetter (2023), *PDE-Refiner: Achieving Accurate Long Rollouts with
Neural PDE Solvers*, section 3.1 (steps, noise that falls exponentially), section 3.2 and the authors' code in PDEArena
(``pderefiner.py``: the process as a diffusion model with few steps, velocity prediction, ancestral sampling). Its
constants for the Kuramoto-Sivashinsky equation are the defaults: K = 3, s = 4e-7, which is a variance there although it
is called a standard deviation, k·1000/K as the condition, weights averaged with 0.995 (``operator.ema``).

Deviations: k counts upwards, as in section 3.1 (the code counts down); step 0 sees zeros, as there, not the pure
noise of the code, which says nothing; changes are divided by their standard deviation in the training data, not by
a given number. Float32 has 24 bits: with bfloat16 or TF32 the last steps would remove rounding errors.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Generator, Tensor, nn

from sciml.data.normalizer import Normalizer
from sciml.data.stream import normal, stream
from sciml.errors import ConfigError
from sciml.operator.base import Dataset, FieldMap, Loss, Rollout, Split, check_states, feed
from sciml.operator.rollout.teacher_forced import TeacherForced
from sciml.operator.stepper.base import NetworkFactory, Stepper, chunks
from sciml.operator.stepper.difference import fit_changes
from sciml.ranges import Count, ProperFraction


class Refiner(Stepper):
    """Predicts, then refines; a network that takes a condition.

    Args:
        network: Called with the numbers of channels, and ``conditions=1``.
        dataset: Its inputs hold whole states.
        normalizer: Of states, and of changes.
        positions: Append coordinates to what the network sees.
        refinements: K.
        variance: s, of the last noise, relative to that of a change.

    Attributes:
        evaluations: Of the network for one state.

    Raises:
        ConfigError: A network that takes no conditions, or inputs that hold no state.
    """

    stochastic: ClassVar[bool] = True

    def __init__(
        self,
        network: NetworkFactory,
        dataset: Dataset,
        normalizer: Callable[[int, tuple[int, ...]], Normalizer],
        *,
        positions: bool = False,
        refinements: Count = 3,
        variance: ProperFraction = 4e-7,
    ) -> None:
        check_states(dataset, "operator.stepper refiner")
        super().__init__(network, dataset, normalizer, positions=positions)
        self.channels, self.refinements, self.evaluations = dataset.out_channels, refinements, refinements + 1
        self.beta, self.alpha = schedule(refinements, variance)

    def build(self, network: NetworkFactory, in_features: int, out_features: int) -> nn.Module:
        if "conditions" not in inspect.signature(network).parameters:
            raise ConfigError("operator.stepper refiner needs a network that takes a condition, such as network=unet")
        return network(in_features + out_features, out_features, conditions=1)

    def fit(self, train: Split) -> None:
        self.input.fit(chunks(train, "input"))
        fit_changes(self.output, train)

    def start(self) -> FieldMap:
        generator = stream("operator/refiner")  # the same noise for every batch of trajectories

        def advance(u: Tensor) -> Tensor:
            return u[..., -self.channels :] + self.output.decode(self.refine(u, generator))

        return advance

    def refine(self, u: Tensor, generator: Generator) -> Tensor:
        """The normalised change that follows physical inputs ``(n, *grid, in_channels)``."""
        alpha, beta = self.alpha, self.beta
        seen = self.encode(u)
        x = torch.zeros_like(u[..., -self.channels :])
        first = y = self.estimate(x, seen, 0, x)
        for k in range(self.refinements):
            rest = (1 - alpha[k + 1]) / (1 - alpha[k])
            mean = math.sqrt(alpha[k + 1]) * beta[k] / (1 - alpha[k]) * y + math.sqrt(1 - beta[k]) * rest * x
            x = mean + math.sqrt(rest * beta[k]) * self.noise(x, generator)
            y = self.estimate(x, seen, k + 1, first)
        return y

    def estimate(self, x: Tensor, seen: Tensor, k: int, first: Tensor) -> Tensor:
        r"""The change :math:`\hat y_k` of noised changes x at step k; ``first`` is what step 0 has predicted."""
        v = self.velocity(x, seen, torch.full((len(x),), k, device=x.device))
        return math.sqrt(self.alpha[k]) * x - math.sqrt(1 - self.alpha[k]) * v

    def velocity(self, x: Tensor, seen: Tensor, k: Tensor) -> Tensor:
        """The network's v of noised changes x, at steps ``k`` (n,); positions stay the last channels it sees."""
        condition = (k * (1000 / self.refinements)).to(x.dtype)[:, None]
        return self.network(torch.cat([x, seen], dim=-1), condition)

    def loss(self, u: Tensor, target: Tensor, rollout: Rollout, loss: Loss, generator: Generator) -> Tensor:
        """The loss of v; the paper's is the mean square error. Raises what :meth:`examples` does."""
        u, y = self.examples(u, target, rollout)
        k = torch.randint(self.refinements + 1, (len(u),), generator=generator)
        found, v = self.velocities(u, y, k, generator)
        return loss(found[:, None], v[:, None])

    def velocities(self, u: Tensor, y: Tensor, k: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
        """The network's v and the true ones for inputs u and normalised changes y, at steps ``k`` (n,) on the CPU."""
        noise = self.noise(y, generator)
        signal, noisy = self.shares(k, y)
        # In step 0 the signal is 0; its noise is left out of what the network sees.
        shown = (k > 0).to(y.device).view(-1, *[1] * (y.dim() - 1))
        v = signal * noise * shown - noisy * y
        x = signal * y + noisy * noise * shown
        return self.velocity(x, self.encode(u), k.to(y.device)), v

    def noise(self, like: Tensor, generator: Generator) -> Tensor:
        """Standard normal noise for changes ``like``."""
        return normal(tuple(like.shape), generator, like)

    def examples(self, u: Tensor, target: Tensor, rollout: Rollout) -> tuple[Tensor, Tensor]:
        """Inputs ``(n, *grid, in_channels)`` and normalised changes of all windows of a batch.

        Raises:
            ConfigError: Windows of several states with another rollout than ``teacher_forced``: changes are learnt
                from true states.
        """
        if target.shape[1] > 1 and not isinstance(rollout, TeacherForced):
            raise ConfigError("operator.stepper refiner learns from true states; set operator/rollout=teacher_forced")
        windows = [u]
        for state in target.unbind(1)[:-1]:
            windows.append(feed(windows[-1], state))
        u, following = torch.cat(windows), target.transpose(0, 1).flatten(0, 1)
        return u, self.output.encode(following - u[..., -self.channels :])

    def shares(self, k: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
        r""":math:`\sqrt{\bar\alpha_k}` and :math:`\sqrt{1 - \bar\alpha_k}`, to be multiplied with ``like``."""
        alpha = torch.tensor(self.alpha, dtype=torch.float64)[k].view(-1, *[1] * (like.dim() - 1))
        return alpha.sqrt().to(like), (1 - alpha).sqrt().to(like)


def schedule(refinements: int, variance: float) -> tuple[list[float], list[float]]:
    r""":math:`\beta_k` and :math:`\bar\alpha_k` for :math:`k = 0, \dots, K`."""
    beta = [variance ** (k / refinements) for k in range(refinements + 1)]
    return beta, [math.prod(1 - b for b in beta[k:]) for k in range(refinements + 1)]
