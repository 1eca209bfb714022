"""Small networks with their data, and attribution by dense matrices, written out naively."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from sciml.influence.base import Likelihood, NetworkTask, Params
from sciml.influence.likelihood.softmax import Softmax
from sciml.influence.likelihood.squared import Squared


class Given(NetworkTask):
    """A network and data that a test made. The loss is not at its minimum, which changes nothing about curvature."""

    def __init__(
        self,
        network: nn.Module,
        likelihood: Likelihood,
        train: tuple[Tensor, Tensor],
        query: tuple[Tensor, Tensor],
        *,
        decay: float = 0.3,
        mask: Tensor | None = None,
        mask_query: Tensor | None = None,
    ) -> None:
        super().__init__()
        self.network, self.likelihood, self.decay = network.eval(), likelihood, decay
        (self.x, self.y), (self.x_query, self.y_query) = train, query
        self.n_train, self.n_query = len(self.x), len(self.x_query)
        self.mask, self.mask_query = mask, mask_query

    def fit(self, weights: Tensor, *, repeat: int = 0) -> Params:
        return {name: p.expand(len(weights), *p.shape) for name, p in parameters(self).items()}


def parameters(task: NetworkTask) -> Params:
    return {name: p.detach() for name, p in task.network.named_parameters()}


def given(
    network: nn.Module, classes: int, *shape: int, n: int = 9, queries: int = 4, squared: bool = False, **more: object
) -> Given:
    """Standard normal inputs of ``shape``; classes or normal targets."""
    sets = []
    for count in (n, queries):
        x = torch.randn(count, *shape, dtype=torch.float64)
        y = torch.randn(count, classes, dtype=torch.float64) if squared else torch.randint(classes, (count,))
        sets.append((x, y))
    return Given(network.double(), Squared() if squared else Softmax(), sets[0], sets[1], **more)  # type: ignore[arg-type]


def mlp(*sizes: int, bias: bool = True, activation: Callable[[], nn.Module] = nn.Tanh) -> nn.Sequential:
    layers: list[nn.Module] = []
    for n, m in pairwise(sizes):
        layers += [nn.Linear(n, m, bias=bias), activation()]
    return nn.Sequential(*layers[:-1])


class Pooled(nn.Module):
    """Tokens whose last feature says whether they count; one layer runs twice; the sum over tokens is classified."""

    def __init__(self, features: int = 3, width: int = 4, classes: int = 3) -> None:
        super().__init__()
        self.first = nn.Linear(features, width)
        self.shared = nn.Linear(width, width, bias=False)
        self.last = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.tanh(self.first(x[..., :-1]))
        for _ in range(2):
            h = torch.tanh(self.shared(h)) + h
        return self.last((h * x[..., -1:]).sum(1))


def pooled(n: int = 7, queries: int = 3, tokens: int = 5) -> Given:
    """Sequences of 2 to 5 tokens, padded with large noise."""
    sets, masks = [], []
    for count in (n, queries):
        mask = torch.arange(tokens) < torch.randint(2, tokens + 1, (count, 1))
        x = torch.randn(count, tokens, 4, dtype=torch.float64)
        x = torch.where(mask[..., None], x, 10 * x)
        x[..., -1] = mask.double()
        sets.append((x, torch.randint(3, (count,))))
        masks.append(mask)
    return Given(Pooled().double(), Softmax(), sets[0], sets[1], mask=masks[0], mask_query=masks[1])


def one_by_one(task: NetworkTask, params: Params, seed: Callable[[int], Tensor], x: Tensor) -> list[Params]:
    """Gradients of ``seed(i) . outputs_i``, by differentiating one example after the other."""
    leaves = {name: p.clone().requires_grad_() for name, p in params.items()}
    found = []
    for i in range(len(x)):
        z = task.outputs(leaves, x[i : i + 1])[0]
        gradients = torch.autograd.grad((z * seed(i)).sum(), list(leaves.values()), allow_unused=True)
        pairs = zip(leaves, gradients, strict=True)
        found.append({name: torch.zeros_like(leaves[name]) if g is None else g for name, g in pairs})
    return found


def losses_one_by_one(task: NetworkTask, params: Params, x: Tensor, y: Tensor) -> list[Params]:
    """Gradients of the losses."""
    leaves = {name: p.clone().requires_grad_() for name, p in params.items()}
    found = []
    for i in range(len(x)):
        loss = task.likelihood.loss(task.outputs(leaves, x[i : i + 1]), y[i : i + 1])[0]
        gradients = torch.autograd.grad(loss, list(leaves.values()), allow_unused=True)
        pairs = zip(leaves, gradients, strict=True)
        found.append({name: torch.zeros_like(leaves[name]) if g is None else g for name, g in pairs})
    return found


def block_scores(
    task: NetworkTask,
    params: Params,
    blocks: Sequence[Sequence[str]],
    curvature: Callable[[Sequence[str]], Tensor],
    damping: float,
) -> Tensor:
    """Sum over blocks of g_q (C + (decay + damping * mean eigenvalue) I)^-1 g_i, by dense solves."""
    scores = torch.zeros(task.n_query, task.n_train, dtype=torch.float64)
    train = losses_one_by_one(task, params, task.x, task.y)
    query = losses_one_by_one(task, params, task.x_query, task.y_query)
    for block in blocks:
        matrix = curvature(block)
        d = len(matrix)
        added = task.decay + damping * float(matrix.trace()) / d
        rows = [torch.stack([vector(g, block) for g in part]) for part in (query, train)]
        scores += rows[0] @ torch.linalg.solve(matrix + added * torch.eye(d, dtype=torch.float64), rows[1].T)
    return scores


def vector(gradients: Params, block: Sequence[str]) -> Tensor:
    """A block as ``[weight, bias]`` row by row, or a parameter that stands alone."""
    parts = [gradients[name] for name in block]
    if len(parts) == 1:
        return parts[0].flatten()
    return torch.cat([parts[0].flatten(1), parts[1][:, None]], dim=1).flatten()


def ggn(task: NetworkTask, params: Params) -> Callable[[Sequence[str]], Tensor]:
    """Blocks of the generalised Gauss-Newton matrix, sum over examples, by second differentiation of each loss."""

    def block(names: Sequence[str]) -> Tensor:
        total = torch.zeros((), dtype=torch.float64)
        for i in range(task.n_train):
            z = task.outputs(params, task.x[i : i + 1])

            def loss(z: Tensor, i: int = i) -> Tensor:
                return task.likelihood.loss(z, task.y[i : i + 1]).sum()

            size = z.numel()
            hessian = torch.func.hessian(loss)(z).reshape(size, size)
            rows = []
            for c in range(size):
                unit = torch.eye(size, dtype=z.dtype)[c].reshape(z.shape[1:])
                rows.append(vector(one_by_one(task, params, lambda _, u=unit: u, task.x[i : i + 1])[0], names))
            jacobian = torch.stack(rows)
            total = total + jacobian.T @ hessian @ jacobian
        return total

    return block


def layers_of(task: NetworkTask) -> list[list[str]]:
    """A block for each module that holds parameters itself, weight before bias."""
    found = []
    for name, module in task.network.named_modules():
        own = [f"{name}.{key}" if name else key for key, _ in module.named_parameters(recurse=False)]
        if own:
            found.append(own)
    return found
