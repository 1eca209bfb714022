"""Everything that one pass over the training examples leaves behind: enough to score any number of queries."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from sciml.data.stream import stream
from sciml.influence.base import NetworkTask, Params
from sciml.influence.capture import Capture, Record
from sciml.influence.curvature import loss_gradient, seeds
from sciml.influence.kronecker.basis import Basis, fit
from sciml.influence.kronecker.spectrum import second_moment
from sciml.influence.score import Examples


@dataclass(frozen=True)
class Block:
    """One layer, or one parameter that no layer owns.

    Args:
        basis: Where its curvature is taken to be diagonal; None leaves everything as it is.
        spectrum: The curvature there, ``(d_out, d_in)`` in float64, of the sum of all losses.
        train: Gradients of the training losses in the basis, batch by batch.
    """

    basis: Basis | None
    spectrum: Tensor
    train: list[Examples]


Index = dict[str, Block]


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What of the curvature an attributor uses.

    Args:
        rotate: Decompose the Kronecker factors; else everything stays in the parameters as they are.
        spectrum: ``one`` for none, ``product`` of the factors' eigenvalues, or the ``second_moment``.
        curvature: See :mod:`sciml.influence.curvature`. ``samples`` likewise.
        sharing: See :mod:`sciml.influence.kronecker.basis`. ``most`` likewise.
        batch_size: Examples at once.
    """

    rotate: bool
    spectrum: str
    curvature: str = "auto"
    samples: int = 8
    sharing: str = "expand"
    most: int = 4096
    batch_size: int = 1024


def build(task: NetworkTask, capture: Capture, recipe: Recipe) -> Index:
    """One pass for the bases, where they are wanted, and one for the spectra and the gradients.

    Raises:
        RunError: Inputs or gradients of a block are not finite.
    """
    bases: dict[str, Basis] = {}
    if recipe.rotate:
        bases = fit(_records(task, capture, recipe, loss=False), sharing=recipe.sharing, most=recipe.most)
    spectra: dict[str, Tensor] = {}
    parts: dict[str, list[Examples]] = {}
    for batch in _records(task, capture, recipe, loss=True):
        for name, raw in batch.items():
            record = bases[name].rotate(raw) if name in bases else raw
            *_, d_out = record.grads.shape
            if recipe.spectrum == "second_moment":
                curved = Record(record.inputs, record.grads[:-1], record.tokens)
                spectra[name] = spectra.get(name, torch.zeros(())) + second_moment(curved)
            elif name not in spectra:
                size = (d_out, record.inputs.shape[-1])
                ones = torch.ones(size, dtype=torch.float64, device=record.inputs.device)
                spectra[name] = bases[name].spectrum if recipe.spectrum == "product" else ones
            parts.setdefault(name, []).append(Examples(record.inputs, record.grads[-1]).smaller())
    return {name: Block(bases.get(name), spectra[name], parts[name]) for name in parts}


def gradients(
    task: NetworkTask, capture: Capture, x: Tensor, y: Tensor, mask: Tensor | None, index: Index, batch_size: int
) -> dict[str, Examples]:
    """Gradients of the losses of examples, in the bases of ``index``."""
    parts: dict[str, list[Examples]] = {name: [] for name in index}
    for rows in _slices(len(x), batch_size):
        batch = capture(x[rows], _loss(task, y[rows]), None if mask is None else mask[rows])
        for name, raw in batch.items():
            basis = index[name].basis
            record = raw if basis is None else basis.rotate(raw)
            parts[name].append(Examples(record.inputs, record.grads[0]))
    return {name: joined(examples) for name, examples in parts.items()}


def query_gradients(task: NetworkTask, params: Params, capture: Capture, index: Index) -> dict[str, Examples]:
    """Gradients of what the task measures where that is no loss of its network, in the bases of ``index``."""
    whole = task.query_gradients(params).to(next(iter(params.values())).dtype)
    found: dict[str, Examples] = {}
    for name, matrices in capture.blocks(whole).items():
        basis = index[name].basis
        found[name] = Examples(matrices if basis is None else basis.rotate_gradients(matrices), None)
    return found


def _records(task: NetworkTask, capture: Capture, recipe: Recipe, *, loss: bool) -> Iterator[dict[str, Record]]:
    """Records of all training examples: for the seeds of the curvature, and then, if wanted, for the loss."""
    generator = stream("curvature")  # anew for each pass, so that both see the same draws
    for rows in _slices(task.n_train, recipe.batch_size):
        y, mask = task.y[rows], None if task.mask is None else task.mask[rows]

        def vectors(z: Tensor, y: Tensor = y) -> Tensor:
            parts: list[Tensor] = []
            if recipe.spectrum != "one":
                parts.append(
                    seeds(recipe.curvature, task.likelihood, z, y, samples=recipe.samples, generator=generator)
                )
            if loss:
                parts.append(_loss(task, y)(z))
            return torch.cat(parts)

        yield capture(task.x[rows], vectors, mask)


def _loss(task: NetworkTask, y: Tensor) -> Callable[[Tensor], Tensor]:
    return lambda z: loss_gradient(task.likelihood, z, y)[None]


def _slices(n: int, size: int) -> Iterator[slice]:
    return (slice(i, min(i + size, n)) for i in range(0, n, size))


def joined(parts: list[Examples]) -> Examples:
    """Several batches as one."""
    grads = [part.grads for part in parts if part.grads is not None]
    return Examples(torch.cat([part.inputs for part in parts]), torch.cat(grads) if grads else None)
