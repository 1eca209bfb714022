r"""The C++ program of a stack of layers: ``stack.cpp`` with what depends on the channels and the pointwise function.

For each channel i a rule of :class:`sciml.taylor_plan.Plan` is a polynomial in the channels of the layer's sums z,

.. math:: a_i = \sum_p \varphi^{(p)}(z)\, S_{i,p}, \qquad S_{i,1} = z_i, \quad
          S_{i,p} = \sum_m c_m \prod_{f \in m} z_f,

whose derivatives are written out here: for cotangents ā_i of the results, those of the sums are

.. math:: \bar z_0 = \bar a_0 \varphi' + \sum_{i,p} \bar a_i \varphi^{(p+1)} S_{i,p}, \qquad
          \bar z_f \mathrel{+}= \bar a_i \varphi^{(p)}\, \partial S_{i,p} / \partial z_f.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from sciml.kernel.compiler import REALS, text
from sciml.taylor_plan import Plan, Rule

# The number kept for a sum z, and φ with its derivatives from it: lines that define d0, d1, ... d5.
FUNCTIONS = {
    "tanh": (
        "hyperbolic_tangent(z)",
        (
            "const vec d0 = kept;",
            "const vec d1 = (real)1 - d0 * d0;",
            "const vec d2 = (real)-2 * d0 * d1;",
            "const vec d3 = d1 * ((real)4 - (real)6 * d1);",
            "const vec d4 = d2 * ((real)4 - (real)12 * d1);",
            "const vec d5 = d3 * ((real)4 - (real)12 * d1) - (real)12 * d2 * d2;",
        ),
    ),
    "sin": (
        "z",
        (
            "vec d0, d1; sine_and_cosine(kept, d0, d1);",
            "",
            "const vec d2 = -d0;",
            "const vec d3 = -d1;",
            "const vec d4 = d0;",
            "const vec d5 = d1;",
        ),
    ),
}
Monomial = tuple[tuple[int, ...], float]  # channels, the value's being 0, and a coefficient


@dataclass(frozen=True)
class Stack:
    """What a program is made for.

    Attributes:
        widths: From the inputs to the outputs.
        function: A name of ``FUNCTIONS``.
        dtype: ``float32`` or ``float64``.
        rules: For each channel beside the value, what it is made of: by p ≥ 2, the monomials of S_{i,p}.
    """

    widths: tuple[int, ...]
    function: str
    dtype: str
    rules: tuple[tuple[tuple[int, tuple[Monomial, ...]], ...], ...]

    @classmethod
    def of(cls, widths: Sequence[int], function: str, dtype: str, plan: Plan | None) -> Stack:
        """For the channels of a plan; without one, for values alone."""
        rules = () if plan is None else tuple(_monomials(rule) for rule in plan.rules)
        return cls(tuple(widths), function, dtype, rules)

    def source(self) -> str:
        """The program."""
        head = [
            f"typedef {REALS[self.dtype]} real;",
            text("tiles.cpp"),
            f"constexpr int LAYERS = {len(self.widths) - 1}, CHANNELS = {1 + len(self.rules)};",
            f"constexpr int WIDTHS[] = {{{', '.join(map(str, self.widths))}}};",
            f"constexpr int INPUTS = {self.widths[0]}, OUTPUTS = {self.widths[-1]};",
        ]
        before, after = text("stack.cpp").split("\n// functions\n")
        return "\n".join([*head, before, *self._functions(), after])

    def _functions(self) -> list[str]:
        kept, derivatives = FUNCTIONS[self.function]
        highest = max((p for rule in self.rules for p, _ in rule), default=min(1, len(self.rules)))
        forward, backward = list(derivatives[: highest + 1]), list(derivatives[: highest + 2])
        loads = [f"const vec z{i} = s[{i} * FROM];" for i in range(1, len(self.rules) + 1)]
        forward.append("a[0] = d0;")
        # What each factor gathers: the cotangent of channel i, and its products with the derivatives of φ.
        gathered: dict[int, list[str]] = {i: [] for i in range(len(self.rules) + 1)}
        gathered[0].append("bar[0] * d1")
        for i, rule in enumerate(self.rules, start=1):
            sums = [f"const vec s{i}_{p} = {_polynomial(monomials)};" for p, monomials in rule]
            forward += sums
            forward.append(f"a[{i} * TO] = {' + '.join([f'd1 * z{i}', *(f'd{p} * s{i}_{p}' for p, _ in rule)])};")
            backward += [f"const vec b{i} = bar[{i} * TO];", *sums]
            slope = " + ".join([f"d2 * z{i}", *(f"d{p + 1} * s{i}_{p}" for p, _ in rule)])
            gathered[0].append(f"b{i} * ({slope})")
            gathered[i].append(f"b{i} * d1")
            for p, monomials in rule:
                backward.append(f"const vec b{i}_{p} = b{i} * d{p};")
                for factor in sorted({f for factors, _ in monomials for f in factors}):
                    gathered[factor].append(f"b{i}_{p} * ({_polynomial(_slope(monomials, factor))})")
        backward += [f"out[{i} * TO] = {' + '.join(terms)};" for i, terms in gathered.items()]
        layout = "template <int FROM, int TO> static inline void"
        return [
            f"static inline vec keep(vec z) {{ return {kept}; }}",
            f"{layout} forward_point(const vec* s, vec* a) {{",
            *(f"  {line}" for line in ("const vec kept = s[0];", *loads, *forward)),
            "}",
            f"{layout} backward_point(const vec* s, const vec* bar, vec* out) {{",
            *(f"  {line}" for line in ("const vec kept = s[0];", *loads, *backward)),
            "}",
        ]


def _monomials(rule: Rule) -> tuple[tuple[int, tuple[Monomial, ...]], ...]:
    found: defaultdict[int, defaultdict[tuple[int, ...], float]] = defaultdict(lambda: defaultdict(float))

    def add(blocks: Sequence[int], c: float) -> None:
        found[len(blocks)][tuple(sorted(b + 1 for b in blocks))] += c

    for one, partner in rule.pairs:
        for other, c in partner:
            add((one, other), c)
    for one, two, c in rule.equal:
        add((one, two), c)
    for blocks, c in rule.more:
        add(blocks, c)
    return tuple((p, tuple(sorted(found[p].items()))) for p in sorted(found))


def _slope(monomials: Sequence[Monomial], factor: int) -> list[Monomial]:
    found = []
    for factors, c in monomials:
        power = factors.count(factor)
        if power:
            rest = list(factors)
            rest.remove(factor)
            found.append((tuple(rest), power * c))
    return found


def _polynomial(monomials: Sequence[Monomial]) -> str:
    return " + ".join(" * ".join([f"(real){c!r}", *(f"z{f}" for f in factors)]) for factors, c in monomials)
