r"""What all attributors share whose curvature is diagonal in a Kronecker-factored basis, the trivial ones included.

.. math:: I_{qi} = \sum_{\text{blocks}} \big\langle \tilde P_q,\; \tilde P_i / (\Lambda + \lambda + \delta\bar\Lambda)
          \big\rangle, \qquad \tilde P = Q_G^T P\, Q_A,

P the gradient of an example for a block, :math:`\Lambda` the curvature of the *sum* of the training losses in the
basis, :math:`\lambda` the decay of the task, and :math:`\delta` the damping in units of the mean eigenvalue
:math:`\bar\Lambda` of the block: 0.1, the heuristic of Grosse et al. (2023), *Studying Large Language Model
Generalization with Influence Functions*. A loss that is a mean over n examples has 1/n of this curvature, and 1/n of
the decay belongs to it; the damping, being relative, stays.
"""

from __future__ import annotations

from abc import ABC
from pathlib import Path
from typing import ClassVar, Literal

import torch
from torch import Tensor

from sciml.data.stream import stream
from sciml.errors import ConfigError, RunError
from sciml.influence.base import Attributor, NetworkTask, Params, Task
from sciml.influence.capture import Capture
from sciml.influence.curvature import Curvature
from sciml.influence.kronecker.index import Block, Index, Recipe, build, gradients, joined, query_gradients
from sciml.influence.score import Examples, compress, dense, pairs
from sciml.influence.separable import moments, take_apart
from sciml.influence.store import key, load, save
from sciml.ranges import Count, Natural, NonNegative

Precision = Literal["float32", "bfloat16"]  # of torch


