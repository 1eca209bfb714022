r"""A judged table as LaTeX: ``table`` environments for a document that loads ``booktabs``.

Reported and obtained stand beside each other for every column of the paper's table; the best obtained mean of
the methods is bold. As many columns stand side by side as fit the text of an article; the others follow in tables of
their own. A column by itself also has its numbers of seeds, seconds and verdicts, and long names of methods are
wrapped. What the reader must know (metric, budget, source, order, whether the numbers are comparable at all) is in
the caption, so that it cannot be lost on the way into a paper; remarks and the command are comments.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from sciml.grid import Column
from sciml.render import MARKS, WARNING, above, below, fields, grouped, heading, number, orders
from sciml.verdict import Report, Result

TEXT = 342.0  # points: the width of an article's text is 345
CHARACTER, SEPARATION = 4.7, 8.0  # points: of a character in \small, generously, and between two columns
NAME = 80.0  # points: names of methods are never made narrower, then the table is too wide and LaTeX says so

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


@dataclass(frozen=True)
class _Block:
    """What is printed of one column of the paper's table.

    Args:
        column: The column.
        head: Its printed columns, several lines each.
        lines: Its entries, one line a method.
        bold: The line that is best, if one is.
        words: Whether the last printed column has words, from the left.
        title: Characters of the name that stands above it, beside other columns.
    """

    column: Column
    head: tuple[tuple[str, ...], ...]
    lines: tuple[tuple[str, ...], ...]
    bold: int | None
    words: bool
    title: int

    @property
    def alignment(self) -> str:
        return "r" * (len(self.head) - self.words) + "l" * self.words

    @property
    def width(self) -> float:
        """Of the printed columns, in points."""
        longest = (
            max(max(map(_length, head)), *(_length(line[i]) for line in self.lines)) for i, head in enumerate(self.head)
        )
        return max(sum(CHARACTER * n + SEPARATION for n in longest), CHARACTER * self.title + SEPARATION)


def as_latex(report: Report) -> str:
    """The table as one ``table`` environment or more."""
    columns, methods = report.table.columns, [_method(row.name, row.kind) for row in report.table.rows]
    names = min(NAME, CHARACTER * max(map(_length, methods)))
    groups: list[list[_Block]] = []
    for block in (_block(report, column, whole=False) for column in columns):
        if groups and names + sum(b.width for b in [*groups[-1], block]) <= TEXT:
            groups[-1].append(block)
        else:
            groups.append([block])
    remarks = [f"sciml table {report.table.name} --budget {report.budget.name}", *above(report), *below(report)]
    lines = [r"% needs \usepackage{booktabs}", *(f"% {line}" for line in remarks)]
    for i, group in enumerate(groups):
        shown = [_block(report, group[0].column, whole=True)] if len(group) == 1 else group
        lines += _environment(report, shown, f"-{i + 1}" if i else "")
    return "\n".join(lines) + "\n"


def _environment(report: Report, blocks: Sequence[_Block], suffix: str) -> Iterator[str]:
    rows = report.table.rows
    methods = [_method(row.name, row.kind) for row in rows]
    room = TEXT - sum(block.width for block in blocks)
    wrapped = CHARACTER * max(map(_length, methods)) > room
    first = rf"p{{{max(room, NAME):.0f}pt}}" if wrapped else "l"
    yield r"\begin{table}"
    yield r"  \centering\small\setlength{\tabcolsep}{4pt}"
    yield rf"  \caption{{{_caption(report, [block.column for block in blocks])}}}\smallskip"
    yield rf"  \label{{tab:{re.sub(r'[^A-Za-z0-9]+', '-', report.table.name).strip('-')}{suffix}}}"
    yield rf"  \begin{{tabular}}{{@{{}}{first}{''.join(block.alignment for block in blocks)}@{{}}}}"
    yield r"    \toprule"
    if len(blocks) > 1:
        spans = [rf"\multicolumn{{{len(block.head)}}}{{c}}{{{escape(block.column.name)}}}" for block in blocks]
        ends = [1]
        for block in blocks:
            ends.append(ends[-1] + len(block.head))
        rules = [rf"\cmidrule(lr){{{start + 1}-{end}}}" for start, end in pairwise(ends)]
        yield "    " + _line(["", *spans])
        yield "    " + " ".join(rules)
    heads = [part for block in blocks for part in block.head]
    height = max(map(len, heads))
    for i in range(height):
        entries = [head[j] if (j := i - height + len(head)) >= 0 else "" for head in heads]
        yield "    " + _line(["method" if i == height - 1 else "", *entries])
    kind = None
    for i, (row, name) in enumerate(zip(rows, methods, strict=True)):
        if kind is None or (kind == "method") != (row.kind == "method"):
            yield r"    \midrule"
        kind = row.kind
        entries = [entry for block in blocks for entry in _entries(block, i)]
        yield "    " + _line([rf"\raggedright {name}" if wrapped else name, *entries])
    yield r"    \bottomrule"
    yield r"  \end{tabular}"
    yield r"\end{table}"


def _block(report: Report, column: Column, *, whole: bool) -> _Block:
    """The printed columns of one column: reported if something is, obtained, and as a whole all that is known."""
    results = report.of(column)
    told = any(result.cell.reported for result in results)
    judged = whole and told and report.comparable
    head = heading(report, column.metric.unit)[1:]
    seconds = len(head) - 2  # after it comes the verdict
    kept = [*([0] if told else []), 1, *([2] if whole else []), *range(3, seconds)]
    kept += [*([seconds] if whole else []), *([seconds + 1] if judged else [])]
    lines = []
    for result in results:
        was, _, *rest = fields(result)[1:]
        entries = [_math(was), _obtained(result, whole=whole), rest[0], *map(_math, rest[1:-1]), escape(rest[-1])]
        lines.append(tuple("--" if entries[i] in ("-", "$-$") else entries[i] for i in kept))
    names = tuple(tuple(map(escape, head[i].split(" "))) for i in kept)
    return _Block(column, names, tuple(lines), _best(results, column), judged, 0 if whole else len(column.name))


def _entries(block: _Block, i: int) -> list[str]:
    place = 0 if block.head[0][0] == "obtained" else 1
    entries = list(block.lines[i])
    if block.bold == i:
        entries[place] = rf"\textbf{{\boldmath {entries[place]}}}"
    return entries


def _obtained(result: Result, *, whole: bool) -> str:
    if result.mean is None:
        return "--"
    text = _math(number(result.mean, result.std))
    # Where no column has the number of seeds, a cell that lacks some says so.
    lacking = len(result.seeds) < len(result.cell.seeds) and not whole
    return f"{text} ({len(result.seeds)} of {len(result.cell.seeds)} seeds)" if lacking else text


def _method(name: str, kind: str) -> str:
    return escape(name) + (rf" \emph{{({MARKS[kind]})}}" if MARKS[kind] else "")


def _length(text: str) -> int:
    """How many characters are printed, about."""
    text = re.sub(r" *\\(pm|cdot) *", "xx", re.sub(r"\\(emph|ensuremath)", "", text))
    return len(re.sub(r"[${}^]", "", re.sub(r"\\([a-z]+|.)", "x", text)))


def _line(entries: Sequence[str]) -> str:
    return " & ".join(entries) + r" \\"


def _math(text: str) -> str:
    """A printed number in math mode, with powers of ten written out."""
    text = re.sub(r"(\)|[0-9.]+)e([+-]?)0*([0-9]+)", _power, text)
    return f"${text.replace('±', chr(92) + 'pm')}$"


def _power(match: re.Match[str]) -> str:
    mantissa, sign, exponent = match.groups()
    return rf"{mantissa} \cdot 10^{{{'-' if sign == '-' else ''}{exponent}}}"


def _best(results: Sequence[Result], column: Column) -> int | None:
    methods = [(i, r.mean) for i, r in enumerate(results) if r.cell.row.kind == "method" and r.mean is not None]
    if len(methods) < 2:
        return None
    choose = min if column.metric.better == "lower" else max
    return choose(methods, key=lambda item: item[1])[0]


def _caption(report: Report, columns: Sequence[Column]) -> str:
    table, budget = report.table, report.budget
    lone = f", {columns[0].name}" if len(columns) == 1 and len(table.columns) > 1 else ""
    parts = [f"{table.title}{lone}"]
    metrics = {column.name: f"{column.metric.heading}: {column.metric.definition}" for column in columns}
    parts += [f"{names}: {text}" if names else text for names, text in grouped(metrics)]
    sources = dict.fromkeys(
        str(result.cell.reported.source) for column in columns for result in report.of(column) if result.cell.reported
    )
    parts.append(f"Reported: {'; '.join(sources)}" if sources else "No numbers are reported")
    if table.no_ceiling:
        parts.append(f"No ceiling: {table.no_ceiling}")
    seeds = " ".join(map(str, budget.seeds))
    spread = f"mean and standard deviation over seeds {seeds}" if len(budget.seeds) > 1 else f"seed {seeds}"
    parts.append(f"Obtained: budget {budget.name}, {spread}" + ("" if report.comparable else f"; {WARNING}"))
    parts += [order for column in columns for order in orders(report, column)]
    return escape(" ".join(_sentence(part) for part in parts))


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "?", "!")) else ".")
