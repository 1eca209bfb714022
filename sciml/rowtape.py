r"""Takes apart, point by point, what a backward pass sums over the points.

While residuals are evaluated, each place where something that is the same at all points (a weight, a bias, a
coefficient, a scale, a tangent of the first layer, or what was computed from them) meets something that has a row for
each point is replaced by a function with the same value, whose backward pass writes down the rows and passes on
nothing. These places are linear maps and matrix products, and the broadcasting of sums, products and quotients. What
was computed from parameters is pulled back to them afterwards. Nested differentiation of a network with respect to its
inputs goes through the same functions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn.functional import linear
from torch.overrides import TorchFunctionMode

CACHED = 1 << 16  # entries of the Jacobian to which all channels are added before the next ones: half a megabyte
_NAMES = ("addcmul", "add", "sub", "subtract", "mul", "multiply", "div", "divide", "true_divide", "rsub")
_DUNDERS = ("__add__", "__radd__", "__sub__", "__rsub__", "__mul__", "__rmul__", "__truediv__", "__rtruediv__")
_BROADCAST = {getattr(home, name) for home in (torch, torch.Tensor) for name in _NAMES if hasattr(home, name)}
_BROADCAST |= {getattr(torch.Tensor, name) for name in _DUNDERS}
_EXPANSIONS = {torch.Tensor.expand, torch.Tensor.expand_as, torch.broadcast_to, torch.Tensor.broadcast_to}
_PRODUCTS = {torch.matmul, torch.mm, torch.Tensor.matmul, torch.Tensor.mm, torch.Tensor.__matmul__}


class Mixed(Exception):
    """The rows of a residual cannot be told apart."""


def gradients(
    output: Tensor, inputs: Sequence[Tensor], seed: Tensor, *, batched: bool = False
) -> Sequence[Tensor | None]:
    """The gradients of ``seed · output``, or of a batch of such products; None where there is none. Keeps the graph."""
    return torch.autograd.grad(output, inputs, seed, retain_graph=True, is_grads_batched=batched, allow_unused=True)


class _End:
    """Something that is the same at all points, and what was recorded where it met their rows."""

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor
        self.maps: list[tuple[Tensor, Tensor]] = []  # gradients (..., out) of a map's values, its inputs (..., in)
        self.shifts: list[Tensor] = []  # gradients (..., out)
        self.broadcasts: list[tuple[Tensor, int]] = []  # gradients, and their axis of rows

    def write(self, out: Tensor) -> None:
        """Write the rows of the derivative into ``out`` (n, *shape)."""
        n = len(out)
        pairs = [
            pair
            for delta, a in self.maps
            for pair in zip(_channels(delta, n).unbind(1), _channels(a, n).unbind(1), strict=True)
        ]
        height = max(1, CACHED // max(1, out[0].numel()))
        for start in range(0, n if pairs else 0, height):
            part = out[start : start + height]
            for i, (delta, a) in enumerate(pairs):
                column, row = delta[start : start + height, :, None], a[start : start + height, None, :]
                part.addcmul_(column, row) if i else torch.mul(column, row, out=part)
        sums = [_channels(delta, n).sum(1) for delta in self.shifts]
        sums += [self._summed(delta, axis, n) for delta, axis in self.broadcasts]
        for i, rows in enumerate(sums, start=len(pairs)):
            out.add_(rows) if i else out.copy_(rows)

    def _summed(self, delta: Tensor, axis: int, n: int) -> Tensor:
        if delta.shape[axis] % n:
            raise Mixed(f"{delta.shape[axis]} rows meet a residual of {n}")
        shape = [1] * (delta.dim() - self.tensor.dim()) + list(self.tensor.shape)
        shape[axis] = n
        delta = delta.unflatten(axis, (-1, n)).sum(axis)
        return delta.sum_to_size(shape).movedim(axis, 0).reshape(n, *self.tensor.shape)


def _channels(t: Tensor, n: int) -> Tensor:
    """What a map was given or gave, (..., k), as (n, channels, k)."""
    if t.shape[0] == n:
        return t.reshape(n, -1, t.shape[-1])
    if (t.dim() > 2 and t.shape[-2] == n) or (t.dim() == 2 and t.shape[0] % n == 0):
        return t.reshape(-1, n, t.shape[-1]).transpose(0, 1)
    raise Mixed(f"a map of {t.shape[0]} rows meets a residual of {n}")


class RowTape(TorchFunctionMode):
    """Puts the recording functions into an evaluation, and collects what their backward passes wrote.

    Args:
        sizes: Numbers of rows, above 1, that a residual may have.
    """

    def __init__(self, sizes: set[int]) -> None:
        super().__init__()
        self.sizes, self.recording = sizes, False
        self._ends: dict[int, _End] = {}

    def __torch_function__(
        self, func: Callable[..., Any], types: Iterable[type], args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        for kind in types:
            if not issubclass(
                kind, Tensor
            ):  # what stands for a tensor has rules of its own, which call functions again
                with self:
                    return cast("Any", kind).__torch_function__(func, types, args, kwargs)
        if func is linear:
            x, weight, *rest = args
            bias = rest[0] if rest else kwargs.get("bias")
            if self._meets(x, weight, bias):
                return _Linear.apply(x, weight, bias, self, False)
        elif func in _PRODUCTS and len(args) == 2 and args[1].dim() == 2 and self._meets(args[0], args[1], None):
            return _Linear.apply(*args, None, self, True)
        elif func in _EXPANSIONS and args[0].requires_grad:
            shape = func(*args, **kwargs).shape
            return self._expand(args[0], shape).expand(shape)
        elif func in _BROADCAST and any(isinstance(a, Tensor) and a.requires_grad for a in args):
            shape = _common([a.shape for a in args if isinstance(a, Tensor)])
            args = tuple(self._expand(a, shape) if isinstance(a, Tensor) and a.requires_grad else a for a in args)
        return func(*args, **kwargs)

    def end(self, tensor: Tensor) -> _End:
        """Where to record what concerns a tensor."""
        return self._ends.setdefault(id(tensor), _End(tensor))

    def _meets(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> bool:
        """Whether the inputs of a linear map have rows, and the map a gradient."""
        if x.dim() < 2 or not (weight.requires_grad or (bias is not None and bias.requires_grad)):
            return False
        return any(x.shape[0] % n == 0 or (x.dim() > 2 and x.shape[-2] == n) for n in self.sizes)

    def _expand(self, t: Tensor, shape: torch.Size) -> Tensor:
        """The tensor, expanded to a shape if that gives it rows."""
        axis = next((i for i, m in enumerate(shape) if any(m % n == 0 for n in self.sizes)), None)
        if axis is None or t.shape == shape:
            return t
        own = axis - (len(shape) - t.dim())
        if own < 0 or t.shape[own] < shape[axis]:
            return cast("Tensor", _Expand.apply(t, shape, axis, self))
        return t

    @torch.no_grad()
    def collect(self, component: Tensor, parameters: Sequence[Tensor], out: Tensor) -> None:
        """Write the Jacobian of a vector (n,) into ``out`` (n, P).

        Raises:
            Mixed: A parameter reaches it in a way that was not recorded, or the rows do not fit.
        """
        if not component.requires_grad:
            out.zero_()
            return
        self._ends, self.recording = {}, True
        try:
            summed = gradients(component, parameters, torch.ones_like(component))
        finally:
            self.recording = False
        n = len(component)
        if n > 1 and any(g is not None for g in summed):
            raise Mixed("it uses a parameter in a way whose rows cannot be told apart")
        for p, g, target in zip(parameters, summed, _columns(out, parameters), strict=True):
            end = self._ends.pop(id(p), None)
            if end is None:
                target.zero_()
            else:
                end.write(target)
            if g is not None:
                target.add_(g)
        self._pull_back(parameters, n, out)

    def _pull_back(self, parameters: Sequence[Tensor], n: int, out: Tensor) -> None:
        """Add what reached the residuals through tensors that were computed from parameters."""
        ends = [end for end in self._ends.values() if end.tensor.grad_fn is not None]
        self._ends = {}
        if not ends:
            return
        rows = [end.tensor.new_empty(n, *end.tensor.shape) for end in ends]
        for end, target in zip(ends, rows, strict=True):
            end.write(target)
        grads = torch.autograd.grad(
            [end.tensor for end in ends], parameters, rows, retain_graph=True, is_grads_batched=True, allow_unused=True
        )
        for g, target in zip(grads, _columns(out, parameters), strict=True):
            if g is not None:
                target.add_(g)


def _common(shapes: Sequence[torch.Size]) -> torch.Size:
    """The shape that all broadcast to; torch's own function takes longer than the operation."""
    first, *others = shapes
    if all(shape == first for shape in others):
        return first
    length = max(map(len, shapes))
    padded = [(1,) * (length - len(shape)) + tuple(shape) for shape in shapes]
    return torch.Size(max(axis) if 0 not in axis else 0 for axis in zip(*padded, strict=True))


