r"""A judged table as LaTeX: one ``table`` environment for a document that loads ``booktabs``.

Reported and obtained stand beside each other for every column of the paper's table; the best obtained mean of
the methods is bold. What the reader must know (metric, budget, source, whether the numbers are comparable at
all) is in the caption, so that it cannot be lost on the way into a paper.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import chain

from sciml.grid import Column, merge
from sciml.render import MARKS, WARNING, amount, number
from sciml.verdict import Report, Result

_SPECIAL = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "%": r"\%",
    "#": r"\#",
    "_": r"\_",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\ensuremath{<}",
    ">": r"\ensuremath{>}",
    "±": r"\ensuremath{\pm}",
    "|": r"\ensuremath{|}",
}
# Greek letters and signs of the tables' own words; pdflatex knows none of them as characters.
_LETTERS = {
    "α": "alpha", "β": "beta", "γ": "gamma", "δ": "delta", "ε": "epsilon", "η": "eta", "θ": "theta", "κ": "kappa",
    "λ": "lambda", "μ": "mu", "ν": "nu", "ξ": "xi", "π": "pi", "ρ": "rho", "σ": "sigma", "τ": "tau", "φ": "phi",
    "ψ": "psi", "ω": "omega", "Δ": "Delta", "Σ": "Sigma", "Ω": "Omega", "∇": "nabla", "∞": "infty", "≤": "leq",
    "≥": "geq", "×": "times", "²": "^2", "³": "^3", "·": "cdot", "−": "-", "∂": "partial", "∈": "in", "≈": "approx",
    "√": "surd", "→": "rightarrow",
}  # fmt: skip


def escape(text: str) -> str:
    """Text as LaTeX prints it."""
    return "".join(_letter(character) for character in text)


def _letter(character: str) -> str:
    if character in _SPECIAL:
        return _SPECIAL[character]
    if (name := _LETTERS.get(character)) is None:
        return character
    return rf"\ensuremath{{{name if not name.isalpha() else chr(92) + name}}}"


def as_latex(report: Report) -> str:
    """The table as a ``table`` environment."""
    columns, costs = report.table.columns, [key.replace("_", " ") for key in report.table.cost]
    width = 2 + len(costs)  # of a column of the paper's table: reported, obtained, costs
    best = {column.name: _best(report.of(column), column) for column in columns}
    lines = [
        "% needs \\usepackage{booktabs}",
        r"\begin{table}",
        r"  \centering",
        rf"  \caption{{{_caption(report)}}}",
        rf"  \label{{tab:{re.sub(r'[^A-Za-z0-9]+', '-', report.table.name).strip('-')}}}",
        rf"  \begin{{tabular}}{{l{'r' * width * len(columns)}}}",
        r"    \toprule",
    ]
    if len(columns) > 1:
        spans = [rf"\multicolumn{{{width}}}{{c}}{{{escape(column.name)}}}" for column in columns]
        rules = [rf"\cmidrule(lr){{{width * i + 2}-{width * (i + 1) + 1}}}" for i in range(len(columns))]
        lines += ["    " + _line(["", *spans]), "    " + " ".join(rules)]
    heads = [(_head(column, "reported"), _head(column, "obtained"), *map(escape, costs)) for column in columns]
    lines.append("    " + _line(["method", *chain.from_iterable(heads)]))
    kind = None
    for i, row in enumerate(report.table.rows):
        results = [report.of(column)[i] for column in columns]
        if kind is None or (kind == "method") != (row.kind == "method"):
            lines.append(r"    \midrule")
        kind = row.kind
        mark = rf" \emph{{({MARKS[row.kind]})}}" if MARKS[row.kind] else ""
        entries = [entry for result in results for entry in _entries(result, best)]
        lines.append("    " + _line([f"{escape(row.name)}{mark}", *entries]))
    lines += [r"    \bottomrule", r"  \end{tabular}", r"\end{table}"]
    return "\n".join(lines) + "\n"


def _line(entries: Sequence[str]) -> str:
    return " & ".join(entries) + r" \\"


def _head(column: Column, what: str) -> str:
    return escape(f"{what} [{column.metric.unit}]" if column.metric.unit else what)


def _entries(result: Result, best: dict[str, Result | None]) -> list[str]:
    reported = _math(str(result.cell.reported)) if result.cell.reported else "--"
    costs = ["--" if cost is None else _math(amount(cost)) for cost in result.costs]
    if result.mean is None:
        return [reported, "--", *costs]
    obtained = _math(number(result.mean, result.std))
    if best[result.cell.column.name] is result:
        obtained = rf"\textbf{{\boldmath {obtained}}}"
    return [reported, obtained, *costs]


def _math(text: str) -> str:
    """A printed number in math mode, with powers of ten written out."""
    text = re.sub(r"([0-9.]+)e([+-]?)0*([0-9]+)", _power, text)
    return f"${text.replace('±', chr(92) + 'pm')}$"


def _power(match: re.Match[str]) -> str:
    mantissa, sign, exponent = match.groups()
    return rf"{mantissa} \cdot 10^{{{'-' if sign == '-' else ''}{exponent}}}"


def _best(results: Sequence[Result], column: Column) -> Result | None:
    methods = [result for result in results if result.cell.row.kind == "method" and result.mean is not None]
    if len(methods) < 2:
        return None
    choose = min if column.metric.better == "lower" else max
    return choose(methods, key=lambda result: result.mean or 0.0)


def _caption(report: Report) -> str:
    table, budget = report.table, report.budget
    overrides = " ".join(merge(budget.overrides, report.extra)) or "as the experiment has it"
    parts = [
        f"{table.title}.",
        *(f"{metric.heading}: {metric.definition}." for metric in dict.fromkeys(c.metric for c in table.columns)),
        f"Reported: {table.source}.",
        *([f"No ceiling: {table.no_ceiling}."] if table.no_ceiling else []),
        f"Obtained: budget {budget.name} ({overrides}), mean and standard deviation over seeds"
        f" {' '.join(map(str, budget.seeds))}" + ("." if report.comparable else f"; {WARNING}."),
    ]
    return escape(" ".join(parts))
