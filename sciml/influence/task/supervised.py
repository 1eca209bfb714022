r"""Regression or classification on a real data set, with the recipe of its training.

.. math:: J(\theta; w) = \sum_i w_i\,\ell(f_\theta(x_i), y_i) + \tfrac{\lambda}{2}\|\theta\|^2 .

The queries are held-out examples. A permutation drawn from the run's seed splits the data set: its first entries are
the training examples, its last ones the queries. Inputs, and the targets of a regression, are standardised by the
mean and standard deviation of the training examples alone. Repeat r of the training has its own initialisation and
order of batches, both from the run's seed and r.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Annotated, Any, Literal, final

import torch
from torch import Tensor, nn

from sciml.data.normalizer import Normalizer
from sciml.data.stream import stream
from sciml.errors import ConfigError
from sciml.influence.base import Likelihood, Params, TrainedTask
from sciml.influence.retraining import Recipe, checksum, train
from sciml.ranges import Count, NonNegative, Range


@final
class Supervised(TrainedTask):
    """A network trained by SGD in lock step.

    Args:
        data: All inputs ``(n, features)`` and targets, ``(n, outputs)`` of a regression or ``(n,)`` classes.
        network: Makes a network from the numbers of its inputs and outputs.
        likelihood: Of the outputs.
        recipe: How it is trained.
        n_train: Training examples.
        n_query: Queries.
        decay: Lambda, of the sum of the losses.
        standardise: Bring the inputs to mean 0 and standard deviation 1.
        flipped: Fraction of the training examples whose class is replaced by another one, drawn evenly.
        queries: What is measured: the loss of held-out examples, or that of the training examples themselves.

    Attributes:
        is_flipped: Which training examples have a wrong class, ``(n_train,)``.

    Raises:
        ConfigError: The data set is too small, or has no classes to flip.
    """

    x: Tensor
    y: Tensor
    x_query: Tensor
    y_query: Tensor
    is_flipped: Tensor

    def __init__(
        self,
        *,
        data: tuple[Tensor, Tensor],
        network: Callable[[int, int], nn.Module],
        likelihood: Likelihood,
        recipe: Recipe,
        n_train: Count,
        n_query: Count,
        decay: NonNegative,
        standardise: bool = True,
        flipped: Annotated[float, Range(0, 1, below=True)] = 0.0,
        queries: Literal["held_out", "training"] = "held_out",
    ) -> None:
        super().__init__()
        x, y = data
        if n_train + n_query > len(x):
            raise ConfigError(
                f"influence.task: n_train {n_train} and n_query {n_query} together are more than the {len(x)} examples"
                " of the data set"
            )
        self.n_train, self.n_query, self.decay = n_train, n_query, decay
        self.likelihood, self.recipe = likelihood, recipe
        self._seed = torch.initial_seed()
        order = torch.randperm(len(x), generator=stream("split"))
        train_set, query_set = order[:n_train], order[len(x) - n_query :]
        if standardise:
            x = _standardised(x, x[train_set])
        classes = not y.is_floating_point()
        outputs = int(y.max()) + 1 if classes else y.shape[1]
        y = y if classes else _standardised(y, y[train_set]).to(torch.get_default_dtype())
        x = x.to(torch.get_default_dtype())
        for suffix, chosen in (("", train_set), ("_query", query_set)):
            self.register_buffer(f"x{suffix}", x[chosen])
            self.register_buffer(f"y{suffix}", y[chosen])
        self.register_buffer("is_flipped", torch.zeros(n_train, dtype=torch.bool))
        if flipped:
            self._flip(flipped, outputs if classes else 0)
        if queries == "training":
            self.x_query, self.y_query, self.n_query = self.x, self.y, n_train
        self._make = lambda: network(x.shape[1], outputs)
        self.network = self._network(0).eval()

    def _flip(self, fraction: float, classes: int) -> None:
        if classes < 2:
            raise ConfigError(f"influence.task.flipped is {fraction}: the data set has no classes")
        generator = stream("flipped")
        chosen = torch.randperm(self.n_train, generator=generator)[: max(1, round(fraction * self.n_train))]
        shift = torch.randint(1, classes, (len(chosen),), generator=generator)
        self.is_flipped[chosen] = True
        self.y[chosen] = (self.y[chosen] + shift) % classes

    def _network(self, repeat: int) -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(stream(f"initialisation {repeat}", self._seed).initial_seed())
            return self._make()

    def _start(self, repeat: int) -> Params:
        return {k: p.detach().to(self.x) for k, p in self._network(repeat).named_parameters()}

    def outputs(self, params: Params, x: Tensor) -> Tensor:
        return super().outputs(params, x.to(next(iter(params.values())).dtype))

    def identity(self) -> dict[str, Any]:
        start = self._start(0)
        return {
            "seed": self._seed,
            "examples": checksum(self.x, self.y, self.x_query, self.y_query),
            "start": checksum(*start.values(), self.outputs(start, self.x_query)),
            "network": str(self.network),
            "likelihood": type(self.likelihood).__name__,
            "recipe": asdict(self.recipe),
            "decay": self.decay,
        }

    def fit(self, weights: Tensor, *, repeat: int = 0) -> Params:
        order, params = stream(f"batches {repeat}", self._seed), {}
        for params in train(self, self._start(repeat), weights.to(self.x), self.recipe, order):  # noqa: B007
            pass
        return params

    def trajectory(self, checkpoints: int) -> list[tuple[float, Params]]:
        rates = self.recipe.rates(self.n_train)
        checkpoints = min(checkpoints, len(rates))  # a segment has at least one step
        ends = [round((k + 1) * len(rates) / checkpoints) for k in range(checkpoints)]
        order, ones = stream("batches 0", self._seed), self.x.new_ones(1, self.n_train)
        found, first = [], 0
        for step, params in enumerate(train(self, self._start(0), ones, self.recipe, order), start=1):
            if step in ends:
                # Momentum moves 1 / (1 - mu) times as far; the mean over n examples makes each count 1/n.
                time = sum(rates[first:step]) / (1 - self.recipe.momentum) / self.n_train
                found.append((time, {name: p[0].clone() for name, p in params.items()}))
                first = step
        return found


def _standardised(values: Tensor, fitted_on: Tensor) -> Tensor:
    normalizer = Normalizer(values.shape[-1]).to(values)
    normalizer.fit(fitted_on)
    return normalizer.encode(values)