def _columns(out: Tensor, parameters: Sequence[Tensor]) -> list[Tensor]:
    """The columns of a Jacobian (n, P) that belong to each parameter, as views (n, *shape)."""
    parts = out.split([p.numel() for p in parameters], dim=1)
    return [part.unflatten(1, p.shape) if p.dim() else part[:, 0] for part, p in zip(parts, parameters, strict=True)]


class _Linear(torch.autograd.Function):
    """x Wᵀ + b, or x W if transposed; the backward pass records what it would sum over the points."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, tape: RowTape, transposed: bool) -> Tensor:
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(x)
        # Kept as objects, by whose identity the tape goes: what save_for_backward returns need not be the same one.
        ctx.weight, ctx.bias, ctx.tape, ctx.transposed = weight, bias, tape, transposed
        return linear(x, weight.mT if transposed else weight, bias)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        (delta,) = grads
        (x,), weight, tape = ctx.saved_tensors, ctx.weight, ctx.tape
        if delta is None:
            return (None,) * 5
        if not tape.recording:  # differentiation with respect to the points, to be differentiated again
            return (_Linear.apply(delta, weight, None, tape, not ctx.transposed), *(None,) * 4)
        if weight.requires_grad:
            tape.end(weight).maps.append((x, delta) if ctx.transposed else (delta, x))
        if ctx.bias is not None and ctx.bias.requires_grad:
            tape.end(ctx.bias).shifts.append(delta)
        back = delta @ (weight.mT if ctx.transposed else weight) if ctx.needs_input_grad[0] else None
        return back, *(None,) * 4


class _Expand(torch.autograd.Function):
    """A tensor expanded over the rows; the backward pass records them."""

    @staticmethod
    def forward(ctx: Any, t: Tensor, shape: torch.Size, axis: int, tape: RowTape) -> Tensor:
        ctx.set_materialize_grads(False)
        ctx.end, ctx.axis, ctx.tape = t, axis, tape
        return t.expand(shape)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        (delta,) = grads
        if delta is not None and ctx.tape.recording:
            ctx.tape.end(ctx.end).broadcasts.append((delta, ctx.axis))
        return None, None, None, None
