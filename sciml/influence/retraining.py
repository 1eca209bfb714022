r"""Many trainings at once, in lock step: the ground truth of influence at a fraction of its price.

Runs that differ only in the weights :math:`w_{ri}` of the examples start from the same parameters and see the same
batches, so their networks are one batched network, and a step of all of them is a few batched products. With the
mean weight :math:`\bar w_r`, run r follows SGD with momentum (Sutskever et al. 2013) on
:math:`J(\theta; w_r) / (n \bar w_r)`, whose optimum is that of J:

.. math:: g_r = \frac1B\sum_{i\in\text{batch}} \frac{w_{ri}}{\bar w_r}\nabla\ell_i(\theta_r)
                + \frac{\lambda}{n\bar w_r}\theta_r, \qquad
          v_r \leftarrow \mu v_r + g_r, \qquad \theta_r \leftarrow \theta_r - \eta_t v_r,

with :math:`\eta_t = \tfrac\eta2(1 + \cos(\pi t/T))` (Loshchilov and Hutter 2017). A removed example has the weight 0:
it stays in its batch and says nothing there. Training on the subset alone would have fewer steps and other batches,
noise that has nothing to do with the example.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from sciml.data.batches import Batches
from sciml.errors import Diverged
from sciml.influence.base import NetworkTask, Params
from sciml.ranges import Count, Momentum, Positive


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a task is trained.

    Args:
        epochs: Passes over the training examples.
        batch_size: Examples in a step; an epoch's incomplete last batch is dropped.
        lr: Largest learning rate, of the mean loss.
        momentum: mu.
    """

    epochs: Count
    batch_size: Count
    lr: Positive
    momentum: Momentum = 0.9

    def rates(self, n: int) -> list[float]:
        """The learning rate of every step for n examples."""
        steps = self.epochs * (n // min(self.batch_size, n))
        return [self.lr / 2 * (1 + math.cos(math.pi * t / steps)) for t in range(steps)]


def checksum(*tensors: Tensor) -> str:
    """Of the shapes, types and values, 32 hex digits."""
    digest = hashlib.sha256()
    for tensor in tensors:
        values = tensor.detach().cpu().contiguous().numpy()
        digest.update(f"{values.shape}{values.dtype}".encode() + values.tobytes())
    return digest.hexdigest()[:32]


def train(task: NetworkTask, start: Params, weights: Tensor, recipe: Recipe, order: Generator) -> Iterator[Params]:
    """Train from ``start`` with each row of weights.

    Args:
        task: Network, likelihood, training data and lambda.
        start: The parameters that all runs begin with.
        weights: ``(runs, n_train)``, not negative, none of the rows zero.
        recipe: Epochs, batches, learning rate.
        order: Source of the batches; belongs to this call.

    Yields:
        The parameters with a leading dimension ``runs`` after every step, the same tensors every time.

    Raises:
        Diverged: The loss of a run is no longer finite.
    """
    mean = weights.mean(1, keepdim=True)
    if weights.min() < 0 or mean.min() == 0:
        raise ValueError("weights must not be negative, and not all zero in any run")
    runs, n = weights.shape
    relative, shrink = weights / mean, (task.decay / n / mean[:, 0]).tolist()
    names = list(start)
    theta = [start[k].detach().expand(runs, *start[k].shape).clone().requires_grad_() for k in names]
    decays = [torch.tensor(shrink, dtype=p.dtype, device=p.device).reshape(-1, *[1] * (p.dim() - 1)) for p in theta]
    velocity = [torch.zeros_like(p) for p in theta]
    batches = Batches(n, min(recipe.batch_size, n), order)

    def mean_loss(params: Params, w: Tensor, x: Tensor, y: Tensor) -> Tensor:
        return (w * task.likelihood.loss(task.outputs(params, x), y)).mean()

    step, total = 0, torch.zeros(())
    for step, rate in enumerate(recipe.rates(n)):
        batch = batches.next().to(task.x.device)
        with torch.enable_grad():
            each = torch.func.vmap(mean_loss, in_dims=(0, 0, None, None))(
                dict(zip(names, theta, strict=True)), relative[:, batch], task.x[batch], task.y[batch]
            )
            total = each.sum()  # runs share nothing, so the gradient of the sum is the gradient of each
            gradients = torch.autograd.grad(total, theta)
        with torch.no_grad():
            for p, v, g, decay in zip(theta, velocity, gradients, decays, strict=True):
                v.mul_(recipe.momentum).add_(g).addcmul_(p, decay)
                p.sub_(v, alpha=rate)
        if step % 50 == 49 and not bool(torch.isfinite(total)):
            break
        yield {name: p.detach() for name, p in zip(names, theta, strict=True)}
    if not bool(torch.isfinite(total)) or not all(bool(torch.isfinite(p).all()) for p in theta):
        raise Diverged("training loss", step + 1, float(total.detach()))
