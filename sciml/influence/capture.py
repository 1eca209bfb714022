r"""Inputs and output gradients of the linear layers of a network: all that their per-example gradients are made of.

A linear layer with weight W (and bias b, the column of an input that is always 1) maps inputs :math:`a_{it}` of example
i to :math:`W a_{it}`, at each token t: a position, a patch of a convolution, or a repeated call of the module. With the
gradient :math:`g_{it}` of a scalar with respect to its output,

.. math:: \nabla_W = \sum_t g_{it} a_{it}^T .

Keeping a and g takes :math:`T(d_i + d_o)` numbers where the gradient takes :math:`d_i d_o`; with one token it is an
outer product. Hooks see ``nn.Linear`` and ``nn.Conv2d``. Every other parameter (a spectral weight, ``F.linear``, an
LSTM cell, the scale of a norm) is a block of its own, whose gradient comes from
:func:`sciml.influence.perexample.pull_back` and is written as g with the input 1: nothing is left out. What the hooks
see is not trusted either: on some examples it is compared with differentiation, and a layer that does something else
with its parameters (ties them, mixes examples, takes tokens before examples) goes the same way.

Gradients of outputs are read at the edge of the graph behind each output, so that an activation that works in place
changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge, get_gradient_edge

from sciml.errors import RunError
from sciml.influence.base import NetworkTask, Params
from sciml.influence.perexample import pull_back

PROBE = 3  # examples on which the hooks are compared with differentiation


@dataclass(frozen=True)
class Record:
    """Of one block: inputs ``(n, T, d_in)`` with the column of ones, output gradients ``(k, n, T, d_out)``, and which
    tokens count, ``(n, T)`` of zeros and ones.
    """

    inputs: Tensor
    grads: Tensor
    tokens: Tensor

    def gradients(self) -> Tensor:
        """Per-example gradients ``(k, n, d_out, d_in)``; the last column is the bias."""
        return torch.einsum("knto,nti->knoi", self.grads, self.inputs)


@dataclass(frozen=True)
class _Call:
    module: nn.Module
    given: Tensor
    inputs: Tensor
    tokens: Tensor
    edge: GradientEdge
    shape: torch.Size


@final
class Capture:
    """The blocks of a network and how to record them.

    Args:
        task: Whose network it is.
        params: Of the network; their dtype is used throughout.

    Attributes:
        layers: Modules by name whose parameters hooks see.
        rest: Names of all other parameters.

    Raises:
        RunError: The network is in training mode, a parameter is complex, or an output depends on the other examples
            of its batch.
    """

    def __init__(self, task: NetworkTask, params: Params) -> None:
        self.task = task
        self.params = {name: p.detach() for name, p in params.items()}
        for name, p in self.params.items():
            if p.is_complex():
                raise RunError(f"parameter {name} is complex; write it as pairs of real numbers (torch.view_as_real)")
        if task.network.training:
            raise RunError("attribution needs the network in evaluation mode: dropout and batch statistics must rest")
        self.layers = _candidates(task.network, self.params)
        self._audit()
        self.rest = [name for name in self.params if not any(name in _owned(layer) for layer in self.layers.items())]

    def __call__(self, x: Tensor, seeds: Callable[[Tensor], Tensor], mask: Tensor | None = None) -> dict[str, Record]:
        """Record one batch.

        Args:
            x: Inputs ``(n, ...)``.
            seeds: From outputs ``(n, ..., C)`` to vectors ``(k, n, ..., C)``; the gradients recorded are those of
                ``seeds[k, i] . outputs[i]``.
            mask: ``(n, tokens)`` of the tokens that count.

        Returns:
            A record for each block, by the name of its module or parameter.
        """
        z, calls = self._forward(x, mask)
        vectors = seeds(z.detach())
        if mask is not None and z.dim() > 2 and z.shape[1] == mask.shape[1]:
            vectors = vectors * mask.to(vectors).reshape(1, *mask.shape, *[1] * (z.dim() - 2))
        for name, seen in calls.items():
            if not _by_example(seen, len(z)):
                raise RunError(f"layer {name} is called in another way for these {len(z)} examples than for {PROBE}")
        records = _records(z, calls, vectors)
        if self.rest:
            gradients = pull_back(self._network, {name: self.params[name] for name in self.rest}, x, vectors)
            ones = torch.ones(len(x), 1, 1).to(gradients)
            sizes = [self.params[name].numel() for name in self.rest]
            for name, part in zip(self.rest, gradients.split(sizes, dim=-1), strict=True):
                records[name] = Record(ones, part[:, :, None], ones[..., 0])
        return records

    def parameters(self, name: str) -> list[str]:
        """Names of the parameters of a block, the bias last."""
        return _owned((name, self.layers[name])) if name in self.layers else [name]

    def blocks(self, vectors: Tensor) -> dict[str, Tensor]:
        """Vectors ``(n, d)``, flat as :func:`sciml.influence.flat.flatten` has them: ``(n, d_out, d_in)`` by block."""
        sizes = [p.numel() for p in self.params.values()]
        parts = dict(zip(self.params, vectors.split(sizes, dim=1), strict=True))
        found = {name: parts[name][:, :, None] for name in self.rest}
        for name in self.layers:
            owned = [parts[own].unflatten(1, (len(self.params[own]), -1)) for own in self.parameters(name)]
            found[name] = torch.cat(owned, dim=2)
        return found

    def _network(self, params: Params, x: Tensor) -> Tensor:
        return self.task.outputs({**self.params, **params}, x)

    def _forward(self, x: Tensor, mask: Tensor | None) -> tuple[Tensor, dict[str, list[_Call]]]:
        calls: dict[str, list[_Call]] = {name: [] for name in self.layers}
        handles = [
            layer.register_forward_hook(_hook(calls[name], mask), with_kwargs=True)
            for name, layer in self.layers.items()
        ]
        try:
            with torch.enable_grad():
                # Only so that a graph is made: the gradients of these leaves are never asked for.
                z = self.task.outputs({name: p.detach().requires_grad_() for name, p in self.params.items()}, x)
        finally:
            for handle in handles:
                handle.remove()
        return z, calls

    def _audit(self) -> None:
        """Keep the layers whose per-example gradients are what differentiation says."""
        x = self.task.x[:PROBE]
        with torch.no_grad():
            together = self.task.outputs(self.params, x)
            alone = torch.cat([self.task.outputs(self.params, x[i : i + 1]) for i in range(len(x))])
        if together.shape != alone.shape or not torch.allclose(together, alone, rtol=1e-3, atol=1e-4):
            raise RunError(
                "the network's output for an example depends on the other examples of its batch, so no example has a"
                " gradient of its own"
            )
        if not self.layers:
            return
        generator = torch.Generator().manual_seed(0)  # for a check, not for a result
        vectors = torch.randn((1, *together.shape), generator=generator, dtype=together.dtype).to(together)
        expected = _differentiate(self._network, self.params, x, vectors[0])
        z, calls = self._forward(x, None)
        found = _records(z, {name: seen for name, seen in calls.items() if _by_example(seen, len(z))}, vectors)
        self.layers = {
            name: layer
            for name, layer in self.layers.items()
            if name in found and _agrees(found[name], [expected[owned] for owned in _owned((name, layer))])
        }


def _candidates(network: nn.Module, params: Params) -> dict[str, nn.Module]:
    """Layers that hooks understand and that share no parameter with another module."""
    owners: dict[int, int] = {}
    for _, p in network.named_parameters(remove_duplicate=False):
        owners[id(p)] = owners.get(id(p), 0) + 1
    found: dict[str, nn.Module] = {}
    for name, module in network.named_modules():
        own = dict(module.named_parameters(recurse=False))
        if (
            (isinstance(module, nn.Linear) or (isinstance(module, nn.Conv2d) and _plain(module)))
            and "weight" in own
            and set(own) <= {"weight", "bias"}
            and all(owners[id(p)] == 1 for p in own.values())
            and all(owned in params for owned in _owned((name, module)))
        ):
            found[name] = module
    return found


def _plain(module: nn.Conv2d) -> bool:
    return module.groups == 1 and module.padding_mode == "zeros" and not isinstance(module.padding, str)


def _owned(layer: tuple[str, nn.Module]) -> list[str]:
    name, module = layer
    return [f"{name}.{own}" if name else own for own, _ in module.named_parameters(recurse=False)]


def _hook(calls: list[_Call], mask: Tensor | None) -> Callable[..., Tensor]:
    def hook(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Tensor) -> Tensor:
        given = (args[0] if args else kwargs["input"]).detach()
        inputs = _tokens(module, given)
        if module.bias is not None:
            inputs = torch.cat([inputs, torch.ones_like(inputs[..., :1])], dim=-1)
        tokens = torch.ones_like(inputs[..., 0])
        if mask is not None and given.dim() == 3 and given.shape[:2] == mask.shape:
            tokens = mask.to(inputs)
            inputs = inputs * tokens[..., None]
        calls.append(_Call(module, given, inputs, tokens, get_gradient_edge(output), output.shape))
        # A change in place of a view would rewrite the history of what it is a view of, and cut the edge off.
        return output.clone() if output._is_view() else output

    return hook


def _by_example(calls: list[_Call], n: int) -> bool:
    """Whether the layer was called at all, and examples come first in each call."""
    return bool(calls) and all(call.given.dim() > 1 and len(call.given) == n for call in calls)


def _tokens(module: nn.Module, given: Tensor) -> Tensor:
    """Inputs as ``(n, T, features)``."""
    if isinstance(module, nn.Conv2d):
        padding: Any = module.padding
        patches = nn.functional.unfold(given, module.kernel_size, module.dilation, padding, module.stride)
        return patches.mT
    return given.reshape(len(given) if given.dim() > 1 else 1, -1, given.shape[-1])


def _records(z: Tensor, calls: dict[str, list[_Call]], seeds: Tensor) -> dict[str, Record]:
    edges = [call.edge for seen in calls.values() for call in seen]
    if not edges:
        return {}
    gradients: list[tuple[Tensor | None, ...]] = []
    for seed in seeds:
        with torch.enable_grad():  # of a scalar: for a given vector torch imports sympy first, which takes a second
            along = (z * seed).sum()
        gradients.append(torch.autograd.grad(along, edges, retain_graph=True, allow_unused=True))
    by_edge = list(zip(*gradients, strict=True))
    records: dict[str, Record] = {}
    position = 0
    for name, seen in calls.items():
        parts: list[Tensor] = []
        for call in seen:
            raw = [torch.zeros(call.shape).to(z) if g is None else g for g in by_edge[position]]
            position += 1
            if isinstance(call.module, nn.Conv2d):
                parts.append(torch.stack([g.flatten(2).mT for g in raw]))
            else:
                parts.append(torch.stack([g.reshape(len(g), -1, g.shape[-1]) for g in raw]))
        inputs, tokens = (torch.cat([getattr(call, key) for call in seen], dim=1) for key in ("inputs", "tokens"))
        records[name] = Record(inputs, torch.cat(parts, dim=2), tokens)
    return records


def _differentiate(
    call: Callable[[Params, Tensor], Tensor], params: Params, x: Tensor, seeds: Tensor
) -> dict[str, Tensor]:
    """Per-example gradients by plain differentiation, ``(n, *shape)`` for each parameter."""
    leaves = {name: p.detach().requires_grad_() for name, p in params.items()}
    rows: list[tuple[Tensor, ...]] = []
    with torch.enable_grad():
        for i in range(len(x)):
            along = (call(leaves, x[i : i + 1]) * seeds[i : i + 1]).sum()
            found = torch.autograd.grad(along, list(leaves.values()), allow_unused=True)
            rows.append(
                tuple(torch.zeros_like(p) if g is None else g for g, p in zip(found, leaves.values(), strict=True))
            )
    return {name: torch.stack(parts) for name, parts in zip(leaves, zip(*rows, strict=True), strict=True)}


def _agrees(record: Record, expected: list[Tensor]) -> bool:
    n = len(expected[0])
    if record.grads.shape[1:3] != record.inputs.shape[:2]:
        return False
    weight = expected[0].reshape(n, expected[0].shape[1], -1)
    truth = torch.cat([weight, expected[1][..., None]], dim=-1) if len(expected) == 2 else weight
    found = record.gradients()[0]
    if found.shape != truth.shape:
        return False
    error = (found - truth).flatten(1).norm(dim=1)
    return bool((error <= 1e-3 * truth.flatten(1).norm(dim=1) + 1e-12).all())
