r"""Derivatives of a composed function in one forward pass (Taylor mode), for the operators that are asked for.

A :class:`Taylor` is a function value with a few *channels* L a, each a linear differential operator L with constant
coefficients applied to that value; all of them are functions of the inputs x. Three rules carry the channels through
a network:

* linear maps commute with L: L (W a + b) = W (L a) for L without constant term;
* pointwise functions (Faà di Bruno; those that are known are in :mod:`sciml.elementary`), for one partial derivative
  over a multi-set of axes α,
  ∂^α φ(z) = Σ_π φ^{(|π|)}(z) Π_{B ∈ π} ∂^B z, over the partitions π of α into blocks B;
* products (Leibniz), ∂^α (a b) = Σ_{S ⊆ α} ∂^S a · ∂^{α∖S} b.

The partition of one block is φ'(z) L z: linear in L, so that a *sum* of partial derivatives needs one channel and
not one a summand ("collapsed" Taylor mode; Dangel, Siebert, Zeinhofer and Walther, arXiv 2505.13644). The same holds
one order below: in the partitions of two blocks of unequal order, those with the same smaller block γ share the sum of
their larger ones, again one channel, a multiple of ∂L/∂ξ^γ of the symbol of L (Hörmander, "The Analysis of Linear
Partial Differential Operators I", formula (1.1.10)). The Laplacian in d dimensions then has d + 1 channels where
second derivatives have 2d; Δ² in two dimensions has 8 where partial derivatives have 11. The channels are found by
:class:`sciml.taylor_plan.Plan`.

Everything is ordinary tensor arithmetic, so a loss of it takes one ordinary backward pass, which compilers can fuse;
nested automatic differentiation takes backward passes of backward passes.

Networks need not know of this: a Taylor takes the place of the input tensor, and PyTorch hands functions of it to
``__torch_function__``. What is not known here raises :class:`Unsupported`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from sciml import elementary
from sciml.taylor_plan import Plan, Rule

Channel = Tensor | None  # None is zero


class Unsupported(TypeError, AttributeError):
    """A network does with its input what has no rule here; a method that is missing is one case."""


class Taylor:
    """A value (n, k) with its channels; stands in for a tensor in the forward pass of a network.

    Args:
        plan: Which channels there are.
        value: The value (n, k).
        channels: One an operator of the plan: None for zero, or a tensor that broadcasts to the value (a single row
            (1, k) where it is the same at all points, as it is up to the first nonlinear function).
    """

    def __init__(self, plan: Plan, value: Tensor, channels: Sequence[Channel]) -> None:
        self.plan, self.value, self.channels = plan, value, tuple(channels)

    @classmethod
    def inputs(cls, plan: Plan, x: Tensor, rows: Sequence[Channel] | None = None) -> Taylor:
        """The coordinates ``x`` (n, d) themselves: ∂x_i/∂x_j is 1 or 0.

        Args:
            plan: Which channels there are.
            x: Points (n, d).
            rows: What :func:`seeds` gave, for callers that keep it.
        """
        return cls(plan, x, seeds(plan, x) if rows is None else rows)

    def outputs(self) -> tuple[Tensor, ...]:
        """The operators that the plan was made for, applied to this value: tensors of the value's shape."""
        return tuple(self._sum(output, full=True) for output in self.plan.outputs)  # type: ignore[misc]

    # ------------------------------------------------------------ the three rules

    def map(self, function: Callable[[Tensor], Tensor]) -> Taylor:
        """A linear function without constant, on value and channels alike."""
        return Taylor(self.plan, function(self.value), [None if c is None else function(c) for c in self.channels])

    def linear(self, weight: Tensor, bias: Tensor | None = None) -> Taylor:
        """W a + b."""
        channels = [None if c is None else F.linear(c, weight) for c in self.channels]
        return Taylor(self.plan, F.linear(self.value, weight, bias), channels)

    def pointwise(self, value: Tensor, derivatives: Callable[[int], Sequence[Tensor]]) -> Taylor:
        """φ(a), given φ(a) and the function that returns φ'(a), ..., φ^(order)(a)."""
        needed = 0
        for i, rule in enumerate(self.plan.rules):
            needed = max(needed, 1 if self.channels[i] is not None else 0)
            if rule.pairs or rule.equal:
                needed = max(needed, 2)
            needed = max([needed, *(len(blocks) for blocks, _ in rule.more)])
        d = derivatives(needed)
        channels: list[Channel] = []
        for own, rule in zip(self.channels, self.plan.rules, strict=True):
            second = self._second(rule)
            found = _times(own, d[0]) if own is not None else None
            if second is not None:
                found = second * d[1] if found is None else torch.addcmul(found, second, d[1])
            for power in range(3, needed + 1):
                terms = [
                    _product([self.channels[b] for b in blocks], c) for blocks, c in rule.more if len(blocks) == power
                ]
                total = _total(terms)
                if total is not None:
                    found = total * d[power - 1] if found is None else torch.addcmul(found, total, d[power - 1])
            channels.append(found)
        return Taylor(self.plan, value, channels)

    def times(self, other: Taylor) -> Taylor:
        """The product of two functions."""
        a, b = self, other
        channels: list[Channel] = []
        for i, rule in enumerate(self.plan.rules):
            terms = [_times(a.channels[i], b.value), _times(b.channels[i], a.value)]
            for one, partner in rule.pairs:
                terms += [_times(a.channels[one], b._sum(partner)), _times(b.channels[one], a._sum(partner))]
            for one, two, c in rule.equal:
                if one == two:
                    terms.append(_scaled(_times(a.channels[one], b.channels[one]), 2 * c))
                else:
                    terms.append(_scaled(_times(a.channels[one], b.channels[two]), c))
                    terms.append(_scaled(_times(a.channels[two], b.channels[one]), c))
            channels.append(_total(terms))
        return Taylor(self.plan, a.value * b.value, channels)

    def _second(self, rule: Rule) -> Channel:
        """The factor of φ''."""
        terms = [_times(self.channels[one], self._sum(partner)) for one, partner in rule.pairs]
        terms += [_scaled(_times(self.channels[one], self.channels[two]), c) for one, two, c in rule.equal]
        return _total(terms)

    def _sum(self, parts: Sequence[tuple[int, float]], full: bool = False) -> Channel:
        total = _total([_scaled(self.channels[i], c) for i, c in parts])
        if not full:
            return total
        return torch.zeros_like(self.value) if total is None else total.expand_as(self.value)

    # ------------------------------------------------------------ as a tensor

    @property
    def shape(self) -> torch.Size:
        return self.value.shape

    @property
    def dtype(self) -> torch.dtype:
        return self.value.dtype

    @property
    def device(self) -> torch.device:
        return self.value.device

    def dim(self) -> int:
        """Number of dimensions of the value."""
        return self.value.dim()

    def __len__(self) -> int:
        return len(self.value)

    def __getattr__(self, name: str) -> Any:
        raise Unsupported(f"no Taylor rule for a tensor's {name}")

    def double(self) -> Taylor:
        """In float64."""
        return self.map(lambda a: a.double())

    def __add__(self, other: Any) -> Taylor:
        return _add(self, other)

    __radd__ = __add__

    def __neg__(self) -> Taylor:
        return self.map(torch.neg)

    def __sub__(self, other: Any) -> Taylor:
        return _add(self, -other)

    def __rsub__(self, other: Any) -> Taylor:
        return _add(-self, other)

    def __mul__(self, other: Any) -> Taylor:
        return _multiply(self, other)

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> Taylor:
        return _multiply(self, other.reciprocal() if isinstance(other, Taylor) else 1 / other)

    def __rtruediv__(self, other: Any) -> Taylor:
        return _multiply(self.reciprocal(), other)

    def __pow__(self, exponent: Any) -> Taylor:
        if not isinstance(exponent, int) or exponent < 1:
            raise Unsupported(f"power {exponent} of a function; only positive integers have a rule")
        return self.pointwise(*elementary.power(self.value, exponent))

    def reciprocal(self) -> Taylor:
        """1 / a."""
        return self.pointwise(*elementary.reciprocal(self.value))

    def __getitem__(self, item: Any) -> Taylor:
        """Components: the last dimension only, ``a[..., i]`` or ``a[:, i:j]``."""
        item = item if isinstance(item, tuple) else (item,)
        if len(item) != 2 or not (item[0] is ... or item[0] == slice(None)) or isinstance(item[1], (Tensor, tuple)):
            raise Unsupported("indexing a function other than by component")
        return self.map(lambda a: a[item])

    def unbind(self, dim: int) -> tuple[Taylor, ...]:
        """The components, each without its dimension."""
        if dim not in (-1, self.dim() - 1):
            raise Unsupported("unbinding other than the components")
        return tuple(self[..., i] for i in range(self.shape[-1]))

    @classmethod
    def __torch_function__(
        cls, function: Any, types: Iterable[type], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        rule = FUNCTIONS.get(function)
        if rule is None:
            raise Unsupported(f"no Taylor rule for {getattr(function, '__name__', function)}")
        return rule(*args, **(kwargs or {}))


def seeds(plan: Plan, x: Tensor) -> list[Channel]:
    """The channels of the coordinates at points like ``x`` (n, d): rows (1, d), None where there is no first order."""
    rows: list[Channel] = []
    for operator in plan.channels:
        row = [operator.terms.get((axis,), 0.0) for axis in range(x.shape[-1])]
        rows.append(x.new_tensor([row]) if any(row) else None)
    return rows


def _times(a: Channel, b: Channel) -> Channel:
    return None if a is None or b is None else a * b


def _scaled(a: Channel, c: float) -> Channel:
    return a if a is None or c == 1 else a * c


def _total(terms: Sequence[Channel]) -> Channel:
    total: Channel = None
    for term in terms:
        if term is not None:
            total = term if total is None else total + term
    return total


def _product(factors: Sequence[Channel], c: float) -> Channel:
    found = _scaled(factors[0], c)
    for factor in factors[1:]:
        found = _times(found, factor)
    return found


def _add(a: Any, b: Any) -> Taylor:
    if not isinstance(a, Taylor):
        a, b = b, a
    if not isinstance(b, Taylor):
        value = a.value + b
        return Taylor(a.plan, value, a.channels)
    return Taylor(a.plan, a.value + b.value, [_total(pair) for pair in zip(a.channels, b.channels, strict=True)])


def _subtract(a: Any, b: Any) -> Taylor:
    return _add(a, -b)


def _multiply(a: Any, b: Any) -> Taylor:
    if not isinstance(a, Taylor):
        a, b = b, a
    return a.times(b) if isinstance(b, Taylor) else a.map(lambda value: value * b)


def _divide(a: Any, b: Any) -> Taylor:
    return a / b if isinstance(a, Taylor) else b.__rtruediv__(a)


def _cat(parts: Sequence[Any], dim: int = 0) -> Taylor:
    first = next(part for part in parts if isinstance(part, Taylor))
    if dim not in (-1, first.dim() - 1):
        raise Unsupported("concatenation other than of components")
    # A plain tensor is a constant: no channel of it is other than zero.
    whole = [
        part if isinstance(part, Taylor) else Taylor(first.plan, part, [None] * len(first.channels)) for part in parts
    ]
    channels: list[Channel] = []
    for group in zip(*(part.channels for part in whole), strict=True):
        if all(channel is None for channel in group):
            channels.append(None)
            continue
        rows = max(1 if channel is None else channel.shape[0] for channel in group)
        filled = [
            part.value.new_zeros(rows, part.shape[-1]) if channel is None else channel.expand(rows, part.shape[-1])
            for channel, part in zip(group, whole, strict=True)
        ]
        channels.append(torch.cat(filled, dim=-1))
    return Taylor(first.plan, torch.cat([part.value for part in whole], dim=-1), channels)


def _stack(parts: Sequence[Any], dim: int = 0) -> Taylor:
    if dim not in (-1, 1) or any(part.dim() != 1 for part in parts):
        raise Unsupported("stacking other than of components")
    return _cat(
        [part.map(lambda a: a.unsqueeze(-1)) if isinstance(part, Taylor) else part.unsqueeze(-1) for part in parts], -1
    )


FUNCTIONS: dict[Any, Callable[..., Any]] = {
    F.linear: lambda a, weight, bias=None: a.linear(weight, bias),
    torch.tanh: lambda z: z.pointwise(*elementary.tanh(z.value)),
    torch.sin: lambda z: z.pointwise(*elementary.sin(z.value)),
    torch.cos: lambda z: z.pointwise(*elementary.cos(z.value)),
    torch.exp: lambda z: z.pointwise(*elementary.exp(z.value)),
    torch.log: lambda z: z.pointwise(*elementary.log(z.value)),
    torch.sqrt: lambda z: z.pointwise(*elementary.sqrt(z.value)),
    torch.erfc: lambda z: z.pointwise(*elementary.erfc(z.value)),
    torch.sigmoid: lambda z: z.pointwise(*elementary.sigmoid(z.value)),
    F.silu: lambda z, inplace=False: z.pointwise(*elementary.silu(z.value)),
    torch.square: lambda z: z**2,
    torch.pow: lambda z, exponent: z**exponent,
    torch.reciprocal: lambda z: z.reciprocal(),
    torch.neg: lambda z: -z,
    torch.cat: _cat,
    torch.stack: _stack,
    torch.add: _add,
    torch.Tensor.add: _add,
    torch.Tensor.__add__: _add,
    torch.Tensor.__radd__: _add,
    torch.sub: _subtract,
    torch.Tensor.sub: _subtract,
    torch.Tensor.__sub__: _subtract,
    torch.Tensor.__rsub__: lambda a, b: _subtract(b, a),
    torch.mul: _multiply,
    torch.Tensor.mul: _multiply,
    torch.Tensor.__mul__: _multiply,
    torch.Tensor.__rmul__: _multiply,
    torch.div: _divide,
    torch.Tensor.div: _divide,
    torch.Tensor.__truediv__: _divide,
    torch.Tensor.__rtruediv__: lambda a, b: _divide(b, a),
}