class Kronecker(Attributor, ABC):
    """One training pass or two, then scores for any queries.

    Args:
        damping: Delta, times the mean eigenvalue of each block.
        curvature: ``auto``, ``exact``, ``monte_carlo`` or ``empirical``; see :mod:`sciml.influence.curvature`.
        samples: Draws for an example, for ``monte_carlo``.
        sharing: ``expand`` or ``reduce``; see :mod:`sciml.influence.kronecker.basis`.
        batch_size: Examples at once.
        precision: Of the products in scores: ``float32`` (that of the network, for one in float64) or ``bfloat16``.
        rank: Outer products that, with single entries, stand for 1/Lambda (:mod:`sciml.influence.separable`); 0 is
            exact.
        rescore: So many scores of each query, those largest in magnitude, are computed again exactly, where ``rank``
            or ``query_rank`` made them approximate.
        query_rank: Rank to which the queries' preconditioned gradients are compressed; 0 does not.
        store: Folder in which the training pass is kept for other queries (:mod:`sciml.influence.store`); None keeps
            it in memory.

    Raises:
        ConfigError: Both ``rank`` and ``query_rank`` are set.
    """

    needs: type[Task] = NetworkTask
    rotate: ClassVar[bool]
    spectrum: ClassVar[str]
    normalise: ClassVar[bool] = False

    def __init__(
        self,
        *,
        damping: NonNegative = 0.1,
        curvature: Curvature = "auto",
        samples: Count = 8,
        sharing: Literal["expand", "reduce"] = "expand",
        batch_size: Count = 1024,
        precision: Precision = "float32",
        rank: Natural = 0,
        rescore: Natural = 0,
        query_rank: Natural = 0,
        store: str | None = None,
    ) -> None:
        if rank > 0 and query_rank > 0:
            raise ConfigError("influence.attributor: rank and query_rank are two approximations of one thing; set one")
        self.store = None if store is None else Path(store)
        self.damping, self.precision = damping, getattr(torch, precision)
        self.rank, self.rescore, self.query_rank = rank, rescore, query_rank
        self.recipe = Recipe(
            rotate=self.rotate,
            spectrum=self.spectrum,
            curvature=curvature,
            samples=samples,
            sharing=sharing,
            batch_size=batch_size,
        )

    def __call__(self, task: Task, params: Params) -> Tensor:
        if not isinstance(task, NetworkTask):
            raise RunError(
                f"attributor {type(self).__name__} needs a {self.needs.__name__}, and {type(task).__name__} is none;"
                " choose influence/attributor=ggn"
            )
        capture = Capture(task, params)
        index = self._index(task, params, capture)
        return self.scores(index, self._queries(task, params, capture, index), task.decay)

    def _queries(self, task: NetworkTask, params: Params, capture: Capture, index: Index) -> dict[str, Examples]:
        if not task.asks_losses:
            return query_gradients(task, params, capture, index)
        return gradients(task, capture, task.x_query, task.y_query, task.mask_query, index, self.recipe.batch_size)

    def _index(self, task: NetworkTask, params: Params, capture: Capture) -> Index:
        if self.store is None:
            return build(task, capture, self.recipe)
        name = key(task, params, self.recipe)
        index = load(self.store, name)
        if index is None:
            index = build(task, capture, self.recipe)
            save(self.store, name, index)
        return index

    def scores(self, index: Index, query: dict[str, Examples], decay: float) -> Tensor:
        """Scores ``(q, n)`` from what the training pass left and gradients of queries in its bases."""
        inverses = {name: self._inverse(name, block, decay) for name, block in index.items()}
        scores = torch.zeros(())
        for name, block in index.items():
            scores = scores + self._block(block.train, query[name], *inverses[name])
        if self.rescore > 0 and (self.rank > 0 or self.query_rank > 0):
            self._rescore(scores, index, query, inverses)
        if self.normalise:
            scores /= _norms([[query[name]] for name in index])[:, None]
            scores /= _norms([block.train for block in index.values()])
        return scores

    def _inverse(self, name: str, block: Block, decay: float) -> tuple[Tensor, float]:
        """Lambda, and what is added to it before it is inverted."""
        if self.spectrum == "one":
            return block.spectrum, 0.0
        mean = float(block.spectrum.mean())
        added = decay + self.damping * mean
        if added + float(block.spectrum.min()) <= 1e-12 * float(block.spectrum.max()):  # rounding
            if mean > 0:
                raise RunError(
                    f"the curvature of {name} has no inverse: the task has no decay, so influence.attributor.damping"
                    " must be positive"
                )
            added = 1.0  # neither curvature nor gradients: contributes nothing
        return block.spectrum, added

    def _block(self, train: list[Examples], query: Examples, spectrum: Tensor, added: float) -> Tensor:
        """Scores of one block, ``(q, n)``."""
        precision = self.precision if query.inputs.dtype == torch.float32 else query.inputs.dtype
        inverse = torch.ones_like(spectrum) if self.spectrum == "one" else 1 / (spectrum + added)
        factored = query if self.spectrum == "one" else None  # the query with D in its outer products
        if 0 < self.rank < min(query.sizes) and query.grads is not None and train[0].grads is not None:
            weights = moments(query) * torch.stack([moments(part) for part in train]).sum(0)
            apart = take_apart(inverse, self.rank, weights)
            if apart.cost(query, train[0]) < inverse.numel():
                return apart.scores(query, train, precision)
        elif 0 < self.query_rank < min(query.sizes):
            factored = compress(query, inverse.to(query.inputs), self.query_rank, stream("query compression"))
        if factored is not None and _cheaper(factored, train[0]):
            return torch.cat([pairs(factored, part, precision) for part in train], dim=1)
        if factored is not None and self.query_rank > 0:
            query, inverse = Examples(factored.gradients(), None), torch.ones_like(inverse)
        return torch.cat([dense(query, part, inverse.to(query.inputs), precision) for part in train], dim=1)

    def _rescore(
        self, scores: Tensor, index: Index, query: dict[str, Examples], inverses: dict[str, tuple[Tensor, float]]
    ) -> None:
        """Exact scores for the examples with the largest ones, in place."""
        best = scores.abs().topk(min(self.rescore, scores.shape[1]), dim=1).indices
        for q, examples in enumerate(best):
            exact = torch.zeros(len(examples)).to(scores)
            for name, block in index.items():
                spectrum, added = inverses[name]
                one = query[name][slice(q, q + 1)]
                inverse = (1 / (spectrum + added)).to(scores)
                weighted = Examples(one.gradients() * inverse, None)
                exact += _against(weighted, _chosen(block.train, examples))
            scores[q, examples] = exact


def _cheaper(query: Examples, train: Examples) -> bool:
    """Whether outer products take fewer multiplications than gradients."""
    if query.grads is None or train.grads is None:
        return False
    d_out, d_in = train.sizes
    products = query.inputs.shape[1] * train.inputs.shape[1] * (d_out + d_in)
    return products < d_out * d_in


def _chosen(parts: list[Examples], rows: Tensor) -> Examples:
    """Examples by their numbers, from several batches."""
    sizes = torch.tensor([len(part) for part in parts])
    ends = sizes.cumsum(0)
    which = torch.searchsorted(ends, rows.cpu(), right=True)
    within = rows.cpu() - (ends - sizes)[which]
    return joined([parts[int(p)][int(i) : int(i) + 1] for p, i in zip(which, within, strict=True)])


def _norms(blocks: list[list[Examples]]) -> Tensor:
    """Of whole gradients, ``(n,)``; not zero, so that one may divide by them."""
    squares = torch.stack([torch.cat([part.square_norms() for part in parts]) for parts in blocks]).sum(0)
    return squares.sqrt().clamp(min=torch.finfo(squares.dtype).tiny)


def _against(one: Examples, train: Examples) -> Tensor:
    """Inner products of one gradient with those of some examples, ``(n,)``."""
    matrix = one.inputs[0]
    if train.grads is None:
        return (train.inputs * matrix).sum((1, 2))
    return ((train.grads @ matrix) * train.inputs).sum((1, 2))
